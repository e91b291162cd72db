# SPDX-License-Identifier: Apache-2.0
"""Where a phone's keys are: proved at the link, at each request and at a rekey, or refused, with what is kept of it."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from etymon.issuer import issuance_rules, rekey
from etymon.issuer.attestation import authorities, challenges, store
from etymon.issuer.attestation.model import AttestationAuthority
from etymon.issuer.model import Attestation, Purpose
from etymon.issuer.rekey import RekeyRequest
from etymon.issuer.store import credentials
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError, Malformed, NotFound
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.certificate import thumbprint
from etymon.storage.database import Database
from etymon.wire.key_description import SecurityLevel
from support import attestations as made
from support.attestations import SOFTWARE, Maker, integer
from support.attesting_phone import MODELS, Attesting, believe, body, demand, enroll, request_challenge, transport_key
from support.clock import TurnedClock
from support.databases import Databases
from support.issuer_rekey import shown
from support.issuer_site import ADMINISTRATOR, DESCRIPTION, PHONE_ADDRESS, IssuerSite, Link, sha256

AUTHENTICATION, SIGNATURE, ENCRYPTION = Purpose


@pytest.fixture(scope="module")
def site(sqlite_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has a person, a phone and a rule of its own."""
    database = sqlite_databases.migrated()
    yield IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("attestation"))
    sqlite_databases.drop(database)


@pytest.fixture(scope="module")
def maker(site: IssuerSite) -> Maker:
    return Maker(site.clock.now(), factory=True)


@pytest.fixture
def phone(site: IssuerSite, maker: Maker) -> Attesting:
    """Return a phone at an issuer that believes its maker and requires attestation."""
    site.turn(minutes=1)
    believe(site, maker)
    demand(site)
    return Attesting.at(site, maker)


def refused(act: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(EtymonError) as caught:
        act(*arguments, **named)
    return caught.value.code


# ---- proved


def test_every_key_of_a_phone_is_proved_and_the_evidence_kept(phone: Attesting) -> None:
    link = phone.linked()
    link.enroll()
    signing, transport = made.ec_key(), transport_key()
    enroll(link, SIGNATURE, signing, phone.chain(signing.public_key(), request_challenge(link, SIGNATURE)))
    chain = phone.chain(transport.public_key(), request_challenge(link, ENCRYPTION), (1, 2))
    enroll(link, ENCRYPTION, transport, chain)
    kept = phone.kept()
    assert {purpose: found.verdict for purpose, found in kept.items()} == dict.fromkeys(Purpose, "attested")
    assert kept[AUTHENTICATION].key_sha256 == sha256(phone.phone.spki)
    assert kept[ENCRYPTION].chain == chain
    found = kept[SIGNATURE]
    assert (found.security_level, found.manufacturer, found.model) == ("trusted_environment", "Etymon", "Simulated")
    assert (found.authority, found.os_patch_level, found.status_list) == ("maker", 202609, False)
    told = [event for event in phone.site.events("issuer:key:judged") if event.subject == str(link.begun.derivation.id)]
    assert {(event.facts["purpose"], event.facts["verdict"]) for event in told} == {
        (purpose.value, "attested") for purpose in Purpose
    }


def test_the_same_redemption_and_the_same_request_again_get_the_same_answer(phone: Attesting) -> None:
    chain = phone.chain(phone.phone.key.public_key(), phone.link_challenge)
    assert phone.redeem(*chain) == phone.redeem(*chain)
    link = phone.linked()
    key = made.ec_key()
    asked = body(key, phone.chain(key.public_key(), request_challenge(link, SIGNATURE)))
    first = link.enroll(SIGNATURE, body=asked)
    assert link.enroll(SIGNATURE, body=asked).certificate == first.certificate
    assert len(phone.kept()) == 2


# ---- refused at the link


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("attestation_boot_state", {"hardware": {704: made.root_of_trust(locked=False)}}),
        ("attestation_boot_state", {"hardware": {704: made.root_of_trust(state=made.SELF_SIGNED)}}),
        (
            "attestation_security_level",
            {"level": SOFTWARE, "software": {702: integer(0), 2: integer(3), 1: made.set_of(integer(2))}},
        ),
        ("attestation_not_generated", {"hardware": {702: integer(2)}}),
        ("attestation_wrong_challenge", {"challenge": b"another"}),
        ("attestation_wrong_purpose", {"hardware": {1: made.set_of(integer(3))}}),
    ],
)
def test_what_a_maker_does_not_say_is_not_taken(phone: Attesting, code: str, said: dict[str, Any]) -> None:
    phone.said = said
    assert refused(phone.redeem) == code
    assert phone.kept() == {}
    event = phone.site.events("issuer:link:refused")[0]
    assert (event.subject, event.facts["code"]) == (str(phone.begun.derivation.id), code)
    phone.said = {}
    phone.redeem()  # nothing was counted, nothing ended


def test_a_phone_that_proves_nothing_is_refused(phone: Attesting) -> None:
    assert refused(phone.site.redeem, phone.phone, phone.begun) == "attestation_missing"


def test_a_chain_of_another_key_or_another_link_is_refused(phone: Attesting, site: IssuerSite, maker: Maker) -> None:
    other = Attesting.at(site, maker)
    assert (
        refused(phone.redeem, *phone.chain(other.phone.key.public_key(), phone.link_challenge))
        == "attestation_wrong_key"
    )
    replayed = phone.chain(phone.phone.key.public_key(), other.link_challenge)
    assert refused(phone.redeem, *replayed) == "attestation_wrong_challenge"


def test_a_root_that_nobody_named_is_not_believed(phone: Attesting, site: IssuerSite) -> None:
    phone.maker = Maker(site.clock.now(), factory=True)
    assert refused(phone.redeem) == "attestation_untrusted_root"
    believe(site, phone.maker, "another")
    phone.redeem()
    with site.database.transaction() as tx:
        authorities.remove(tx, site.deps, "another", actor=ADMINISTRATOR)


def test_a_revoked_key_of_the_maker_attests_nothing(phone: Attesting, site: IssuerSite, maker: Maker) -> None:
    serial = format(maker.attestation.certificate.serial_number, "x")
    believe(site, maker, status=AttestationStatusList(frozenset({serial})))
    assert refused(phone.redeem) == "attestation_revoked"
    believe(site, maker, status=AttestationStatusList())
    phone.redeem()
    assert phone.kept()[AUTHENTICATION].status_list


@pytest.mark.parametrize("name", ["a-first", "z-last"])
def test_of_two_authorities_with_one_root_either_can_revoke(phone: Attesting, name: str) -> None:
    serial = format(phone.maker.attestation.certificate.serial_number, "x")
    believe(phone.site, phone.maker, name, AttestationStatusList(frozenset({serial})))
    assert refused(phone.redeem) == "attestation_revoked"
    believe(phone.site, phone.maker, name, AttestationStatusList())
    phone.redeem()
    found = phone.kept()[AUTHENTICATION]
    assert (found.authority, found.status_list) == (name, True)
    with phone.site.database.transaction() as tx:
        authorities.remove(tx, phone.site.deps, name, actor=ADMINISTRATOR)


@pytest.mark.parametrize("junk", [b"", b"\x30\x80" * 400, b"\x30\x84\x7f\xff\xff\xff", bytes(13_000)])
def test_garbage_is_refused_and_harms_nothing(phone: Attesting, junk: bytes) -> None:
    assert refused(phone.redeem, junk, *phone.maker.issuers) == "attestation_malformed"
    assert refused(phone.redeem, *[junk] * 300) == "attestation_chain_length"
    phone.redeem()


def test_a_strong_box_can_be_asked_for(phone: Attesting, site: IssuerSite) -> None:
    demand(site, attestation_level=SecurityLevel.STRONG_BOX)
    strict = Attesting.at(site, phone.maker)
    assert refused(strict.redeem) == "attestation_security_level"
    strict.said = {"level": made.STRONG_BOX}
    strict.redeem()
    assert strict.kept()[AUTHENTICATION].security_level == "strong_box"


def test_verified_boot_need_not_be_asked_for(phone: Attesting, site: IssuerSite) -> None:
    demand(site, verified_boot=False)
    unlocked = Attesting.at(site, phone.maker)
    unlocked.said = {"hardware": {704: made.root_of_trust(locked=False)}}
    unlocked.redeem()
    assert unlocked.kept()[AUTHENTICATION].verdict == "attested"


def test_the_model_is_the_one_that_is_attested(phone: Attesting, site: IssuerSite) -> None:
    """The phone says that it is another model than its hardware says; a model that only it says is no model."""
    claimed = f"{DESCRIPTION.manufacturer}/{DESCRIPTION.model}"
    demand(site, device_models=(claimed,))
    assert refused(Attesting.at(site, phone.maker).redeem) == "device_class_not_covered"
    demand(site, device_models=(claimed, *MODELS))
    proved = Attesting.at(site, phone.maker)
    proved.redeem()
    silent = Attesting.at(site, phone.maker)
    hardware = {tag: value for tag, value in made.hardware_of(silent.phone.key.public_key()).items() if tag < 716}
    said = made.description(hardware, challenge=silent.link_challenge)
    assert (
        refused(silent.redeem, *silent.maker.chain(silent.phone.key.public_key(), said)) == "device_class_not_covered"
    )


# ---- requests and rekeys


def test_a_request_without_its_own_proof_gets_no_certificate(phone: Attesting) -> None:
    link = phone.linked()
    key, other = made.ec_key(), made.ec_key()
    assert refused(enroll, link, SIGNATURE, key, None) == "attestation_missing"
    chain = phone.chain(other.public_key(), request_challenge(link, SIGNATURE))
    assert refused(enroll, link, SIGNATURE, key, chain) == "attestation_wrong_key"
    for wrong in (phone.link_challenge, request_challenge(link, AUTHENTICATION)):
        assert (
            refused(enroll, link, SIGNATURE, key, phone.chain(key.public_key(), wrong)) == "attestation_wrong_challenge"
        )
    assert refused(enroll, link, SIGNATURE, key, (b"\x30\x00",) * 3) == "attestation_malformed"
    assert refused(enroll, link, SIGNATURE, key, ()) == "attestation_missing"
    enroll(link, SIGNATURE, key, phone.chain(key.public_key(), request_challenge(link, SIGNATURE)))


def test_every_key_of_a_phone_is_in_the_phone_that_was_linked(phone: Attesting) -> None:
    """Another phone, which runs the same maker's system, made the key for this phone's challenge."""
    phone.said = {"hardware": {713: made.octets(b"SN-1")}}
    link, key = phone.linked(), made.ec_key()
    asked = (key.public_key(), request_challenge(link, SIGNATURE))
    phone.said = {"hardware": {713: made.octets(b"SN-2")}}
    assert refused(enroll, link, SIGNATURE, key, phone.chain(*asked)) == "attestation_other_device"
    phone.said = {}
    enroll(link, SIGNATURE, key, phone.chain(*asked))


def test_a_transport_key_must_have_been_made_to_decrypt(phone: Attesting) -> None:
    link, key = phone.linked(), transport_key()
    chain = phone.chain(key.public_key(), request_challenge(link, ENCRYPTION))
    assert refused(enroll, link, ENCRYPTION, key, chain) == "attestation_wrong_purpose"


def rekeyed(site: IssuerSite, maker: Maker, attestation: Attestation) -> tuple[Attesting, Link, Any]:
    """Return a phone whose authentication certificate is due, and what it shows."""
    demand(site, lifetime=timedelta(days=3), attestation=attestation)
    phone = Attesting.at(site, maker)
    link = phone.linked()
    certificate = link.enroll().certificate
    site.turn(days=2, hours=12)
    return phone, link, shown(certificate)


def ask_rekey(site: IssuerSite, peer: Any, asked: bytes) -> Any:
    return rekey.rekey(site.deps, RekeyRequest(AUTHENTICATION, asked), peer, source=PHONE_ADDRESS)


def test_a_new_key_is_proved_for_its_rekey(phone: Attesting, site: IssuerSite) -> None:
    phone, link, peer = rekeyed(site, phone.maker, Attestation.REQUIRED)
    with site.database.snapshot() as tx:
        asking = credentials.by_purpose(tx, link.begun.derivation.id, AUTHENTICATION)
    assert asking is not None
    given, _ = challenges.new(site.deps, asking, AUTHENTICATION)
    key = made.ec_key()
    public = key.public_key()
    assert refused(ask_rekey, site, peer, body(key, None)) == "attestation_missing"
    for wrong in (
        challenges.new(site.deps, asking, SIGNATURE)[0],
        challenges.new(site.deps, replace(asking, id=link.begun.derivation.id), AUTHENTICATION)[0],
        phone.link_challenge,
    ):
        assert refused(ask_rekey, site, peer, body(key, phone.chain(public, wrong))) == "attestation_wrong_challenge"
    old = phone.chain(phone.phone.key.public_key(), phone.link_challenge)
    assert refused(ask_rekey, site, peer, body(key, old)) == "attestation_wrong_key"
    site.turn(minutes=15)
    enrolled = ask_rekey(site, peer, body(key, phone.chain(public, given)))
    assert thumbprint(enrolled.certificate) != sha256(peer.der)
    assert phone.kept()[AUTHENTICATION].is_attested
    assert (
        len([event for event in site.events("issuer:key:judged") if event.subject == str(link.begun.derivation.id)])
        == 2
    )


def test_a_challenge_is_too_old_after_half_an_hour(phone: Attesting, site: IssuerSite) -> None:
    phone, link, peer = rekeyed(site, phone.maker, Attestation.REQUIRED)
    with site.database.snapshot() as tx:
        asking = credentials.by_purpose(tx, link.begun.derivation.id, AUTHENTICATION)
    assert asking is not None
    given, expires = challenges.new(site.deps, asking, AUTHENTICATION)
    assert expires == site.clock.now() + challenges.LIFETIME
    key = made.ec_key()
    site.turn(minutes=30)
    assert (
        refused(ask_rekey, site, peer, body(key, phone.chain(key.public_key(), given))) == "attestation_wrong_challenge"
    )


# ---- recorded, and off


def test_where_it_is_recorded_nothing_is_refused_and_everything_kept(phone: Attesting, site: IssuerSite) -> None:
    demand(site, attestation=Attestation.RECORDED)
    unlocked, silent = Attesting.at(site, phone.maker), Attesting.at(site, phone.maker)
    unlocked.said = {"hardware": {704: made.root_of_trust(locked=False)}}
    link = unlocked.linked()
    link.enroll()
    found = unlocked.kept()[AUTHENTICATION]
    assert (found.verdict, found.is_attested, found.model) == ("attestation_boot_state", False, "Simulated")
    assert len(found.chain) == 4
    site.redeem(silent.phone, silent.begun)
    assert silent.kept() == {}


def test_where_it_is_off_nothing_is_kept(phone: Attesting, site: IssuerSite) -> None:
    demand(site, attestation=Attestation.OFF)
    plain = Attesting.at(site, phone.maker)
    plain.redeem()
    assert plain.kept() == {}


def test_a_rule_speaks_of_hardware_only(site: IssuerSite) -> None:
    with pytest.raises(Malformed, match="trusted environment"):
        site.save_rule(attestation_level=SecurityLevel.SOFTWARE)


# ---- authorities


def test_an_authority_is_kept_as_it_was_named(site: IssuerSite, maker: Maker) -> None:
    authority = AttestationAuthority("kept", (maker.root.certificate,), AttestationStatusList(frozenset({"ab"})))
    with site.database.transaction() as tx:
        assert authorities.save(tx, site.deps, authority, actor=ADMINISTRATOR)
        assert not authorities.save(tx, site.deps, authority, actor=ADMINISTRATOR)
        assert authorities.named(tx, "kept") == authority
        authorities.remove(tx, site.deps, "kept", actor=ADMINISTRATOR)
        for act in (lambda: authorities.named(tx, "kept"), lambda: authorities.remove(tx, site.deps, "kept", actor="")):
            with pytest.raises(NotFound):
                act()
    saved = [event for event in site.events("issuer:attestation_authority:saved") if event.subject.endswith(":kept")]
    assert [event.facts["revoked"] for event in saved] == [1]


@pytest.mark.parametrize(("name", "roots"), [("Name", 1), ("", 1), ("name", 0), ("name", 51)])
def test_an_authority_has_a_name_and_roots(maker: Maker, name: str, roots: int) -> None:
    with pytest.raises(Malformed):
        AttestationAuthority(name, (maker.root.certificate,) * roots)


def test_a_key_is_judged_once_and_a_rule_kept_as_it_was_written(database: Database, tmp_path: Path) -> None:
    """On both engines: the database holds one verdict a key, whoever comes first."""
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path)
    maker = Maker(site.clock.now(), factory=True)
    believe(site, maker, status=AttestationStatusList(frozenset({"ab"})))
    demand(site, attestation_level=SecurityLevel.STRONG_BOX, verified_boot=False)
    with site.database.snapshot() as tx:
        assert issuance_rules.in_force(tx) == (site.rule,)
        (authority,) = authorities.every(tx)
    assert authority.trust.status == AttestationStatusList(frozenset({"ab"}))
    phone = Attesting.at(site, maker)
    phone.said = {"level": made.STRONG_BOX}
    phone.redeem()
    again = replace(phone.kept()[AUTHENTICATION], id=uuid.uuid4())
    with pytest.raises(IntegrityError), site.database.transaction() as tx:
        store.add(tx, again)
