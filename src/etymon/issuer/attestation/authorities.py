# SPDX-License-Identifier: Apache-2.0
"""Attestation authorities: an administrator says whose word about keys is believed."""

from typing import Final

from etymon.issuer.attestation import store
from etymon.issuer.attestation.model import AttestationAuthority
from etymon.issuer.dependencies import Dependencies, record
from etymon.kernel.errors import NotFound
from etymon.pki.certificate import spki_sha256
from etymon.storage.database import Transaction

ROOTS_NAMED: Final = 8
"""Roots whose keys' digests go into the audit event."""


def save(tx: Transaction, deps: Dependencies, authority: AttestationAuthority, *, actor: str) -> bool:
    """Believe an authority, new or in place of the one of its name; say whether it is new. The same changes nothing."""
    before = next((known for known in store.all_authorities(tx) if known.name == authority.name), None)
    if before != authority:
        store.save_authority(tx, authority, deps.clock.now())
        record(
            tx,
            deps,
            "attestation_authority:saved",
            actor=actor,
            subject=f"attestation_authority:{authority.name}",
            roots=len(authority.roots),
            root_key_sha256=",".join(spki_sha256(root).hex() for root in authority.roots[:ROOTS_NAMED]),
            revoked=len(authority.status.serials) if authority.status else None,
        )
    return before is None


def remove(tx: Transaction, deps: Dependencies, name: str, *, actor: str) -> None:
    """Believe an authority no more; what was judged stays. Raises `NotFound`."""
    if not store.remove_authority(tx, name):
        raise _unknown()
    record(tx, deps, "attestation_authority:removed", actor=actor, subject=f"attestation_authority:{name}")


def every(tx: Transaction) -> tuple[AttestationAuthority, ...]:
    """Return the authorities by name."""
    return store.all_authorities(tx)


def named(tx: Transaction, name: str) -> AttestationAuthority:
    """Return an authority; raises `NotFound`."""
    found = next((known for known in store.all_authorities(tx) if known.name == name), None)
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("attestation_authority_unknown", "There is no attestation authority of this name.")
