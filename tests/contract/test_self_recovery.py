# SPDX-License-Identifier: Apache-2.0
"""Self-recovery at a card session: whose keys come out, under which password, how often, and who is told."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import pkcs12

from etymon.directory import bindings, people, trust
from etymon.directory.model import Role
from etymon.directory.tables import address_changes
from etymon.escrow import deposit, legal_hold
from etymon.escrow.model import EscrowedKey
from etymon.escrow.tables import keys as escrow_keys
from etymon.escrow.tables import releases
from etymon.issuer import follow_ups, holds, self_recovery
from etymon.issuer.model import CardSession, CredentialState, Purpose
from etymon.issuer.self_recovery import MOST_IN_WINDOW, Offer
from etymon.issuer.store import card_sessions, credentials, derivations
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, NotFound, NotPermitted, Throttled, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.certificate import spki
from support import escrowed, packed_keys
from support.applicants import Applicant, somebody
from support.appointments import give
from support.clock import TurnedClock
from support.issuer_hold import BOTH, order, refused, together
from support.issuer_site import ADMINISTRATOR, PC, IssuerSite

NUMBERS = count()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has people and keys of its own, and looks at its own time."""
    databases = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_databases")
    database = databases.migrated()
    found = IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("recovery"))
    found.save_rule(purposes=(Purpose.AUTHENTICATION, Purpose.ENCRYPTION), most_derivations=9)
    yield found
    databases.drop(database)


class Owner:
    """Somebody with a card, a fresh session and keys in escrow."""

    def __init__(self, site: IssuerSite, keys: int = 1) -> None:
        self.site, self.who = site, somebody(site)
        self.keys = [self.keep() for _ in range(keys)]
        site.settle(self.who.person)
        self.session = self.who.session()
        site.mail()

    def keep(self) -> EscrowedKey:
        self.site.turn(seconds=1)
        return escrowed.kept(self.site.escrow, self.who.person, next(NUMBERS))

    def offer(self, key: uuid.UUID | None = None) -> Offer:
        return self_recovery.offer(self.site.deps, self.session, key)

    def recover(self, offered: Offer | None = None, session: CardSession | None = None) -> dict[uuid.UUID, bytes]:
        offered = offered or self.offer(self.keys[0].id)
        found = self_recovery.recover(self.site.deps, session or self.session, offered, source=PC)
        return {each.key.id: each.package for each in found}

    def mails(self) -> list[str]:
        """Return what this person was told since mail was last taken."""
        return told(self.site, self.who)

    def refusals(self) -> list[object]:
        """Return the codes of what this person was refused at this session, newest first."""
        subject = f"card_proof:{self.session.proof}"
        return [event.facts["code"] for event in self.site.events(self_recovery.REFUSAL) if event.subject == subject]


def told(site: IssuerSite, who: Applicant) -> list[str]:
    return [str(mail["text"]) for mail in site.mail() if mail["to"] == list(who.person.mail_addresses)]


def released(site: IssuerSite, key: EscrowedKey) -> list[uuid.UUID | None]:
    """Return for which card proofs a key was released."""
    with site.database.snapshot() as tx:
        return list(tx.scalars(sa.select(releases.c.card_proof).where(releases.c.key_id == key.id)))


@pytest.mark.needs("openssl")
@BOTH
def test_the_owner_gets_a_key_that_openssl_opens_and_is_told_at_all_addresses(site: IssuerSite, tmp_path: Path) -> None:
    owner = Owner(site)
    (key,) = owner.keys
    with site.database.transaction() as tx:
        addresses = (*owner.who.person.mail_addresses, "private@mail.example")
        people.update(tx, site.deps, owner.who.person.id, mail_addresses=addresses, actor=ADMINISTRATOR)
    site.settle(owner.who.person)
    site.mail()
    assert [own.key for own in self_recovery.listed(site.deps, owner.session)] == [key]
    assert released(site, key) == [], "looking releases nothing"
    offered = owner.offer(key.id)
    package = owner.recover(offered)[key.id]
    password = offered.password.reveal()
    assert packed_keys.judge(package, password, tmp_path) == (spki(key.public_key), key.certificate)
    assert packed_keys.refuses(package, password.lower(), tmp_path)
    assert released(site, key) == [owner.session.proof]
    mails = site.mail()
    assert sorted(str(each["to"][0]) for each in mails) == sorted(addresses)
    mail = mails[0]
    assert key.certificate is not None
    assert f"{key.certificate.serial_number:x}" in str(mail["text"])
    assert "handed out as a file at a card session" in str(mail["text"])
    assert password not in str(mail)
    event = site.events("issuer:self_recovery:released")[0]
    expected = (f"person:{owner.who.person.id}", f"card_proof:{owner.session.proof}", 1, PC)
    assert (event.actor, event.subject, event.facts["keys"], event.source) == expected
    assert site.events("escrow:key:released")[0].facts["card_proof"] == str(owner.session.proof)
    assert not any(password in str(event) for event in site.events())
    assert owner.recover(offered).keys() == {key.id}, "whoever loses the file fetches it again"
    assert len(site.mail()) == len(addresses)


def test_all_keys_come_under_one_password_and_another_key_has_another(site: IssuerSite) -> None:
    owner = Owner(site, keys=2)
    offered = owner.offer()
    found = owner.recover(offered)
    assert found.keys() == {key.id for key in owner.keys}
    for key in owner.keys:
        private, certificate, _ = pkcs12.load_key_and_certificates(found[key.id], offered.password.reveal().encode())
        assert (private and private.public_key(), certificate) == (key.public_key, key.certificate)
    assert "2 encryption keys" in owner.mails()[0]
    assert offered.password != owner.offer().password


def test_only_what_this_session_was_shown_for_this_key_is_a_password(site: IssuerSite) -> None:
    owner = Owner(site, keys=2)
    first, second = (key.id for key in owner.keys)
    right = owner.offer(first)
    wrong = [
        replace(right, password=Secret("1")),
        replace(right, key=second),
        replace(right, key=None),
        replace(right, seal=""),
        replace(right, seal="ü" * 64),
        self_recovery.offer(site.deps, owner.who.session(), first),
    ]
    for offered in wrong:
        refused(NotPermitted, "recovery_password_wrong", partial(owner.recover, offered))
    assert len(owner.mails()) == len(wrong)
    assert owner.refusals() == ["recovery_password_wrong"] * len(wrong)
    assert [released(site, key) for key in owner.keys] == [[], []]
    assert owner.recover(right)


@BOTH
def test_nobody_gets_the_key_of_somebody_else_and_both_are_told(site: IssuerSite) -> None:
    owner, mallory = Owner(site), Owner(site)
    (key,) = owner.keys
    refused(NotFound, "escrowed_key_unknown", lambda: mallory.recover(mallory.offer(key.id)))
    mails = {tuple(mail["to"]): str(mail["text"]) for mail in site.mail()}
    assert "was asked for and not delivered" in mails[owner.who.person.mail_addresses]
    assert "asked for in your name" in mails[mallory.who.person.mail_addresses]
    assert released(site, key) == []
    event = site.events("escrow:key:release_refused")[0]
    assert (event.actor, event.facts["refusal"]) == (f"person:{mallory.who.person.id}", "escrowed_key_unknown")
    refused(NotFound, "escrowed_key_unknown", lambda: mallory.recover(mallory.offer(uuid.uuid4())))
    assert len(mallory.mails()) == 1
    assert mallory.refusals() == ["escrowed_key_unknown"] * 2
    nothing = Owner(site, keys=0)
    refused(NotFound, "escrowed_key_unknown", lambda: nothing.recover(nothing.offer()))
    assert len(nothing.mails()) == 1


def test_a_card_that_was_presented_too_long_ago_recovers_nothing(site: IssuerSite) -> None:
    owner = Owner(site)
    offered = owner.offer(owner.keys[0].id)
    site.turn(minutes=10)
    refused(NotPermitted, "card_proof_old", lambda: owner.recover(offered))
    refused(NotPermitted, "card_proof_old", owner.offer)
    assert (len(owner.mails()), released(site, owner.keys[0])) == (1, [])
    owner.session = owner.who.session()
    refused(NotPermitted, "recovery_password_wrong", lambda: owner.recover(offered))
    assert owner.recover()


def test_a_card_that_is_good_no_more_recovers_nothing(site: IssuerSite) -> None:
    owner = Owner(site)
    serial = owner.who.card.certificate.serial_number
    site.card_status.revoked.add(serial)
    refused(NotPermitted, "card_revoked", owner.recover)
    site.card_status.revoked.remove(serial)
    site.card_status.answers = False
    try:
        refused(Unavailable, "status_unavailable", owner.recover)
    finally:
        site.card_status.answers = True
    assert owner.recover()
    with site.database.transaction() as tx:
        for binding in bindings.bindings_of(tx, owner.who.person.id):
            bindings.end(tx, site.deps, binding.id, reason="stolen", actor=ADMINISTRATOR)
    refused(NotPermitted, "card_not_bound", owner.recover)
    assert len(released(site, owner.keys[0])) == 1
    assert ["was asked for and not delivered" in mail for mail in owner.mails()].count(True) == 3


def test_cards_that_are_trusted_no_more_recover_nothing(site: IssuerSite) -> None:
    owner = Owner(site)
    with site.database.snapshot() as tx:
        cards = trust.entry(tx, "cards")
    with site.database.transaction() as tx:
        trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR)
    try:
        refused(NotPermitted, "card_not_bound", owner.recover)
    finally:
        site.trust(cards)
    assert released(site, owner.keys[0]) == []


def test_who_has_no_account_or_no_address_gets_nothing(site: IssuerSite) -> None:
    gone, silent = Owner(site), Owner(site)
    offered = gone.offer(gone.keys[0].id)
    site.end_account(gone.who.person)
    refused(NotPermitted, "not_eligible", lambda: gone.recover(offered))
    with site.database.transaction() as tx:
        people.update(tx, site.deps, silent.who.person.id, mail_addresses=(), actor=ADMINISTRATOR)
    site.settle(silent.who.person)
    refused(Conflict, "no_notice_address", silent.recover)
    assert [gone.refusals(), silent.refusals()] == [["not_eligible"], ["no_notice_address"]]
    assert [released(site, each.keys[0]) for each in (gone, silent)] == [[], []]


def test_a_destroyed_key_is_gone_and_a_damaged_one_keeps_no_other_from_its_owner(site: IssuerSite) -> None:
    owner = Owner(site, keys=3)
    gone, damaged, good = owner.keys
    with site.database.transaction() as tx:
        past = {"keep_until": site.clock.now()}
        tx.execute(escrow_keys.update().where(escrow_keys.c.id == gone.id).values(**past))
        deposit.destroy(tx, site.escrow, gone.id, reason="retention over", actor=ADMINISTRATOR)
        tx.execute(escrow_keys.update().where(escrow_keys.c.id == damaged.id).values(wrapped=bytes(100)))
    assert gone.id not in {own.key.id for own in self_recovery.listed(site.deps, owner.session)}
    refused(Conflict, "escrowed_key_destroyed", lambda: owner.recover(owner.offer(gone.id)))
    site.mail()
    assert owner.recover(owner.offer()).keys() == {good.id}
    assert sorted("not delivered" in mail for mail in owner.mails()) == [False, True]
    refused(Unavailable, "escrowed_key_unusable", lambda: owner.recover(owner.offer(damaged.id)))


def test_what_an_officer_holds_stays_in_escrow_until_that_is_decided(site: IssuerSite) -> None:
    owner = Owner(site)
    link = site.linked(card=owner.who.card)
    link.enroll()
    certificate = link.enroll(Purpose.ENCRYPTION).certificate
    site.turn(minutes=20)
    follow_ups.sweep(site.deps)
    owner.session = owner.who.session()
    held = next(own.key for own in self_recovery.listed(site.deps, owner.session) if own.key.certificate == certificate)
    derivation = link.begun.derivation.id
    holds.hold_own(site.deps, owner.session, derivation, source=PC)
    assert owner.recover(owner.offer(held.id)), "whoever mislaid a phone reads mail all the same"
    holds.hold(site.deps, derivation, order(site))
    shown = {own.key.id: own.is_held_by_officer for own in self_recovery.listed(site.deps, owner.session)}
    assert shown == {held.id: True, owner.keys[0].id: False}
    refused(NotPermitted, "key_held_by_officer", lambda: owner.recover(owner.offer(held.id)))
    assert owner.recover(owner.offer()).keys() == {owner.keys[0].id}
    assert len(released(site, held)) == 2, "to the phone, and to who held it"
    holds.restore(site.deps, derivation, order(site, "Showed a passport."))
    assert owner.recover(owner.offer(held.id))


@BOTH
def test_an_officers_hold_that_is_under_way_is_waited_for(site: IssuerSite) -> None:
    owner = Owner(site)
    link = site.linked(card=owner.who.card)
    link.enroll()
    certificate = link.enroll(Purpose.ENCRYPTION).certificate
    owner.session = owner.who.session()
    held = next(own.key for own in self_recovery.listed(site.deps, owner.session) if own.key.certificate == certificate)
    offered, credential = owner.offer(held.id), site.credentials(link.begun)[Purpose.ENCRYPTION]
    values = {"held_until": site.clock.now() + timedelta(days=1), "held_by": site.officer.id}
    with ThreadPoolExecutor(1) as elsewhere:
        with site.database.transaction() as tx:
            derivations.lock(tx, link.begun.derivation.id)
            recovering = elsewhere.submit(owner.recover, offered)
            wait([recovering], timeout=1)  # it cannot end before this does, and says nothing of where it stands
            assert not recovering.done()
            assert credentials.move(tx, credential, CredentialState.HELD, values)
        refused(NotPermitted, "key_held_by_officer", recovering.result)


def test_a_legal_hold_keeps_nothing_from_the_owner(site: IssuerSite) -> None:
    owner, official = Owner(site), site.person(f"official{next(NUMBERS)}")
    with site.database.transaction() as tx:
        give(tx, site.deps, official, Role.KEY_RECOVERY_OFFICIAL)
    legal_hold.place(site.escrow, owner.who.person.id, reference="case 7", reason="inquiry", by=official.id)
    assert owner.recover()


def test_while_the_trail_stands_still_nothing_is_released(site: IssuerSite) -> None:
    owner = Owner(site)
    site.clock.advance(timedelta(minutes=2))
    refused(Unavailable, "audit_not_sealed", owner.recover)
    site.turn(seconds=1)
    assert owner.recover()


@BOTH
def test_an_hour_has_so_many_attempts_whatever_comes_at_once(site: IssuerSite) -> None:
    owner = Owner(site)
    wrong = replace(owner.offer(owner.keys[0].id), seal="")
    begun = site.clock.now()
    for _ in range(MOST_IN_WINDOW - 3):
        refused(NotPermitted, "recovery_password_wrong", lambda: owner.recover(wrong))
    site.turn(minutes=1)
    site.mail()
    outcomes = together(*[partial(owner.recover, wrong)] * 6)
    assert sorted(outcomes) == ["recovery_password_wrong"] * 3 + ["too_many_recoveries"] * 3
    assert len(owner.mails()) == 3, "no mail beyond the bound"
    assert "too_many_recoveries" in owner.refusals()
    assert Owner(site).recover(), "each person has their own"
    with pytest.raises(Throttled) as late:
        owner.recover()
    assert late.value.retry_after_seconds == (begun + self_recovery.WINDOW - site.clock.now()).total_seconds() + 1
    site.turn(hours=1)
    owner.session = owner.who.session()
    assert owner.recover()


def test_the_card_proof_that_an_attempt_stood_on_is_kept(site: IssuerSite) -> None:
    owner = Owner(site)
    owner.recover()
    unused = owner.who.session()
    site.turn(days=2)
    follow_ups.sweep(site.deps)
    with site.database.snapshot() as tx:
        assert card_sessions.find_proof(tx, owner.session.proof) is not None
        assert card_sessions.find_proof(tx, unused.proof) is None


def test_a_new_card_and_new_addresses_recover_nothing_for_a_week_and_the_old_address_is_told(site: IssuerSite) -> None:
    """An Administrator alone changes where the owner is told, and binds a spare card."""
    owner, mallory = Owner(site), Owner(site, keys=0)
    old = owner.who.person.mail_addresses
    with site.database.transaction() as tx:
        new = (f"spare{next(NUMBERS)}@example.test",)
        people.update(tx, site.deps, owner.who.person.id, mail_addresses=new, actor=ADMINISTRATOR)
    refused(NotPermitted, "recovery_too_early", owner.recover)
    with site.database.transaction() as tx:
        (spare,) = bindings.live_cards_of(tx, mallory.who.person.id)
        bindings.end(tx, site.deps, spare.id, reason="replaced", actor=ADMINISTRATOR)
        card = {"trust_entry": spare.trust_entry, "identifier": spare.identifier}
        bindings.bind(tx, site.deps, person_id=owner.who.person.id, actor=ADMINISTRATOR, **card)
    session = mallory.who.session()
    assert session.person == owner.who.person.id
    offered = self_recovery.offer(site.deps, session, None)
    refused(NotPermitted, "recovery_too_early", lambda: owner.recover(offered, session))
    told_of = sorted(str(mail["subject"]) for mail in site.mail() if mail["to"] == list(old))
    attempts = ["Your encryption key"] * 2
    assert told_of == ["A credential was linked to your account", *attempts, "Your mail addresses were changed"]
    with site.database.transaction() as tx:
        tx.execute(address_changes.delete())
    refused(NotPermitted, "recovery_too_early", lambda: owner.recover(offered, session))
    assert released(site, owner.keys[0]) == []
    site.settle(owner.who.person)
    assert owner.recover(offered, session), "after a week in which nobody objected"


def test_a_card_that_was_shown_for_something_else_recovers_nothing(site: IssuerSite) -> None:
    owner = Owner(site)
    offered, elsewhere = owner.offer(owner.keys[0].id), replace(owner.session, for_keys=False)
    refused(NotPermitted, "card_proof_elsewhere", lambda: owner.recover(offered, elsewhere))
    refused(NotPermitted, "card_proof_elsewhere", lambda: self_recovery.offer(site.deps, elsewhere, None))
    assert released(site, owner.keys[0]) == []


def test_where_an_officer_holds_all_keys_that_is_said(site: IssuerSite) -> None:
    owner = Owner(site, keys=0)
    link = site.linked(card=owner.who.card)
    link.enroll()
    link.enroll(Purpose.ENCRYPTION)
    site.turn(minutes=20)
    follow_ups.sweep(site.deps)
    owner.session = owner.who.session()
    (own,) = self_recovery.listed(site.deps, owner.session)
    holds.hold(site.deps, link.begun.derivation.id, order(site))
    refused(NotPermitted, "key_held_by_officer", lambda: owner.recover(owner.offer()))
    refused(NotPermitted, "key_held_by_officer", lambda: owner.recover(owner.offer(own.key.id)))
