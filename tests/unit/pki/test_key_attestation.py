# SPDX-License-Identifier: Apache-2.0
"""Key attestation: chains of both shapes and every version hold; one refusal for each step, and real phones' chains."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.kernel.errors import Malformed
from etymon.pki import attestation_status, certificate, key_attestation
from etymon.pki.attestation_chain import (
    LARGEST_CERTIFICATE_BYTES,
    LARGEST_CHAIN_BYTES,
    MOST,
    AttestationTrust,
    NotAttested,
)
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.key_attestation import AttestedKey, Requirements
from etymon.web.exchange import SMALL_BODY_BYTES
from etymon.wire.authorization_list import VerifiedBootState
from etymon.wire.key_description import SecurityLevel
from support import attestations as made
from support.attestations import SOFTWARE, STRONG_BOX, TEE, Maker, description, hardware_of, integer, null

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
CHALLENGE = b"a challenge that was given"
MAKER = Maker(NOW)
TRUST = AttestationTrust((MAKER.root.certificate,))
KEY = made.ec_key()
PUBLIC = KEY.public_key()
REAL = Path(__file__).parent / "attestation"


def chain(hardware: dict[int, bytes] | None = None, *, maker: Maker = MAKER, **said: Any) -> tuple[bytes, ...]:
    said = {"challenge": CHALLENGE, **said}
    return maker.chain(PUBLIC, description(hardware_of(PUBLIC) if hardware is None else hardware, **said))


def verify(encoded: tuple[bytes, ...], trust: AttestationTrust = TRUST, at: datetime = NOW, **said: Any) -> AttestedKey:
    said = {"challenge": CHALLENGE, "key": PUBLIC, "purposes": {key_attestation.SIGN}, **said}
    challenge = said.pop("challenge")
    attested = key_attestation.verify(
        encoded, trust, at, challenges=None if challenge is None else (challenge, b"older"), **said
    )
    key_attestation.require(attested, Requirements())
    return attested


def refused(encoded: tuple[bytes, ...], *arguments: Any, **said: Any) -> str:
    with pytest.raises(NotAttested) as caught:
        verify(encoded, *arguments, **said)
    return caught.value.code


@pytest.mark.parametrize("version", [1, 2, 3, 4, 100, 200, 300, 400, 500])
def test_a_key_in_a_trusted_environment_is_attested_in_every_version(version: int) -> None:
    attested = verify(chain(hardware_of(PUBLIC, version=version), version=version))
    assert attested.security_level is SecurityLevel.TRUSTED_ENVIRONMENT
    assert (attested.device_locked, attested.boot_state) == (True, VerifiedBootState.VERIFIED)
    assert (attested.manufacturer, attested.model, attested.os_patch_level) == ("Etymon", "Simulated", 202609)
    assert attested.unknown_tags == ()


def test_a_strong_box_is_more_than_a_trusted_environment() -> None:
    strict = Requirements(SecurityLevel.STRONG_BOX)
    key_attestation.require(verify(chain(level=STRONG_BOX)), strict)
    with pytest.raises(NotAttested) as caught:
        key_attestation.require(verify(chain()), strict)
    assert caught.value.code == "attestation_security_level"


@pytest.mark.parametrize(
    "key", [made.ec_key(), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]
)
def test_the_kind_of_key_is_what_is_described(key: made.PrivateKey) -> None:
    public = key.public_key()
    verify(MAKER.chain(public, challenge=CHALLENGE), key=public)
    other = PUBLIC if isinstance(key, rsa.RSAPrivateKey) else rsa_public()
    encoded = MAKER.chain(public, description(hardware_of(other), challenge=CHALLENGE))
    assert refused(encoded, key=public) == "attestation_key_mismatch"


def rsa_public() -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, 2**2047 + 1).public_key()


def test_a_factory_key_outlives_its_certificate_and_a_provisioned_one_does_not() -> None:
    late = NOW + timedelta(days=31)
    factory = Maker(NOW, factory=True)
    verify(chain(maker=factory), AttestationTrust((factory.root.certificate,)), late)
    assert refused(chain(), TRUST, late) == "attestation_expired"
    assert refused(chain(), TRUST, NOW - timedelta(days=31)) == "attestation_not_yet_valid"
    early = NOW - timedelta(days=31)
    assert (
        refused(chain(maker=factory), AttestationTrust((factory.root.certificate,)), early)
        == "attestation_not_yet_valid"
    )


def test_a_root_is_trusted_by_its_key_in_whichever_certificate() -> None:
    root = MAKER.root
    again = made.certified(
        root.certificate.subject,
        root.key.public_key(),
        root.key,
        begins=NOW - timedelta(days=9000),
        lifetime=timedelta(days=1),
    )
    encoded = (*chain()[:-1], certificate.to_der(again))
    verify(encoded)
    assert refused(chain(), AttestationTrust((Maker(NOW).root.certificate,))) == "attestation_untrusted_root"
    assert refused(chain(), AttestationTrust(())) == "attestation_untrusted_root"


def test_a_root_of_the_same_name_is_another_root() -> None:
    assert refused(chain(maker=Maker(NOW))) == "attestation_untrusted_root"


def test_an_intermediate_is_no_root_though_it_is_named_as_one() -> None:
    assert refused(chain()[:-1], AttestationTrust((MAKER.intermediate.certificate,))) == "attestation_untrusted_root"


@pytest.mark.parametrize("size", [0, 1, 2, MOST + 1])
def test_a_chain_is_neither_too_short_nor_too_long(size: int) -> None:
    encoded = (chain()[0], *chain()[1:] * 3)[:size]
    assert refused(encoded) == "attestation_chain_length"


def test_a_certificate_that_is_not_signed_by_the_next_is_refused() -> None:
    other = Maker(NOW)
    forged = MAKER.leaf(PUBLIC, description(hardware_of(PUBLIC), challenge=CHALLENGE), by=other.attestation)
    assert refused((forged, *MAKER.issuers)) == "attestation_path_invalid"
    assert refused((chain()[0], *reversed(MAKER.issuers[:-1]), MAKER.issuers[-1])) == "attestation_path_invalid"
    assert refused((chain()[0], *MAKER.issuers[1:])) == "attestation_path_invalid"


@pytest.mark.parametrize("authority", [False, None])
def test_what_is_no_authority_attests_nothing(authority: bool | None) -> None:  # noqa: FBT001 - a row of the table
    key = made.ec_key()
    held = made.certified(
        made.name(o="TEE", cn="7"), key.public_key(), MAKER.intermediate, begins=NOW, authority=authority
    )
    leaf = MAKER.leaf(PUBLIC, description(hardware_of(PUBLIC), challenge=CHALLENGE), by=made.Issued(held, key))
    assert refused((leaf, certificate.to_der(held), *MAKER.issuers[1:])) == "attestation_path_invalid"


def test_only_the_leaf_may_carry_a_description() -> None:
    """An attested key signs a certificate of its own below a genuine chain, were it called an authority or not."""
    key, said = made.ec_key(), description(hardware_of(PUBLIC), challenge=CHALLENGE)
    held = made.certified(
        made.name(cn="Android Keystore Key"),
        key.public_key(),
        MAKER.attestation,
        begins=NOW - timedelta(days=1),
        extensions={made.KEY_DESCRIPTION: said},
    )
    attested = made.Issued(held, key)
    for extension in (said, None):
        leaf = MAKER.leaf(PUBLIC, extension, by=attested)
        assert refused((leaf, attested.der, *MAKER.issuers)) == "attestation_misplaced"
    assert refused((MAKER.leaf(PUBLIC, None), *MAKER.issuers)) == "attestation_misplaced"


def test_every_certificate_is_looked_for_in_the_status_list_in_both_spellings() -> None:
    encoded = chain()
    for each in map(certificate.load_der, encoded):
        for spelling in (format(each.serial_number, "x"), str(each.serial_number)):
            if each.serial_number != 1:  # every leaf's
                listed = AttestationStatusList(frozenset({spelling}))
                assert refused(encoded, replace(TRUST, status=listed)) == "attestation_revoked"
    verify(encoded, replace(TRUST, status=AttestationStatusList(frozenset({"abcdef"}))))


def test_key_challenge_and_purpose_are_those_that_were_asked_for() -> None:
    other = made.ec_key().public_key()
    assert refused(chain(), key=other) == "attestation_wrong_key"
    assert refused(chain(), challenge=b"another") == "attestation_wrong_challenge"
    assert refused(chain(hardware_of(PUBLIC, purposes=(1, 3)))) == "attestation_wrong_purpose"
    assert verify(chain(), challenge=None, key=None).description.challenge == CHALLENGE


def with_tag(tag: int, value: bytes | None) -> dict[int, bytes]:
    hardware = hardware_of(PUBLIC)
    hardware.pop(tag, None)
    return hardware if value is None else {**hardware, tag: value}


@pytest.mark.parametrize(
    ("code", "hardware", "said"),
    [
        ("attestation_security_level", None, {"level": SOFTWARE, "keymaster_level": TEE, "version": 3}),
        ("attestation_security_level", None, {"level": TEE, "keymaster_level": STRONG_BOX}),
        ("attestation_security_level", {}, {"level": SOFTWARE, "software": hardware_of(PUBLIC)}),
        ("attestation_not_generated", with_tag(702, integer(2)), {}),
        ("attestation_not_generated", with_tag(702, integer(4)), {}),
        ("attestation_not_generated", with_tag(702, None), {}),
        ("attestation_all_applications", with_tag(600, null()), {}),
        ("attestation_key_mismatch", with_tag(3, integer(384)), {}),
        ("attestation_key_mismatch", with_tag(10, integer(2)), {}),
        ("attestation_key_mismatch", with_tag(2, None), {}),
        ("attestation_boot_state", with_tag(704, made.root_of_trust(locked=False)), {}),
        ("attestation_boot_state", with_tag(704, made.root_of_trust(state=made.SELF_SIGNED)), {}),
        ("attestation_boot_state", with_tag(704, made.root_of_trust(state=made.UNVERIFIED)), {}),
        ("attestation_boot_state", with_tag(704, None), {"software": {704: made.root_of_trust()}}),
        ("attestation_malformed", with_tag(704, null()), {}),
    ],
)
def test_what_the_hardware_does_not_vouch_for_is_refused(
    code: str, hardware: dict[int, bytes] | None, said: dict[str, Any]
) -> None:
    assert refused(chain(hardware, **said)) == code


def test_a_chain_is_no_longer_in_all_than_what_carries_it() -> None:
    assert refused((bytes(LARGEST_CHAIN_BYTES // 3 + 1),) * 3) == "attestation_malformed"
    assert LARGEST_CHAIN_BYTES * 4 // 3 < SMALL_BODY_BYTES


@pytest.mark.parametrize("level", [2**63, 2**64 - 1])
def test_a_patch_level_that_no_table_holds_is_malformed(level: int) -> None:
    assert refused(chain(hardware_of(PUBLIC) | {706: integer(level)})) == "attestation_malformed"


@pytest.mark.parametrize(
    "junk",
    [b"", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", bytes(LARGEST_CERTIFICATE_BYTES + 1), b"\x30\x03\x30\x01\x30" * 3],
)
def test_what_is_no_certificate_is_refused(junk: bytes) -> None:
    assert refused((junk, *MAKER.issuers)) == "attestation_malformed"
    assert refused((*chain()[:-1], junk)) == "attestation_malformed"


def test_a_status_list_is_read_as_it_is_published() -> None:
    found = attestation_status.load(
        json.dumps(
            {
                "entries": {
                    "2c8cdddfd5e03bfc": {"status": "REVOKED", "reason": "KEY_COMPROMISE"},
                    "0AB": {"status": "SUSPENDED"},
                }
            }
        ).encode()
    )
    assert found.serials == {"2c8cdddfd5e03bfc", "ab"}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"{}",
        b'{"entries": []}',
        b'{"entries": {"ab": {}}}',
        b'{"entries": {"ab": "REVOKED"}}',
        b'{"entries": {"ab": {"status": "GOOD"}}}',
        b'{"entries": {"x y": {"status": "REVOKED"}}}',
        b"[" * 9999,
    ],
)
def test_what_is_no_status_list_is_refused(octets: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        attestation_status.load(octets)
    assert caught.value.code == "attestation_status_list"


def real(name: str) -> tuple[bytes, ...]:
    return tuple(certificate.encodings((REAL / name).read_bytes()))


def test_a_real_phone_is_attested_on_the_day_and_not_after_its_key_expired() -> None:
    encoded = real("remotely-provisioned.pem")
    trust, day = AttestationTrust((certificate.load_der(encoded[-1]),)), datetime(2023, 3, 8, 15, tzinfo=UTC)
    attested = verify(encoded, trust, day, challenge=b"challenge", key=None)
    assert attested.security_level is SecurityLevel.TRUSTED_ENVIRONMENT
    assert (attested.description.attestation_version, attested.os_patch_level) == (200, 202302)
    assert key_attestation.application_id(attested).packages == (("com.google.attestationexample", 1),)
    assert refused(encoded, trust, NOW, challenge=None, key=None) == "attestation_expired"


def test_a_key_that_a_real_attested_key_attests_is_not_taken() -> None:
    above = real("remotely-provisioned.pem")[1:]
    trust = AttestationTrust((certificate.load_der(above[-1]),))
    encoded = (*real("attested-by-an-attested-key.pem"), *above)
    code = refused(encoded, trust, datetime(2023, 3, 8, 15, tzinfo=UTC), challenge=b"challenge", key=None)
    assert code == "attestation_path_invalid"
