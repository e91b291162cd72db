# SPDX-License-Identifier: Apache-2.0
"""Seven days after a link was confirmed its card is looked at again (CP 4.2.2, SP 800-157 §2.2).

A card that was stolen and not yet reported when it was used shows as revoked by then: what it made is ended.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.directory import trust
from etymon.issuer import invalidation
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import OPEN, CardProof, Derivation, EndReason
from etymon.issuer.store import card_sessions, derivations
from etymon.kernel.errors import NotFound, Unavailable
from etymon.pki import certificate as reading
from etymon.pki.errors import NotTrusted
from etymon.storage import jobs
from etymon.storage.database import Transaction

RECHECK: Final = "issuer.recheck_card"
"""Kind of the job; its payload has `derivation`."""

RECHECK_AFTER: Final = timedelta(days=7)
REVOKED: Final = frozenset({"revoked_by_crl", "revoked_by_ocsp", "revoked_by_database"})


def enqueue(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    """Have the card of a derivation checked again in seven days."""
    payload: dict[str, jobs.JSONValue] = {"derivation": str(derivation.id)}
    due = deps.clock.now() + RECHECK_AFTER
    jobs.enqueue(tx, deps.clock, deps.entropy, RECHECK, payload, due=due, key=f"{RECHECK}:{derivation.id}")


def judge(deps: Dependencies, derivation_id: UUID) -> NotTrusted | None:
    """Return the refusal if the card that began a live derivation is revoked now; None if it is not.

    Raises `Unavailable` while nobody tells its status. Asks for revocation status: call it outside transactions.
    """
    with deps.database.snapshot() as tx:
        derivation = derivations.find(tx, derivation_id)
        proof = card_sessions.find_proof(tx, derivation.proof) if derivation else None
        if derivation is None or derivation.state not in OPEN or proof is None:
            return None
        try:
            entry = trust.entry(tx, proof.trust_entry)
        except NotFound:
            return None
    leaf, issuer = (reading.load(octets) for octets in proof.certificates[:2])
    try:
        deps.status_of(entry).status(leaf, issuer, at=deps.clock.now())
    except NotTrusted as refusal:
        if refusal.code in REVOKED:
            return refusal
        raise Unavailable(refusal.code, refusal.detail) from refusal
    _record(deps, derivation, proof)
    return None


def end(tx: Transaction, deps: Dependencies, derivation_id: UUID, refusal: NotTrusted) -> None:
    """End a derivation whose card was revoked within seven days of its use."""
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None or derivation.state not in OPEN:
        return
    subject = derivation.id
    record(
        tx,
        deps,
        "card:found_revoked",
        actor="worker",
        subject=subject,
        card_proof=str(derivation.proof),
        code=refusal.code,
    )
    invalidation.end_derivation(tx, deps, derivation, EndReason.KEY_COMPROMISE, actor="card_recheck", source="worker")


def _record(deps: Dependencies, derivation: Derivation, proof: CardProof) -> None:
    with deps.database.transaction() as tx:
        record(tx, deps, "card:checked_again", actor="worker", subject=derivation.id, card_proof=str(proof.id))
