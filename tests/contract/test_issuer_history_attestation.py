# SPDX-License-Identifier: Apache-2.0
"""Where the key is that a key history is enveloped to: proved for this history, or refused with everything unused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.issuer import key_history
from etymon.issuer.attestation import challenges, store
from etymon.issuer.attestation.model import KeyAttestation, KeyUse
from etymon.issuer.key_history import HistoryRequest
from etymon.issuer.model import Attestation, Purpose
from etymon.issuer.store import credentials
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.certificate import spki
from etymon.wire import est
from support import attestations as made
from support.attestations import Maker
from support.attesting_phone import Attesting, believe, body, demand, enroll, request_challenge, transport_key
from support.clock import TurnedClock
from support.databases import Databases
from support.issuer_rekey import shown
from support.issuer_site import PHONE_ADDRESS, IssuerSite, Link, sha256

AUTHENTICATION, SIGNATURE, ENCRYPTION = Purpose
BOTH = (1, 2)
"""Decrypting, and signing the request."""


@pytest.fixture(scope="module")
def site(sqlite_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has a person and phones of its own."""
    database = sqlite_databases.migrated()
    yield IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("history-attestation"))
    sqlite_databases.drop(database)


@pytest.fixture(scope="module")
def maker(site: IssuerSite) -> Maker:
    return Maker(site.clock.now(), factory=True)


@pytest.fixture(scope="module")
def transport() -> rsa.RSAPrivateKey:
    """Return another key than those of certificates, which are few."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Second:
    """A person's second phone, with credentials, and the encryption key of the first that it may ask for."""

    site: IssuerSite
    phone: Attesting
    link: Link
    peer: Any
    old: UUID

    def challenge(self, use: KeyUse = KeyUse.KEY_HISTORY) -> bytes:
        return challenges.new(self.site.deps, self.asking, ENCRYPTION, use)[0]

    @property
    def asking(self) -> Any:
        with self.site.database.snapshot() as tx:
            found = credentials.by_purpose(tx, self.link.begun.derivation.id, AUTHENTICATION)
        assert found is not None
        return found

    def chain(self, key: rsa.RSAPrivateKey, challenge: bytes | None = None) -> tuple[bytes, ...]:
        """Return what the maker says of a transport key."""
        return self.phone.chain(key.public_key(), challenge or self.challenge(), BOTH)

    def ask(self, key: rsa.RSAPrivateKey, chain: tuple[bytes, ...] | None) -> int:
        """Ask for the old key; return how many came."""
        request = HistoryRequest((self.old,), est.decode_body(body(key, chain)))
        return len(key_history.release(self.site.deps, request, self.peer, source=PHONE_ADDRESS))

    def refused(self, key: rsa.RSAPrivateKey, chain: tuple[bytes, ...] | None) -> str:
        with pytest.raises(EtymonError) as caught:
            self.ask(key, chain)
        return caught.value.code

    def kept(self) -> tuple[KeyAttestation, ...]:
        """Return what was found of keys of a history."""
        with self.site.database.snapshot() as tx:
            found = store.of_derivation(tx, self.link.begun.derivation.id)
        return tuple(each for each in found if each.use is KeyUse.KEY_HISTORY)

    def told(self, name: str) -> list[Any]:
        """Return the events of this phone."""
        mine = {str(self.asking.id), str(self.link.begun.derivation.id)}
        return [event for event in self.site.events(name) if event.subject in mine]


def credentialed(phone: Attesting, key: rsa.RSAPrivateKey) -> tuple[Link, Any]:
    """Give a phone credentials for signing in and for mail."""
    link = phone.linked()
    certificate = link.enroll().certificate
    enroll(link, ENCRYPTION, key, phone.chain(key.public_key(), request_challenge(link, ENCRYPTION), BOTH))
    return link, shown(certificate)


def another(first: Attesting) -> Second:
    """Return another phone of somebody who has one."""
    site, session = first.site, first.applicant.session()
    phone = replace(first, session=session, begun=site.begin(session), phone=site.phone(), said={})
    link, peer = credentialed(phone, transport_key())
    listed = key_history.listed(site.deps, peer, source=PHONE_ADDRESS).keys
    return Second(site, phone, link, peer, listed[0].id)


@pytest.fixture(scope="module")
def first(site: IssuerSite, maker: Maker) -> Attesting:
    """Return the first phone of the person of this module."""
    site.turn(minutes=1)
    believe(site, maker)
    demand(site)
    phone = Attesting.at(site, maker)
    credentialed(phone, transport_key())
    site.settle(phone.applicant.person)
    return phone


@pytest.fixture
def held(first: Attesting) -> Second:
    """Return a further phone at an issuer that believes its maker and requires attestation."""
    first.site.turn(minutes=1)
    believe(first.site, first.maker)
    demand(first.site)
    return another(first)


def test_a_history_goes_to_a_key_that_is_proved_for_it_and_the_evidence_is_kept(
    held: Second, transport: rsa.RSAPrivateKey
) -> None:
    chain = held.chain(transport)
    assert held.ask(transport, chain) == 1
    (found,) = held.kept()
    assert (found.verdict, found.purpose, found.chain) == ("attested", ENCRYPTION, chain)
    assert (found.security_level, found.authority) == ("trusted_environment", "maker")
    (judged,) = [event for event in held.told("issuer:key:judged") if event.facts["use"] == "key_history"]
    assert (judged.facts["verdict"], judged.facts["key"]) == ("attested", found.key_sha256.hex())


def test_what_is_not_proved_for_this_history_opens_nothing_and_uses_nothing_up(
    held: Second, transport: rsa.RSAPrivateKey, first: Attesting
) -> None:
    """Every refusal is in the trail with its code, and the person is told."""
    other = transport_key()
    elsewhere = replace(held.phone, maker=Maker(held.site.clock.now(), factory=True))
    rekey_challenge = held.challenge(KeyUse.CERTIFICATE)
    neighbour = another(first)
    refusals: dict[str, list[tuple[bytes, ...] | None]] = {
        "attestation_missing": [None, ()],
        "attestation_wrong_key": [held.chain(other)],
        "attestation_wrong_challenge": [
            held.chain(transport, rekey_challenge),
            held.chain(transport, request_challenge(held.link, ENCRYPTION)),
            held.chain(transport, neighbour.challenge()),
        ],
        "attestation_wrong_purpose": [held.phone.chain(transport.public_key(), held.challenge(), (2, 3))],
        "attestation_untrusted_root": [elsewhere.chain(transport.public_key(), held.challenge(), BOTH)],
        "attestation_malformed": [(b"\x30\x00",) * 3],
    }
    held.site.mail()
    for code, chains in refusals.items():
        for chain in chains:
            assert held.refused(transport, chain) == code
    told = Counter(event.facts["code"] for event in held.told("issuer:key_history:refused"))
    assert told == {code: len(chains) for code, chains in refusals.items()}
    assert len(held.site.mail()) == sum(map(len, refusals.values()))
    assert held.kept() == ()
    assert held.ask(transport, held.chain(transport)) == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("attestation_boot_state", {"hardware": {704: made.root_of_trust(locked=False)}}),
        (
            "attestation_security_level",
            {
                "level": made.SOFTWARE,
                "software": {
                    702: made.integer(0),
                    2: made.integer(1),
                    1: made.set_of(made.integer(1), made.integer(2)),
                },
            },
        ),
        ("attestation_not_generated", {"hardware": {702: made.integer(2)}}),
        ("attestation_other_device", {"hardware": {717: made.octets(b"Simulacrum")}}),
        ("attestation_other_device", {"hardware": {716: made.octets(b"Etymology")}}),
    ],
)
def test_a_phone_that_was_taken_over_or_another_one_is_refused(
    held: Second, transport: rsa.RSAPrivateKey, code: str, said: dict[str, Any]
) -> None:
    demand(held.site, device_models=("*/*",))
    held.phone.said = said
    assert held.refused(transport, held.chain(transport)) == code
    held.phone.said = {}
    assert held.ask(transport, held.chain(transport)) == 1


def test_a_revoked_key_of_the_maker_carries_no_history(
    held: Second, transport: rsa.RSAPrivateKey, maker: Maker
) -> None:
    serial = format(maker.attestation.certificate.serial_number, "x")
    believe(held.site, maker, status=AttestationStatusList(frozenset({serial})))
    assert held.refused(transport, held.chain(transport)) == "attestation_revoked"


def test_the_transport_key_of_a_certificate_proves_nothing_for_a_history(held: Second) -> None:
    """Its attestation is of the day the phone was linked."""
    key = transport_key()
    with held.site.database.snapshot() as tx:
        known = store.of_key(tx, held.link.begun.derivation.id, sha256(spki(key.public_key())))
    assert known is not None
    assert known.is_attested
    assert held.refused(key, None) == "attestation_missing"
    assert held.refused(key, known.chain) == "attestation_wrong_challenge"


def test_the_same_request_is_answered_after_its_challenge_is_over(held: Second, transport: rsa.RSAPrivateKey) -> None:
    chain = held.chain(transport)
    assert held.ask(transport, chain) == 1
    held.site.turn(hours=2)
    assert held.ask(transport, chain) == 1
    assert len(held.kept()) == 1
    assert held.refused(transport, None) == "key_history_used"


def test_a_challenge_is_too_old_for_a_first_request_after_half_an_hour(
    held: Second, transport: rsa.RSAPrivateKey
) -> None:
    chain = held.chain(transport)
    held.site.turn(minutes=30)
    assert held.refused(transport, chain) == "attestation_wrong_challenge"


def test_where_it_is_recorded_a_history_goes_to_every_key_until_it_is_required(
    held: Second, transport: rsa.RSAPrivateKey
) -> None:
    demand(held.site, attestation=Attestation.RECORDED)
    held.phone.said = {"hardware": {704: made.root_of_trust(locked=False)}}
    chain = held.chain(transport)
    assert held.ask(transport, chain) == 1
    (found,) = held.kept()
    assert (found.verdict, found.is_attested, found.key_sha256) == (
        "attestation_boot_state",
        False,
        sha256(spki(transport.public_key())),
    )
    demand(held.site)
    assert held.refused(transport, chain) == "attestation_boot_state"


@pytest.mark.parametrize("attestation", [Attestation.RECORDED, Attestation.OFF])
def test_a_phone_that_proves_nothing_gets_its_history_where_that_is_not_required(
    held: Second, transport: rsa.RSAPrivateKey, attestation: Attestation
) -> None:
    demand(held.site, attestation=attestation)
    assert held.ask(transport, None) == 1
    assert held.kept() == ()


def test_where_it_is_off_nothing_is_looked_at(held: Second, transport: rsa.RSAPrivateKey) -> None:
    demand(held.site, attestation=Attestation.OFF)
    assert held.ask(transport, (b"\x30\x00",) * 3) == 1
    assert held.kept() == ()
