# SPDX-License-Identifier: Apache-2.0
"""Who may have a derived credential now: an active person with a mail address, covered by a rule of an officer."""

from dataclasses import dataclass
from uuid import UUID

from etymon.directory import bindings, groups, people, trust
from etymon.directory.model import Binding, Person
from etymon.issuer import revoked_authorities
from etymon.issuer.errors import (
    card_not_bound,
    card_required,
    identity_proofing_old,
    no_card_bound,
    no_rule,
    not_eligible,
    purpose_not_allowed,
    rule_withdrawn,
)
from etymon.issuer.model import (
    COUNTED,
    PROOFING_LIFETIME,
    Derivation,
    DerivationState,
    DeviceDescription,
    IssuanceRule,
    Purpose,
)
from etymon.issuer.store import card_sessions, credentials, derivations, rules
from etymon.kernel.clock import Clock
from etymon.pki.trust_entry import TrustKind
from etymon.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Applicant:
    """A person who may have a derived credential, and the rule that says so."""

    person: Person
    rule: IssuanceRule


def applicant(tx: Transaction, person_id: UUID) -> Applicant:
    """Return the person with the first rule, by name, that covers one of their groups; `NotPermitted` otherwise."""
    person = _eligible(tx, person_id)
    theirs = groups.groups_of(tx, person_id)
    for rule in rules.in_force(tx):
        if rule.groups & theirs:
            return Applicant(person, rule)
    raise no_rule()


def still_applicant(tx: Transaction, derivation: Derivation) -> Applicant:
    """Return person and rule of a derivation under way; `NotPermitted` when either, or the card, holds no more."""
    person = _eligible(tx, derivation.person)
    require_bound(tx, derivation.proof, derivation.person)
    found = rules.find(tx, derivation.rule)
    if found is None or found[1] is not None:
        raise rule_withdrawn()
    _require_covered(tx, person, found[0])
    return Applicant(person, found[0])


def covered(tx: Transaction, person_id: UUID, rule: IssuanceRule) -> Person:
    """Return an eligible person whom a rule covers; `NotPermitted` otherwise."""
    person = _eligible(tx, person_id)
    _require_covered(tx, person, rule)
    return person


def _require_covered(tx: Transaction, person: Person, rule: IssuanceRule) -> None:
    if not rule.groups & groups.groups_of(tx, person.id):
        raise no_rule()


def of_rekey(tx: Transaction, clock: Clock, derivation: Derivation, purpose: Purpose) -> Applicant:
    """Return person and rule of a derivation that goes on (CP 3.3.1, SP 800-157r1 §2.3).

    The card may be another one by now: what counts is that the person has one, and that a rule in force covers person,
    phone and purpose. `NotPermitted` otherwise, and when the card was proved too long ago.
    """
    found = applicant(tx, derivation.person)
    if not any(binding.ended_at is None for binding in _cards_of(tx, derivation.person)):
        raise no_card_bound()
    proved_at = card_sessions.proved_at(tx, derivation.proof)
    if proved_at is None or clock.now() >= proved_at + PROOFING_LIFETIME:
        raise identity_proofing_old()
    managed = derivation.link is not None and derivation.link.device is not None
    said = derivation.link.description if derivation.link else DeviceDescription()
    is_covered = found.rule.device_class(said.manufacturer, said.model) is not None
    if purpose not in found.rule.purposes or (found.rule.managed_devices_only and not managed) or not is_covered:
        raise purpose_not_allowed()
    return found


def _cards_of(tx: Transaction, person_id: UUID) -> list[Binding]:
    cards = {version.name for version in trust.versions(tx, TrustKind.CARD)}
    return [binding for binding in bindings.bindings_of(tx, person_id) if binding.trust_entry in cards]


def require_bound(tx: Transaction, proof: UUID, person_id: UUID) -> None:
    """Refuse a card that is no longer bound to the person it was proved for: it was lost, or its issuer is."""
    card = card_sessions.proved_card(tx, proof)
    if card is None:
        raise card_required()
    if bindings.holder_of(tx, card.trust_entry, card.identifier) != person_id:
        raise card_not_bound()


def devices_in_use(tx: Transaction, clock: Clock, person_id: UUID, *, but: UUID | None = None) -> int:
    """Return on how many devices a person has credentials or is about to; what a revoked authority certified is none.

    Whoever acts on the number has locked the person's derivations before.
    """
    now = clock.now()
    found = credentials.live_of_person(tx, person_id, now)
    worthless = revoked_authorities.of_credentials(tx, found)
    carrying = {credential.derivation for credential in found if credential.id not in worthless}
    for derivation in derivations.of_person(tx, person_id, COUNTED - {DerivationState.COMPLETED}):
        if derivation.expires_at > now:
            carrying.add(derivation.id)
    return len(carrying - {but})


def _eligible(tx: Transaction, person_id: UUID) -> Person:
    person = people.find(tx, person_id)
    if person is None or not person.active:
        raise not_eligible("Your account has ended. Ask your administrator.")
    if not person.can_be_told:
        raise not_eligible(
            "No mail address is known for you, so nobody could tell you of what happens. Ask your administrator."
        )
    return person
