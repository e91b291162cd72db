# SPDX-License-Identifier: Apache-2.0
"""Looking back at the card that a derivation stands on (CP 4.2.2, SP 800-157 §2.2, SP 800-157r1 §2.4).

A card that was stolen and not yet reported when it was used is revoked some days later, or taken from its person: what
it made meanwhile may be the thief's. So its status is asked once more after seven days, and when a card stands for
nobody any more, what it made in the seven days before ends at once.
"""

from datetime import datetime
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from etymon.directory import bindings, trust
from etymon.directory.model import HARMLESS_ENDS
from etymon.issuer import invalidation, notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import card_not_bound, card_not_good, card_required, card_revoked
from etymon.issuer.model import OPEN, SESSION_ABSOLUTE, CardProof, CardRevocation, Derivation, EndReason
from etymon.issuer.store import card_links, card_sessions, derivations
from etymon.issuer.store.card_sessions import ProvedCard
from etymon.kernel.errors import NotFound, Unavailable
from etymon.pki import certificate as reading
from etymon.pki.errors import NotTrusted
from etymon.pki.revocation_data import UNSPECIFIED
from etymon.pki.trust_entry import TrustEntry
from etymon.storage import jobs
from etymon.storage.database import Transaction

RECHECK: Final = "issuer.recheck_card"
"""Kind of the job; its payload has `derivation`."""

FOUND_REVOKED: Final = "card:found_revoked"

REVOKED: Final = frozenset({"revoked_by_crl", "revoked_by_ocsp", "revoked_by_database"})


HARMFUL: Final = frozenset({"keyCompromise", "cACompromise", "aACompromise", "privilegeWithdrawn"})
"""Reasons of a revocation that count though the card is said to have been replaced: it is not for being replaced."""


PASSING: Final = frozenset({"certificateHold", "removeFromCRL"})
"""Reasons that are no end: nothing follows from them for good, and the card is watched on (RFC 5280 §5.3.1)."""


ENDED: Final = "ended"
KEPT: Final = "kept"
_BECAME: Final = {
    ENDED: "What was derived with it has been revoked.",
    KEPT: "What was derived with it stays in force, as the setting card_revocation says, until an Officer ends it "
    "(etymon derivations end).",
}
"""What became of credentials, in words for Officers."""


class Finding(NamedTuple):
    """What is wrong with a card: as an event and a code, and in words for its person.

    Of a revoked one, why and since when, None where its issuer does not say. `card` is None for the one that the
    derivation is linked to now.
    """

    event: str
    code: str
    because: str
    reason: str = ""
    revoked_at: datetime | None = None
    card: ProvedCard | None = None

    @property
    def is_revoked(self) -> bool:
        """Whether the card's issuer revoked it."""
        return self.event == FOUND_REVOKED


UNBOUND: Final = Finding(
    "card:found_unbound",
    "card_not_bound",
    "shortly after the smart card that they were made with was used, it was taken from your account",
)


def enqueue(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    """Have the card of a derivation checked again in seven days."""
    payload: dict[str, jobs.JSONValue] = {"derivation": str(derivation.id)}
    due = deps.clock.now() + deps.card_lookback
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
        card = ProvedCard(proof.trust_entry, proof.identifier)
        person = bindings.person_for(tx, *card)
        if (person is None or person.id != derivation.person) and not _ended_harmlessly(tx, card, derivation.person):
            return UNBOUND
        try:
            entry = trust.entry(tx, proof.trust_entry)
        except NotFound:
            return UNBOUND
    refusal = _revocation(deps, proof, entry)
    if refusal is not None:
        return revoked(refusal)._replace(card=card)
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


def require_proof_good(deps: Dependencies, proof_id: UUID) -> None:
    """Refuse a proof whose card was revoked since it was presented.

    Raises `card_revoked`, `card_required` for no proof, `card_not_bound` for cards that are not trusted any more, and
    `Unavailable` while nobody tells the status. Call it outside transactions.
    """
    with deps.database.snapshot() as tx:
        proof = card_sessions.find_proof(tx, proof_id)
        if proof is None:
            raise card_required()
        try:
            entry = trust.entry(tx, proof.trust_entry)
        except NotFound as exc:
            raise card_not_bound() from exc
    if _revocation(deps, proof, entry) is not None:
        raise card_revoked()


def _revocation(deps: Dependencies, proof: CardProof, entry: TrustEntry) -> NotTrusted | None:
    """Return how a proved card is known to be revoked now, or None; `Unavailable` while nobody tells."""
    leaf, issuer = (reading.load(octets) for octets in proof.certificates[:2])
    try:
        deps.status_of(entry).status(leaf, issuer, at=deps.clock.now())
    except NotTrusted as refusal:
        if refusal.code in REVOKED:
            return refusal
        raise Unavailable(refusal.code, refusal.detail) from refusal
    return None


def revoked(refusal: NotTrusted) -> Finding:
    """Return what a status source said of a revoked card as a finding."""
    since = refusal.facts.get("revoked_at")
    reason = str(refusal.facts.get("reason") or UNSPECIFIED)
    return Finding(FOUND_REVOKED, refusal.code, "", reason, datetime.fromisoformat(str(since)) if since else None)


def settle(tx: Transaction, deps: Dependencies, derivation_id: UUID, finding: Finding) -> bool:
    """Do what follows from a finding about the card of a derivation, once, however often it is found.

    What a card made shortly before it was taken or revoked ends; what is older stays, and the card opens nothing.
    Returns whether the card was watched until now and is not any more.
    """
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None or derivation.state not in OPEN:
        return False
    if finding.is_revoked and finding.reason in PASSING:
        _record_finding(tx, deps, derivation, finding, KEPT)
        _end_sessions(tx, deps, derivation)
        return False
    link = card_links.find(tx, derivation.id)
    card = finding.card or (link.card if link else None)
    settled = finding.is_revoked and link is not None and link.card == card
    if settled and not card_links.settle(tx, derivation.id):
        return False
    ends = not finding.is_revoked or _ends(tx, deps, derivation, finding, card)
    _record_finding(tx, deps, derivation, finding, ENDED if ends else KEPT)
    if finding.is_revoked:
        _end_sessions(tx, deps, derivation)
    if not ends:
        if finding.is_revoked and _is_suspect(tx, deps, derivation, finding, card):
            _open_incident(tx, deps, derivation, finding, became=KEPT)  # the organisation has people decide
        return settled
    invalidation.end_derivation(
        tx,
        deps,
        derivation,
        EndReason.KEY_COMPROMISE,
        actor="card_recheck",
        source="worker",
        because=finding.because,
    )
    if finding.is_revoked:
        _open_incident(tx, deps, derivation, finding, became=ENDED)
    return settled


def _ends(
    tx: Transaction, deps: Dependencies, derivation: Derivation, finding: Finding, card: ProvedCard | None
) -> bool:
    """Say whether credentials end with the revocation of a card that they were linked to."""
    action = deps.card_revocation.get(finding.reason, CardRevocation.LOOKBACK)
    if action is CardRevocation.LOOKBACK:
        return _is_suspect(tx, deps, derivation, finding, card)
    return action is CardRevocation.END and not _is_harmless(tx, derivation, finding, card)


def _is_suspect(
    tx: Transaction, deps: Dependencies, derivation: Derivation, finding: Finding, card: ProvedCard | None
) -> bool:
    """Say whether somebody else may have used a card that was revoked so soon after, or before (SP 800-157 §2.2)."""
    if _is_harmless(tx, derivation, finding, card):
        return False
    made = derivation.confirmed_at
    return made is None or finding.revoked_at is None or finding.revoked_at <= made + deps.card_lookback


def _is_harmless(tx: Transaction, derivation: Derivation, finding: Finding, card: ProvedCard | None) -> bool:
    return card is not None and finding.reason not in HARMFUL and _ended_harmlessly(tx, card, derivation.person)


def _ended_harmlessly(tx: Transaction, card: ProvedCard, person: UUID) -> bool:
    last = bindings.last_of(tx, card.trust_entry, card.identifier, person)
    return last is not None and last.ended_at is not None and last.end_reason in HARMLESS_ENDS


def _end_sessions(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    proved, now = card_sessions.proved_card(tx, derivation.proof), deps.clock.now()
    card = bindings.last_of(tx, *proved, derivation.person) if proved else None
    if card is not None:
        card_sessions.end_with(tx, card.trust_entry, card, since=now - SESSION_ABSOLUTE, until=now)


def _open_incident(tx: Transaction, deps: Dependencies, derivation: Derivation, finding: Finding, became: str) -> None:
    """Have Officers look at it: somebody may have used a card that was not theirs (SP 800-157 §2.2)."""
    record(
        tx,
        deps,
        "incident:opened",
        actor="card_recheck",
        subject=derivation.id,
        reason=finding.reason,
        credentials=became,
    )
    text = (
        f"The certificate of a smart card was found revoked ({finding.reason}) within {deps.card_lookback.days} days "
        f"of its use. {_BECAME[became]}\n\n  Derivation {derivation.id}\n  Person {derivation.person}\n\n"
        "Find out who used the card, and what else was done with it.\n"
    )
    notices.officers(tx, deps, "A smart card was revoked shortly after it was used", text)


def cards_ended(deps: Dependencies, trust_entry: str, binding_id: UUID | None, ended_at: datetime) -> None:
    """End what was made lately with a card that stands for nobody since then, or with any card of a removed entry.

    An issuance under way has locked its derivation: it is waited for, or sees the end. What began and is not seen here
    yet goes no further, because every step asks for the binding. Running it twice does no harm.
    """
    with deps.database.transaction() as tx:
        card = None if binding_id is None else bindings.find(tx, binding_id)
        card_sessions.end_with(tx, trust_entry, card, since=ended_at - SESSION_ABSOLUTE, until=ended_at)
        found = derivations.made_with(tx, trust_entry, card, since=ended_at - deps.card_lookback, until=ended_at)
    for derivation_id in found:
        with deps.database.transaction() as tx:
            settle(tx, deps, derivation_id, UNBOUND)


def _record(deps: Dependencies, derivation: Derivation, proof: CardProof) -> None:
    with deps.database.transaction() as tx:
        record(tx, deps, "card:checked_again", actor="worker", subject=derivation.id, card_proof=str(proof.id))


def _record_finding(tx: Transaction, deps: Dependencies, derivation: Derivation, finding: Finding, became: str) -> None:
    proof = str(derivation.proof)
    tell = partial(record, tx, deps, finding.event, actor="worker", subject=derivation.id, card_proof=proof)
    if finding.is_revoked:
        tell(code=finding.code, reason=finding.reason, credentials=became)
    else:
        tell(code=finding.code)
