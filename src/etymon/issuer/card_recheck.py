# SPDX-License-Identifier: Apache-2.0
"""Looking back at the card that a derivation stands on (CP 4.2.2, SP 800-157 §2.2, SP 800-157r1 §2.4).

A card that was stolen and not yet reported when it was used is revoked some days later, or taken from its person: what
it made meanwhile may be the thief's. So its status is asked once more after seven days, and when a card stands for
nobody any more, what it made in the seven days before ends at once.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from etymon.directory import bindings, trust
from etymon.issuer import invalidation
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import card_not_good
from etymon.issuer.model import OPEN, SESSION_ABSOLUTE, CardProof, Derivation, EndReason
from etymon.issuer.store import card_sessions, derivations
from etymon.kernel.errors import Unavailable
from etymon.pki import certificate as reading
from etymon.pki.errors import NotTrusted
from etymon.pki.trust_entry import TrustEntry
from etymon.storage import jobs
from etymon.storage.database import Transaction

RECHECK: Final = "issuer.recheck_card"
"""Kind of the job; its payload has `derivation`."""

RECHECK_AFTER: Final = timedelta(days=7)
REVOKED: Final = frozenset({"revoked_by_crl", "revoked_by_ocsp", "revoked_by_database"})


class Finding(NamedTuple):
    """What is wrong with a card: as an event and a code, and in words for its person."""

    event: str
    code: str
    because: str


UNBOUND: Final = Finding(
    "card:found_unbound",
    "card_not_bound",
    "shortly after the smart card that they were made with was used, it was taken from your account",
)


def enqueue(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    """Have the card of a derivation checked again in seven days."""
    payload: dict[str, jobs.JSONValue] = {"derivation": str(derivation.id)}
    due = deps.clock.now() + RECHECK_AFTER
    jobs.enqueue(tx, deps.clock, deps.entropy, RECHECK, payload, due=due, key=f"{RECHECK}:{derivation.id}")


def judge(deps: Dependencies, derivation_id: UUID) -> Finding | None:
    """Return what is wrong now with the card that began a live derivation; None if it is as good as it was.

    Raises `Unavailable` while nobody tells its status. Asks for revocation status: call it outside transactions.
    """
    with deps.database.snapshot() as tx:
        derivation = derivations.find(tx, derivation_id)
        proof = card_sessions.find_proof(tx, derivation.proof) if derivation else None
        if derivation is None or derivation.state not in OPEN or proof is None:
            return None
        person = bindings.person_for(tx, proof.trust_entry, proof.identifier)
        if person is None or person.id != derivation.person:
            return UNBOUND
        entry = trust.entry(tx, proof.trust_entry)
    revoked = _revocation(deps, proof, entry)
    if revoked is not None:
        return Finding("card:found_revoked", revoked, "")
    _record(deps, derivation, proof)
    return None


def require_good(deps: Dependencies, person_id: UUID) -> str:
    """Refuse a person whose card, as it was last presented for a phone, was revoked since (SP 800-157 §2.3).

    Returns what was found: `good`, `over` for a certificate whose time is over, about which nobody says anything any
    more, or `none` where nothing was presented that still stands for the person; who is entitled to a card then, the
    records say. Raises `Unavailable` while nobody tells the status. Call it outside transactions.
    """
    with deps.database.snapshot() as tx:
        for proof_id in card_sessions.proofs_behind(tx, person_id):
            proof = card_sessions.find_proof(tx, proof_id)
            bound = proof and bindings.person_for(tx, proof.trust_entry, proof.identifier)
            if proof is not None and bound is not None and bound.id == person_id:
                entry = trust.entry(tx, proof.trust_entry)
                break
        else:
            return "none"
    if reading.load(proof.certificates[0]).not_valid_after_utc < deps.clock.now():
        return "over"
    if _revocation(deps, proof, entry) is not None:
        raise card_not_good()
    return "good"


def _revocation(deps: Dependencies, proof: CardProof, entry: TrustEntry) -> str | None:
    """Return how a proved card is known to be revoked now, or None; `Unavailable` while nobody tells."""
    leaf, issuer = (reading.load(octets) for octets in proof.certificates[:2])
    try:
        deps.status_of(entry).status(leaf, issuer, at=deps.clock.now())
    except NotTrusted as refusal:
        if refusal.code in REVOKED:
            return refusal.code
        raise Unavailable(refusal.code, refusal.detail) from refusal
    return None


def end(tx: Transaction, deps: Dependencies, derivation_id: UUID, finding: Finding) -> None:
    """End a derivation whose card was found wanting within seven days of its use; once, however often it is found."""
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None or derivation.state not in OPEN:
        return
    record(
        tx,
        deps,
        finding.event,
        actor="worker",
        subject=derivation.id,
        card_proof=str(derivation.proof),
        code=finding.code,
    )
    invalidation.end_derivation(
        tx,
        deps,
        derivation,
        EndReason.KEY_COMPROMISE,
        actor="card_recheck",
        source="worker",
        because=finding.because,
    )


def cards_ended(deps: Dependencies, trust_entry: str, binding_id: UUID | None, ended_at: datetime) -> None:
    """End what was made lately with a card that stands for nobody since then, or with any card of a removed entry.

    An issuance under way has locked its derivation: it is waited for, or sees the end. What began and is not seen here
    yet goes no further, because every step asks for the binding. Running it twice does no harm.
    """
    with deps.database.transaction() as tx:
        card = None if binding_id is None else bindings.find(tx, binding_id)
        card_sessions.end_with(tx, trust_entry, card, since=ended_at - SESSION_ABSOLUTE, until=ended_at)
        found = derivations.made_with(tx, trust_entry, card, since=ended_at - RECHECK_AFTER, until=ended_at)
    for derivation_id in found:
        with deps.database.transaction() as tx:
            end(tx, deps, derivation_id, UNBOUND)


def _record(deps: Dependencies, derivation: Derivation, proof: CardProof) -> None:
    with deps.database.transaction() as tx:
        record(tx, deps, "card:checked_again", actor="worker", subject=derivation.id, card_proof=str(proof.id))
