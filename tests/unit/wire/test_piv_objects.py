# SPDX-License-Identifier: Apache-2.0
"""Contents of the PIV data objects."""

import gzip
from collections.abc import Callable
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import fascn, piv_objects, tlv
from etymon.wire.piv import APPLICATION_ID, CERTIFICATE_TAGS, OBJECT_TAGS, ObjectTag
from etymon.wire.piv_objects import (
    CARD_CAPABILITY_CONTAINER,
    CERTIFICATE_LIMIT_BYTES,
    CHUID,
    Discovery,
    KeyHistory,
    SecurityObject,
)

SOME_UUID = UUID("f81d4fae-7dec-41d0-a765-00a0c91e6bf6")
SIGNED = CHUID(fascn.non_federal(), SOME_UUID, date(2030, 6, 30), signature=b"\x30\x00")

chuids = st.builds(
    CHUID,
    st.just(fascn.non_federal()),
    st.uuids(),
    st.dates(),
    st.none() | st.uuids(),
    st.binary(max_size=400),
)
histories = st.builds(KeyHistory, st.integers(0, 10)) | st.builds(
    KeyHistory, st.integers(0, 10), st.integers(1, 10), st.just("http://example.org/" + "0" * 64)
)
security_objects = st.builds(
    SecurityObject,
    st.dictionaries(st.integers(0, 255), st.integers(0, 0xFFFF), max_size=16),
    st.binary(max_size=400),
)
discoveries = st.builds(Discovery, st.integers(0, 0xFFFF), st.binary(max_size=16))

DECODERS: list[Callable[[bytes], object]] = [
    piv_objects.decode_chuid,
    piv_objects.decode_certificate,
    piv_objects.decode_card_capability_container,
    piv_objects.decode_discovery,
    piv_objects.decode_key_history,
    piv_objects.decode_security_object,
    piv_objects.chuid_signed_content,
]


@given(chuids)
def test_chuids_come_back(value: CHUID) -> None:
    assert piv_objects.decode_chuid(piv_objects.encode_chuid(value)) == value


@given(histories)
def test_key_histories_come_back(value: KeyHistory) -> None:
    assert piv_objects.decode_key_history(piv_objects.encode_key_history(value)) == value


@given(security_objects)
def test_security_objects_come_back(value: SecurityObject) -> None:
    assert piv_objects.decode_security_object(piv_objects.encode_security_object(value)) == value


@given(discoveries)
def test_discovery_objects_come_back(value: Discovery) -> None:
    assert piv_objects.decode_discovery(piv_objects.encode_discovery(value)) == value


@given(st.binary(min_size=1, max_size=2000))
def test_certificates_come_back_plain_and_packed(der: bytes) -> None:
    assert piv_objects.decode_certificate(piv_objects.encode_certificate(der)) == der
    packed = tlv.encode(0x70, gzip.compress(der)) + bytes.fromhex("710101fe00")
    assert piv_objects.decode_certificate(packed) == der


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_an_object_or_a_decode_error(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except DecodeError:
        return


@given(chuids, st.integers(0, 600), st.integers(1, 255))
def test_a_damaged_chuid_decodes_or_is_a_decode_error(value: CHUID, position: int, change: int) -> None:
    content = bytearray(piv_objects.encode_chuid(value))
    content[position % len(content)] ^= change
    try:
        piv_objects.decode_chuid(bytes(content))
    except DecodeError:
        return


def test_the_issuer_signs_everything_but_the_signature() -> None:
    content = piv_objects.encode_chuid(SIGNED)
    expected = (
        "3019d4e739da739ced39ce739d836858210842108421c84210c3eb"
        "3410f81d4fae7dec41d0a76500a0c91e6bf6"
        "3508" + b"20300630".hex() + "fe00"
    )
    assert SIGNED.signed_content().hex() == expected
    assert piv_objects.chuid_signed_content(content).hex() == expected


def test_fields_of_old_cards_are_passed_over_and_still_signed() -> None:
    content = bytes.fromhex("ee020100") + tlv.encode(0x32, b"1234") + piv_objects.encode_chuid(SIGNED)
    assert piv_objects.decode_chuid(content) == SIGNED
    assert piv_objects.chuid_signed_content(content) == tlv.encode(0x32, b"1234") + SIGNED.signed_content()


@pytest.mark.parametrize(
    ("tag", "value"),
    [(0x30, b""), (0x34, bytes(15)), (0x35, b"2030-6-3"), (0x35, b"20301301"), (0x35, b"2030 630"), (0xFE, b"x")],
)
def test_a_chuid_with_a_wrong_field_is_refused(tag: int, value: bytes) -> None:
    fields = tlv.decode_simple(piv_objects.encode_chuid(SIGNED))
    wrong = tlv.encode_all(tlv.TLV(tag, value) if field.tag == tag else field for field in fields)
    with pytest.raises(DecodeError):
        piv_objects.decode_chuid(wrong)


@pytest.mark.parametrize("tag", [0x30, 0x34, 0x35])
def test_a_chuid_without_a_field_is_refused(tag: int) -> None:
    fields = tlv.decode_simple(piv_objects.encode_chuid(SIGNED))
    with pytest.raises(DecodeError):
        piv_objects.decode_chuid(tlv.encode_all(field for field in fields if field.tag != tag))


@pytest.mark.parametrize("more", ["3000", "9900"])
def test_a_field_that_stands_twice_or_is_unknown_is_refused(more: str) -> None:
    with pytest.raises(DecodeError):
        piv_objects.decode_chuid(piv_objects.encode_chuid(SIGNED) + bytes.fromhex(more))


@pytest.mark.parametrize(
    "content",
    [
        tlv.encode(0x70, b"\x30\x00") + bytes.fromhex("710102fe00"),  # unknown packing
        tlv.encode(0x70, b"\x30\x00") + bytes.fromhex("710101fe00"),  # not packed
        tlv.encode(0x70, gzip.compress(b"\x30\x00", mtime=0)[:-1]) + bytes.fromhex("710101fe00"),  # cut off
        tlv.encode(0x70, gzip.compress(b"\x30\x00", mtime=0) + b"x") + bytes.fromhex("710101fe00"),  # more behind
        tlv.encode(0x70, gzip.compress(bytes(CERTIFICATE_LIMIT_BYTES + 1), mtime=0)) + bytes.fromhex("710101fe00"),
        tlv.encode(0x70, b"") + bytes.fromhex("710100fe00"),
        bytes.fromhex("710100fe00"),
    ],
)
def test_a_certificate_object_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(DecodeError):
        piv_objects.decode_certificate(content)


def test_a_packed_certificate_cannot_blow_up() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(DecodeError, match="certificate_gzip"):
        piv_objects.decode_certificate(tlv.encode(0x70, bomb) + bytes.fromhex("710101fe00"))


def test_the_least_card_capability_container_is_the_one_proven_in_the_field() -> None:
    assert CARD_CAPABILITY_CONTAINER.hex() == "f000f100f200f300f400f50110f600f700fa00fb00fc00fd00fe00"
    found = piv_objects.decode_card_capability_container(CARD_CAPABILITY_CONTAINER)
    assert (found.card_identifier, found.data_model) == (b"", 0x10)
    with pytest.raises(DecodeError, match="ccc_field"):
        piv_objects.decode_card_capability_container(CARD_CAPABILITY_CONTAINER.replace(b"\xf5\x01\x10", b"\xf5\x00"))


def test_the_plain_discovery_object() -> None:
    content = piv_objects.encode_discovery(Discovery())
    assert tlv.encode(ObjectTag.DISCOVERY, content).hex() == "7e124f0ba0000003080000100001005f2f024000"
    assert not Discovery().global_pin
    assert Discovery(0x6010).global_pin
    for wrong in ("5f2f024000", "4f0000", "4f005f2f0140"):
        with pytest.raises(DecodeError):
            piv_objects.decode_discovery(bytes.fromhex(wrong))


def test_an_empty_key_history_and_wrong_ones() -> None:
    assert piv_objects.encode_key_history(KeyHistory()).hex() == "c10100c20100fe00"
    for wrong in ("c1020000c20100fe00", "c10115c20100fe00", "c10100c20101fe00", "c10100c20100f30161fe00"):
        with pytest.raises(DecodeError):
            piv_objects.decode_key_history(bytes.fromhex(wrong))
    for url in ("", "http://ä", "h" * 119):
        with pytest.raises(DecodeError):
            KeyHistory(0, 1, url)
    with pytest.raises(DecodeError):
        piv_objects.decode_key_history(bytes.fromhex("c10100c20101f301fffe00"))


@pytest.mark.parametrize("mapping", ["01", "01300001db00"])
def test_a_security_object_maps_each_group_once(mapping: str) -> None:
    content = tlv.encode(0xBA, bytes.fromhex(mapping)) + bytes.fromhex("bb00fe00")
    with pytest.raises(DecodeError):
        piv_objects.decode_security_object(content)


def test_names_fit_together() -> None:
    assert APPLICATION_ID.hex().upper() == "A000000308000010000100"
    assert CERTIFICATE_TAGS[0x82] == 0x5FC10D
    assert CERTIFICATE_TAGS[0x95] == 0x5FC120
    assert set(CERTIFICATE_TAGS.values()) <= OBJECT_TAGS
