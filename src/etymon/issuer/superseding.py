# SPDX-License-Identifier: Apache-2.0
"""What a rekey leaves behind: the certificate before ends when the new one was used, or when its grace is over."""

from collections.abc import Collection
from uuid import UUID

from etymon.issuer import derived_credential, errors, invalidation
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, CredentialState, EndReason
from etymon.issuer.store import credentials, derivations
from etymon.storage.database import Transaction
from etymon.web.peer_certificate import PeerCertificate


def confirm(
    deps: Dependencies, installed: Collection[bytes], peer: PeerCertificate | None, *, source: str
) -> tuple[bytes, ...]:
    """End what certificates replaced that a phone has installed (SP 800-63B-4 §4.6); return the ended thumbprints.

    The phone says so with its newest authentication credential. Raises what `derived_credential.judge` refuses,
    `already_rekeyed` for an old one, and `credential_unknown` for a certificate that is not of the same derivation.
    Again does no harm.
    """
    asking = derived_credential.judge(deps, peer, source=source)
    with (
        deps.refusals.noted(
            derived_credential.REFUSED_EVENT, actor=f"person:{asking.person}", subject=str(asking.id), source=source
        ),
        deps.database.transaction() as tx,
    ):
        derivations.lock(tx, asking.derivation)
        present = derived_credential.in_force(tx, asking.thumbprint or b"")
        if credentials.replacement_of(tx, present.id) is not None:
            raise errors.already_rekeyed()
        ended: list[bytes] = []
        for thumbprint in installed:
            found = credentials.by_thumbprint(tx, thumbprint)
            if found is None or found.derivation != asking.derivation or found.state is not CredentialState.ACTIVE:
                raise errors.credential_unknown()
            ended += used(tx, deps, found, source=source)
        return tuple(ended)


def used(tx: Transaction, deps: Dependencies, credential: Credential, *, source: str) -> tuple[bytes, ...]:
    """End what a credential of a locked derivation replaced, because the credential was used, or its grace is over."""
    if credential.replaces is None:
        return ()
    before = credentials.find(tx, credential.replaces)
    if before is None or before.state is CredentialState.ENDED:
        return ()
    actor = f"person:{credential.person}"
    invalidation.end_credentials(tx, deps, [before], EndReason.SUPERSEDED, actor=actor, source=source)
    record(
        tx,
        deps,
        "credential:rekeyed",
        actor=actor,
        subject=credential.id,
        source=source,
        purpose=credential.purpose.value,
        replaces=str(before.id),
    )
    return (before.thumbprint or b"",)


def grace_over(tx: Transaction, deps: Dependencies, credential_id: UUID) -> None:
    """End what a credential replaced that is in force, or will be again, although nobody has confirmed it."""
    found = credentials.find(tx, credential_id)
    if found is None or derivations.lock(tx, found.derivation) is None:
        return
    credential = credentials.find(tx, credential_id)
    if credential is not None and credential.state in {CredentialState.ACTIVE, CredentialState.HELD}:
        used(tx, deps, credential, source="worker")
