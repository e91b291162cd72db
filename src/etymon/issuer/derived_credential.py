# SPDX-License-Identifier: Apache-2.0
"""Who rekeys and gets the key history: the holder of a derived authentication credential of ours that is in force.

A device identity, a card, and a derived credential of another issuer are other kinds of certificate; each is refused.
"""

import hashlib
from functools import partial
from typing import Final

from cryptography import x509

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import trust
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import credential_unknown, derived_credential_required
from etymon.issuer.model import Credential, CredentialState, Purpose
from etymon.issuer.store import credentials
from etymon.pki import certificate as reading
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.storage.database import Transaction
from etymon.web.peer_certificate import PeerCertificate

REFUSED_EVENT: Final = "issuer:rekey:refused"


def judge(
    deps: Dependencies, peer: PeerCertificate | None, *, source: str, refused_as: str = REFUSED_EVENT
) -> Credential:
    """Return the credential that the TLS peer showed. Refusals are recorded as `refused_as`.

    Raises `derived_credential_required` without a certificate, `NotTrusted` for one that is revoked, over, or of
    another kind, and `credential_unknown` for one that is no authentication credential in force.
    """
    if peer is None:
        raise derived_credential_required()
    subject = f"certificate:{hashlib.sha256(peer.der).hexdigest()}"
    with deps.refusals.noted(refused_as, actor=ANONYMOUS, subject=subject, source=source):
        leaf = reading.load(peer.der)
        _validate(deps, leaf)
        with deps.database.snapshot() as tx:
            return in_force(tx, reading.thumbprint(leaf))


def _validate(deps: Dependencies, leaf: x509.Certificate) -> None:
    """Judge the certificate; one that is not ours is looked for among the other kinds, to say what it is."""
    with deps.database.snapshot() as tx:
        entry = trust.entry(tx, deps.trust_entry)
    judge_by = partial(validate, leaf, entry, at=deps.clock.now(), status=deps.status_of(entry))
    try:
        judge_by()
    except NotTrusted as refused:
        if refused.code not in {"untrusted_root", "wrong_policy"}:
            raise
        with deps.database.snapshot() as tx:
            others = [other for other in trust.entries(tx) if other.name != entry.name]
        judge_by(other_entries=others)


def in_force(tx: Transaction, thumbprint: bytes) -> Credential:
    """Return the authentication credential with this certificate; `credential_unknown` unless it is active."""
    credential = credentials.by_thumbprint(tx, thumbprint)
    if (
        credential is None
        or credential.purpose is not Purpose.AUTHENTICATION
        or credential.state is not CredentialState.ACTIVE
    ):
        raise credential_unknown()
    return credential
