# SPDX-License-Identifier: Apache-2.0
"""The live link from each derivation to its person's card (SP 800-157 §2.4): kept, moved to a new card, renewed.

What ends credentials is the end of the account. The card's status is watched besides, and is never enough by itself.
"""

from urllib.parse import urlsplit
from uuid import UUID

from etymon.directory import bindings, people, trust
from etymon.directory.model import HARMLESS_ENDS
from etymon.issuer import notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import CardLinkState, CardProof, Derivation
from etymon.issuer.store import card_links as store
from etymon.issuer.store import card_sessions, card_sources
from etymon.issuer.store.card_links import CardLink
from etymon.issuer.store.card_sessions import ProvedCard
from etymon.issuer.store.card_sources import CardSource
from etymon.kernel.entropy import random_id
from etymon.pki import certificate as reading
from etymon.storage.database import Transaction


def keep(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    """Link a derivation to the card that was proved for it, and have that card's status watched."""
    proof = card_sessions.find_proof(tx, derivation.proof)
    if proof is None:
        return
    source, serial = _source(tx, deps, proof)
    card = ProvedCard(proof.trust_entry, proof.identifier)
    link = CardLink(derivation.id, derivation.person, card, CardLinkState.WATCHED, source, proof.certificates[0])
    store.add(tx, link, serial, deps.clock.now())


def replaced(tx: Transaction, deps: Dependencies, person_id: UUID, old_id: UUID, new_id: UUID) -> None:
    """Link what a person derived from a card to the card that took its place, and tell; twice does no harm."""
    old, new = bindings.find(tx, old_id), bindings.find(tx, new_id)
    person = people.keep_active(tx, person_id)
    if old is None or new is None or person is None:
        return
    from_card = ProvedCard(old.trust_entry, old.identifier)
    moved = [link for link in store.of_person(tx, person_id) if link.card == from_card]
    for link in moved:
        store.relink(tx, link.derivation, ProvedCard(new.trust_entry, new.identifier), deps.clock.now())
        _record_move(tx, deps, link, new_id)
    if moved:
        notices.card_replaced(tx, deps, person)


def presented(tx: Transaction, deps: Dependencies, proof: CardProof) -> None:
    """Watch the card that was just proved in place of those it follows: ones that were replaced, or never seen."""
    card = ProvedCard(proof.trust_entry, proof.identifier)
    following = [link for link in store.of_person(tx, proof.person) if _follows(tx, link, card)]
    if not following:
        return
    source, serial = _source(tx, deps, proof)
    for link in following:
        store.relink(
            tx,
            link.derivation,
            card,
            deps.clock.now(),
            source=source,
            serial=serial,
            certificate=proof.certificates[0],
        )
        if link.card != card:
            bound = bindings.last_of(tx, card.trust_entry, card.identifier, proof.person)
            _record_move(tx, deps, link, bound.id if bound else None)


def _follows(tx: Transaction, link: CardLink, card: ProvedCard) -> bool:
    if link.card == card:
        return link.certificate is None
    before = bindings.last_of(tx, link.card.trust_entry, link.card.identifier, link.person)
    return before is not None and before.end_reason in HARMLESS_ENDS


def _record_move(tx: Transaction, deps: Dependencies, link: CardLink, to: UUID | None) -> None:
    record(tx, deps, "card_link:moved", actor="directory", subject=link.derivation, binding=str(to) if to else None)


def _source(tx: Transaction, deps: Dependencies, proof: CardProof) -> tuple[UUID, int]:
    """Return where the status of a proved card is asked, and the card's serial number."""
    leaf = reading.load(proof.certificates[0])
    url = deps.lists_of(trust.entry(tx, proof.trust_entry)).list_address(leaf)
    issuer = proof.certificates[1]
    host = urlsplit(url).netloc.lower() if url else ""
    source = CardSource(random_id(deps.entropy), proof.trust_entry, issuer, url, host)
    return card_sources.keep(tx, source, reading.thumbprint(reading.load(issuer))), leaf.serial_number
