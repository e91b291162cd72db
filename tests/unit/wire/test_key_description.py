# SPDX-License-Identifier: Apache-2.0
"""The KeyDescription extension, against descriptions that another encoder wrote."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import authorization_list as lists
from etymon.wire import key_description as codec
from etymon.wire.authorization_list import AuthorizationList, RootOfTrust, VerifiedBootState
from etymon.wire.key_description import KeyDescription, SecurityLevel
from support import attestations as made
from support.attestations import description, enumerated, hardware_of, integer, null, octets, sequence, set_of

KEY = made.ec_key().public_key()
VERSIONS = (1, 2, 3, 4, 100, 200, 300, 400, 500)
GOOD = description(hardware_of(KEY))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_description_of_every_version_says_what_was_written(version: int) -> None:
    found = codec.decode(description(hardware_of(KEY, version=version), version=version, challenge=b"abc"))
    assert found.attestation_version == found.keymaster_version == version
    assert found.attestation_security_level is found.keymaster_security_level is SecurityLevel.TRUSTED_ENVIRONMENT
    assert found.challenge == b"abc"
    hardware = found.hardware_enforced
    assert hardware.numbers("purpose") == {2, 3}
    assert (hardware.number("origin"), hardware.number("keySize"), hardware.number("osPatchLevel")) == (0, 256, 202609)
    assert hardware.octets("attestationIdModel") == b"Simulated"
    assert hardware.values["noAuthRequired"] is True
    boot_hash = bytes(32) if version >= 3 else None
    assert hardware.root_of_trust == RootOfTrust(made.BOOT_KEY, True, VerifiedBootState.VERIFIED, boot_hash)  # noqa: FBT003 - as written
    application = codec.decode_application_id(found.software_enforced.octets("attestationApplicationId") or b"")
    assert application.packages == (("AndroidSystem", 1),)


def test_what_is_asked_for_and_not_there_is_nothing() -> None:
    nothing = AuthorizationList()
    assert (nothing.number("origin"), nothing.octets("applicationId"), nothing.root_of_trust) == (None, None, None)
    assert nothing.numbers("purpose") == frozenset()


def test_tags_out_of_order_and_tags_nobody_knows_are_read() -> None:
    hardware = dict(reversed(hardware_of(KEY).items())) | {9999: octets(b"?"), 31: null()}
    found = codec.decode(description(hardware)).hardware_enforced
    assert found.number("origin") == 0
    assert found.unknown == ((9999, octets(b"?")), (31, null()))


def members(**changed: bytes) -> bytes:
    parts = {
        "version": integer(300),
        "level": enumerated(1),
        "keymaster": integer(300),
        "keymaster_level": enumerated(1),
        "challenge": octets(b""),
        "unique": octets(b""),
        "software": sequence(),
        "hardware": sequence(),
    }
    return sequence(*(parts | changed).values())


def listed(*elements: bytes) -> bytes:
    return members(hardware=sequence(*elements))


def tagged(tag: int, value: bytes) -> bytes:
    return made.element(tag, value, constructed=True, context=True)


ORIGIN = tagged(702, integer(0))


@pytest.mark.parametrize(
    "octets_",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GOOD[:-1], id="cut off"),
        pytest.param(GOOD + b"\0", id="trailing"),
        pytest.param(sequence(integer(1)), id="one member"),
        pytest.param(members(level=enumerated(3)), id="unknown level"),
        pytest.param(members(level=made.element(10, b"\0\1")), id="long level"),
        pytest.param(members(level=integer(1)), id="level of another type"),
        pytest.param(members(version=made.element(2, b"\xff")), id="negative version"),
        pytest.param(members(challenge=integer(1)), id="challenge of another type"),
        pytest.param(listed(ORIGIN, ORIGIN), id="a tag twice"),
        pytest.param(listed(tagged(900, null()), tagged(900, null())), id="an unknown tag twice"),
        pytest.param(listed(integer(1)), id="no context tag"),
        pytest.param(listed(b"\xbf\x80\x01\x02\x05\x00"), id="tag with a leading zero"),
        pytest.param(listed(b"\xbf\x1e\x02\x05\x00"), id="long form of a short tag"),
        pytest.param(listed(b"\xbf\x81\x82\x83\x84\x05\x02\x05\x00"), id="tag of five bytes"),
        pytest.param(listed(b"\xbf\x85"), id="tag cut off"),
        pytest.param(listed(tagged(702, b"")), id="empty tag"),
        pytest.param(listed(tagged(702, integer(0) + integer(0))), id="two values under a tag"),
        pytest.param(listed(tagged(702, octets(b"\0"))), id="origin of another type"),
        pytest.param(listed(tagged(702, made.element(2, b"\0\0"))), id="integer not in its shortest form"),
        pytest.param(listed(tagged(502, integer(2**80))), id="integer too long"),
        pytest.param(listed(tagged(503, made.element(5, b"\0"))), id="NULL with content"),
        pytest.param(listed(tagged(1, set_of(octets(b"\2")))), id="purpose of another type"),
        pytest.param(listed(tagged(704, made.root_of_trust(version=2))), id="no boot hash in a late version"),
        pytest.param(
            listed(tagged(704, sequence(octets(b""), made.element(1, b"\1"), enumerated(0), octets(b"")))),
            id="a truth of 1",
        ),
        pytest.param(listed(tagged(704, made.root_of_trust(state=4))), id="unknown boot state"),
        pytest.param(
            listed(*(tagged(1000 + number, null()) for number in range(lists.MOST_TAGS + 1))), id="too many tags"
        ),
        pytest.param(members(challenge=octets(bytes(codec.LIMIT_BYTES))), id="too large"),
    ],
)
def test_what_is_no_description_is_refused(octets_: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(octets_)


@pytest.mark.parametrize(
    "octets_",
    [
        b"",
        sequence(set_of()),
        sequence(set_of(sequence(octets(b"a"))), set_of()),
        sequence(set_of(sequence(octets(b"\xff"), integer(1))), set_of()),
        sequence(set_of(), set_of(integer(1))),
    ],
)
def test_what_is_no_application_id_is_refused(octets_: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode_application_id(octets_)


@given(
    st.binary(max_size=300)
    | st.binary(max_size=60).map(listed)
    | st.builds(listed, st.binary(max_size=40).map(lambda some: tagged(704, some)))
)
def test_any_bytes_decode_to_a_stable_description_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        found = codec.decode(data)
        assert codec.decode(codec.encode(found)) == found


NUMBERS = st.integers(0, 2**64 - 1)
VALUES = {
    lists.Kind.INTEGER: NUMBERS,
    lists.Kind.INTEGERS: st.lists(NUMBERS, max_size=4).map(tuple),
    lists.Kind.PRESENT: st.just(True),  # noqa: FBT003 - what stands for NULL
    lists.Kind.OCTETS: st.binary(max_size=40),
    lists.Kind.ROOT_OF_TRUST: st.builds(
        RootOfTrust, st.binary(max_size=32), st.booleans(), st.sampled_from(VerifiedBootState), st.binary(max_size=32)
    ),
}
LISTS = st.builds(
    AuthorizationList,
    st.fixed_dictionaries({}, optional={name: VALUES[kind] for name, kind in lists.TAGS.values()}),
    st.dictionaries(st.integers(1000, 2**20), st.binary(max_size=9)).map(lambda some: tuple(sorted(some.items()))),
)


@settings(max_examples=30)  # each is a page long
@given(
    st.builds(
        KeyDescription,
        attestation_version=st.sampled_from(VERSIONS),
        attestation_security_level=st.sampled_from(SecurityLevel),
        keymaster_version=NUMBERS,
        keymaster_security_level=st.sampled_from(SecurityLevel),
        challenge=st.binary(max_size=128),
        unique_id=st.binary(max_size=16),
        software_enforced=LISTS,
        hardware_enforced=LISTS,
    )
)
def test_a_description_is_read_as_it_was_written(said: KeyDescription) -> None:
    assert codec.decode(codec.encode(said)) == said


def test_an_application_id_is_read_as_it_was_written() -> None:
    said = codec.ApplicationId((("org.example", 7), ("other", 0)), (bytes(32),))
    assert codec.decode_application_id(codec.encode_application_id(said)) == said
    assert octets(codec.encode_application_id(codec.ApplicationId((("AndroidSystem", 1),), ()))) == made.application()
