# SPDX-License-Identifier: Apache-2.0
"""Who gets no rekey, and when: the window, the person, the card, the rule, the key, the kind of certificate."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.ca import holds
from etymon.directory import bindings, groups, people
from etymon.issuer import completion, rekey
from etymon.issuer.model import CredentialState, Purpose
from etymon.issuer.rekey import RekeyRequest
from etymon.issuer.tables import card_proofs
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotAuthenticated, NotPermitted, Unavailable
from etymon.pki import certificate as reading
from etymon.pki.algorithms import KeyType
from etymon.pki.trust_entry import IdentifierKind, TrustKind
from etymon.storage.database import Database
from etymon.wire import est
from support import declared_pki
from support.ca_site import csr_der
from support.databases import SQLiteDatabases
from support.issuer_phone import Phone
from support.issuer_rekey import LIFETIME, Holder, fresh_body, holder, rekeying_site, shown
from support.issuer_site import ADMINISTRATOR, IssuerSite


@pytest.fixture(scope="module")
def database(sqlite_databases: SQLiteDatabases) -> Iterator[Database]:
    """One for the module: every test has a phone of its own, and puts right what it changed."""
    database = sqlite_databases.migrated()
    yield database
    sqlite_databases.drop(database)


@pytest.fixture(scope="module")
def site(database: Database, tmp_path_factory: pytest.TempPathFactory) -> IssuerSite:
    return rekeying_site(database, tmp_path_factory.mktemp("rekey"))


def refusal(phone: Holder, purpose: Purpose = Purpose.AUTHENTICATION, body: bytes | None = None) -> str:
    with pytest.raises(EtymonError) as refused:
        phone.rekey(purpose, body)
    return refused.value.code


# ---- when


def test_it_is_refused_before_the_window_with_a_sentence_that_says_when(site: IssuerSite) -> None:
    phone = holder(site, due=False)
    certificate = phone.held[Purpose.AUTHENTICATION]
    opens = certificate.not_valid_after_utc - timedelta(days=1)  # the last third of three days, to the second
    with pytest.raises(NotPermitted, match="rekey_not_due") as refused:
        phone.rekey()
    assert f"{opens:%Y-%m-%d %H:%M}" in str(refused.value.detail)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    site.turn(seconds=(certificate.not_valid_after_utc - life / 3 - site.clock.now()).total_seconds() - 1)
    assert refusal(phone) == "rekey_not_due"
    site.turn(seconds=1)
    assert phone.rekey().certificate.serial_number


def test_it_is_offered_thirty_days_before_the_end_of_a_long_life(site: IssuerSite) -> None:
    site.save_rule(lifetime=timedelta(days=365), most_derivations=100)
    try:
        phone = holder(site, due=False)
    finally:
        site.save_rule(lifetime=LIFETIME, most_derivations=100)
    end = phone.held[Purpose.AUTHENTICATION].not_valid_after_utc
    with pytest.raises(NotPermitted) as refused:
        phone.rekey()
    assert f"{end - timedelta(days=30):%Y-%m-%d %H:%M}" in str(refused.value.detail)


def test_after_its_end_nothing_is_rekeyed(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE)
    body = fresh_body()
    phone.take(body=body)
    site.turn(days=1)
    assert refusal(phone, Purpose.SIGNATURE) == "credential_over"
    with pytest.raises(NotPermitted, match="expired"):
        phone.rekey(body=body, peer=shown(phone.first))


# ---- who


def without_group(site: IssuerSite) -> Iterator[None]:
    with site.database.transaction() as tx:
        groups.remove_member(tx, site.deps, site.group, site.alice.id, actor=ADMINISTRATOR)
    yield
    site.join(site.alice)


def without_mail(site: IssuerSite) -> Iterator[None]:
    set_mail(site)
    yield
    set_mail(site, "alice@agency.example")


def set_mail(site: IssuerSite, *addresses: str) -> None:
    with site.database.transaction() as tx:
        people.update(tx, site.deps, site.alice.id, mail_addresses=addresses, actor=ADMINISTRATOR)


def without_card(site: IssuerSite) -> Iterator[None]:
    with site.database.transaction() as tx:
        (card,) = [
            found
            for found in bindings.bindings_of(tx, site.alice.id)
            if found.trust_entry == "cards" and found.ended_at is None
        ]
        bindings.end(tx, site.deps, card.id, reason="lost", actor=ADMINISTRATOR)
    yield
    site.card = site.bound_card(site.alice)


def with_revoked_card(site: IssuerSite) -> Iterator[None]:
    site.card_status.revoked.add(site.card.certificate.serial_number)
    yield
    site.card_status.revoked.clear()


def with_silent_status(site: IssuerSite) -> Iterator[None]:
    site.card_status.answers = False
    yield
    site.card_status.answers = True


def with_identity_proved_twelve_years_ago(site: IssuerSite) -> Iterator[None]:
    ago = site.clock.now() - timedelta(days=12 * 365)
    with site.database.transaction() as tx:
        before = {row.id: row.proved_at for row in tx.execute(sa.select(card_proofs.c.id, card_proofs.c.proved_at))}
        tx.execute(card_proofs.update().values(proved_at=ago))
    yield
    with site.database.transaction() as tx:
        for proof, moment in before.items():
            tx.execute(card_proofs.update().where(card_proofs.c.id == proof).values(proved_at=moment))


def with_rule(**changes: object) -> Callable[[IssuerSite], Iterator[None]]:
    def changed(site: IssuerSite) -> Iterator[None]:
        site.save_rule(**{"lifetime": LIFETIME, "most_derivations": 100, **changes})
        yield
        site.save_rule(lifetime=LIFETIME, most_derivations=100)

    return changed


def without_sealer(site: IssuerSite) -> Iterator[None]:
    site.begin(site.present_card())  # an event that nobody seals
    site.clock.advance(timedelta(seconds=61))
    yield
    site.ca.seal()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (without_group, "no_issuance_rule"),
        (without_mail, "not_eligible"),
        (without_card, "no_card_bound"),
        (with_revoked_card, "card_not_good"),
        (with_silent_status, "status_unavailable"),
        (with_identity_proved_twelve_years_ago, "identity_proofing_old"),
        (with_rule(key_types=frozenset({KeyType.P384})), "key_type_not_allowed"),
        (without_sealer, "audit_not_sealed"),
    ],
)
def test_what_does_not_hold_any_more_stops_it_and_uses_nothing_up(
    site: IssuerSite, change: Callable[[IssuerSite], Iterator[None]], code: str
) -> None:
    phone = holder(site)
    body = fresh_body()
    for _ in change(site):
        with pytest.raises((NotPermitted, Unavailable), match=code):
            phone.rekey(body=body)
    assert phone.rekey(body=body).certificate.serial_number


@pytest.mark.parametrize(("gets_it_after_all", "told"), [(False, 1), (True, 0)])
def test_its_person_is_told_of_a_refusal_that_lasts(site: IssuerSite, gets_it_after_all: bool, told: int) -> None:  # noqa: FBT001 - a parameter of the test
    phone = holder(site)
    site.mail()
    for _ in with_revoked_card(site):
        for _ in range(3):
            assert refusal(phone) == "card_not_good"
    if gets_it_after_all:
        phone.take()
    site.turn(hours=13)
    site.work()
    assert sum("could not replace" in mail["subject"] for mail in site.mail()) == told


def test_a_rule_that_leaves_the_purpose_out_rekeys_it_no_more(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE)
    for _ in with_rule(purposes=(Purpose.AUTHENTICATION,))(site):
        assert refusal(phone, Purpose.SIGNATURE) == "purpose_not_allowed"
        phone.take()
    phone.take(Purpose.SIGNATURE)


def test_a_rule_that_covers_phones_of_another_model_rekeys_this_one_no_more(site: IssuerSite) -> None:
    phone = holder(site)
    for _ in with_rule(device_models=("Samsung/*",))(site):
        assert refusal(phone) == "purpose_not_allowed"
    phone.take()


def test_a_rule_for_managed_phones_rekeys_no_other(site: IssuerSite) -> None:
    site.save_rule(lifetime=LIFETIME, most_derivations=100, managed_devices_only=False)
    phone = holder(site, phone=Phone(None))
    site.save_rule(lifetime=LIFETIME, most_derivations=100)
    assert refusal(phone) == "purpose_not_allowed"


def test_a_rule_that_was_changed_or_replaced_goes_on_for_whom_it_covers(site: IssuerSite) -> None:
    phone = holder(site)
    site.save_rule(lifetime=timedelta(days=5), most_derivations=100)
    new = phone.take()
    site.save_rule(lifetime=LIFETIME, most_derivations=100)
    assert new.not_valid_after_utc - site.clock.now() > timedelta(days=4)


def test_another_card_is_as_good_and_the_one_before_is_not_asked_about(site: IssuerSite) -> None:
    """A replaced card's certificates are revoked for harmless reasons (SP 800-157 §2.4)."""
    phone = holder(site)
    before = site.card
    site.card = site.cards.issue(site.clock.now(), "Alice Example", upn="alice@agency.example")
    site.card_status.revoked.add(before.certificate.serial_number)
    assert refusal(phone) == "card_not_good"
    try:
        site.linked()  # the new card is presented once
        assert phone.rekey().certificate.serial_number
    finally:
        site.card_status.revoked.clear()


def test_an_account_that_ended_is_refused_before_its_credentials_are_revoked_and_after(
    site: IssuerSite,
) -> None:
    bob = site.colleague()
    alice_card, site.card = site.card, site.bound_card(bob)
    try:
        phone = holder(site)
    finally:
        site.card = alice_card
    site.end_account(bob)
    assert refusal(phone) == "not_eligible"
    site.account_ended(bob)
    assert refusal(phone) == "revoked_by_database"


# ---- with which key


def test_a_key_that_was_ever_certified_is_not_certified_again(site: IssuerSite) -> None:
    other, phone = holder(site, due=False), holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE)
    own = phone.link.phone.key
    assert refusal(phone, body=est.encode_body(csr_der(own))) == "key_already_certified"
    assert refusal(phone, body=phone.link.phone.body(Purpose.SIGNATURE)) == "key_already_certified"
    assert refusal(phone, body=est.encode_body(csr_der(other.link.phone.key))) == "key_already_certified"
    phone.take()
    phone.confirm()
    assert refusal(phone, Purpose.SIGNATURE, est.encode_body(csr_der(own))) == "key_already_certified"


@pytest.mark.parametrize("body", [b"", b"!", b"AAAA", est.encode_body(b"\x30\x00")])
def test_what_is_no_request_is_malformed(site: IssuerSite, body: bytes) -> None:
    phone = holder(site, due=False)
    with pytest.raises(Malformed):
        phone.rekey(body=body)


def test_a_request_that_its_key_did_not_sign_is_malformed(site: IssuerSite) -> None:
    broken = bytearray(csr_der(ec.generate_private_key(ec.SECP256R1())))
    broken[-1] ^= 1
    assert refusal(holder(site), body=est.encode_body(bytes(broken))) == "proof_of_possession_failed"


def test_an_encryption_key_needs_a_transport_key(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.ENCRYPTION)
    assert refusal(phone, Purpose.ENCRYPTION, fresh_body()) == "transport_key"
    first = phone.link.phone.keys[Purpose.ENCRYPTION]
    assert isinstance(first, rsa.RSAPrivateKey)
    body = fresh_body(Purpose.ENCRYPTION)
    given = phone.rekey(Purpose.ENCRYPTION, body)
    again = phone.rekey(Purpose.ENCRYPTION, body)
    assert given.certificate == again.certificate
    assert given.enveloped_key != again.enveloped_key, "enveloped anew"


def test_a_purpose_the_phone_never_had_is_not_begun_by_a_rekey(site: IssuerSite) -> None:
    assert refusal(holder(site), Purpose.SIGNATURE) == "credential_unknown"


# ---- showing which certificate


def test_without_a_certificate_nobody_is_there(site: IssuerSite) -> None:
    with pytest.raises(NotAuthenticated, match="derived_credential_required"):
        rekey.rekey(site.deps, RekeyRequest(Purpose.AUTHENTICATION, fresh_body()), None, source="192.0.2.1")


def test_no_other_kind_of_certificate_rekeys(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE)
    device = phone.link.phone.peer
    assert device is not None
    foreign = declared_pki.root(site.clock.now(), "Another Derived CA")
    stranger = foreign.issue(site.clock.now(), "Alice Example")
    presented = {
        "device": (device, "wrong_certificate_kind"),
        "card": (shown(site.card.certificate), "wrong_certificate_kind"),
        "signature": (shown(phone.held[Purpose.SIGNATURE]), "wrong_policy"),
        "nobody's": (shown(stranger.certificate), "untrusted_root"),
    }
    for peer, code in presented.values():
        with pytest.raises(NotPermitted, match=code):
            phone.rekey(peer=peer)
    site.trust(declared_pki.entry(foreign, kind=TrustKind.DERIVED, name="partner", identifier=IdentifierKind.UUID))
    with pytest.raises(NotPermitted, match="wrong_certificate_kind"):
        phone.rekey(peer=shown(stranger.certificate))
    assert phone.rekey().certificate.serial_number


def test_another_person_s_credential_rekeys_its_own_person_only(site: IssuerSite) -> None:
    bob = site.person("bob-of-another-phone")
    site.join(bob)
    phone = holder(site, due=False)
    alice_card, site.card = site.card, site.bound_card(bob)
    try:
        other = holder(site)
    finally:
        site.card = alice_card
    body = fresh_body()
    given = other.rekey(body=body).certificate
    assert reading.upn(given) == "bob-of-another-phone@agency.example"
    with pytest.raises(Conflict, match="key_already_certified"):
        phone.rekey(body=body)
    phone.take()
    other.held[Purpose.AUTHENTICATION] = given
    with pytest.raises(NotPermitted, match="credential_unknown"):
        phone.confirm(peer=other.peer)
    assert not site.is_revoked(phone.first)


def test_a_revoked_credential_rekeys_nothing(site: IssuerSite) -> None:
    phone = holder(site)
    site.end_own(phone.link.begun)
    assert refusal(phone) == "revoked_by_database"


def test_a_held_credential_rekeys_nothing_and_is_lost_by_nothing(site: IssuerSite) -> None:
    """Whoever is told no now is told the same as before when the hold is over."""
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE)
    kept = site.credentials(phone.link.begun)
    with site.database.transaction() as tx:
        holds.hold(tx, site.ca.deps, kept[Purpose.SIGNATURE].certificate, requested_by="person:1", actor="officer:2")
    assert refusal(phone, Purpose.SIGNATURE) == "credential_unknown"
    with pytest.raises(EtymonError, match="certificate_held"):
        completion.finish(site.deps, kept[Purpose.SIGNATURE].id)
    assert site.credentials(phone.link.begun)[Purpose.SIGNATURE].state is CredentialState.ACTIVE
    with site.database.transaction() as tx:
        holds.restore(
            tx,
            site.ca.deps,
            kept[Purpose.SIGNATURE].certificate,
            requested_by="person:1",
            actor="officer:2",
            identity_evidence="card",
        )
    assert phone.rekey(Purpose.SIGNATURE).certificate.serial_number


def test_nothing_is_left_of_a_refusal_but_its_event(site: IssuerSite) -> None:
    phone = holder(site, due=False)
    before = len(site.credentials(phone.link.begun))
    assert refusal(phone) == "rekey_not_due"
    asking = site.credentials(phone.link.begun)[Purpose.AUTHENTICATION]
    (event,) = [event for event in site.events("issuer:rekey:refused") if event.subject == str(asking.id)]
    assert (event.actor, event.facts["code"], event.source) == (
        f"person:{site.alice.id}",
        "rekey_not_due",
        "192.0.2.20",
    )
    assert len(site.credentials(phone.link.begun)) == before
