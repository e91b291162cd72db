# SPDX-License-Identifier: Apache-2.0
"""BER-TLV and simple TLV."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import tlv
from etymon.wire.tlv import TLV

one_byte_tags = st.integers(0, 0xFF).filter(lambda tag: tag & 0x1F != 0x1F)
two_byte_tags = st.builds(lambda head, tail: (head | 0x1F) << 8 | tail, st.integers(1, 0xFF), st.integers(0, 0x7F))
three_byte_tags = st.builds(
    lambda head, middle, tail: (head | 0x1F) << 16 | (middle | 0x80) << 8 | tail,
    st.integers(1, 0xFF),
    st.integers(0, 0x7F),
    st.integers(0, 0x7F),
)
ber_objects = st.lists(
    st.builds(TLV, one_byte_tags | two_byte_tags | three_byte_tags, st.binary(max_size=300)), max_size=5
)
simple_objects = st.lists(st.builds(TLV, st.integers(0, 0xFF), st.binary(max_size=300)), max_size=5)


@given(ber_objects)
def test_ber_objects_come_back(objects: list[TLV]) -> None:
    assert list(tlv.decode_all(tlv.encode_all(objects))) == objects


@given(simple_objects)
def test_simple_objects_come_back(objects: list[TLV]) -> None:
    assert list(tlv.decode_simple(tlv.encode_all(objects))) == objects


@given(st.binary(max_size=600))
def test_any_bytes_are_objects_or_a_decode_error(data: bytes) -> None:
    for read in (tlv.decode_all, tlv.decode_simple):
        try:
            objects = read(data)
        except DecodeError:
            continue
        assert read(tlv.encode_all(objects)) == objects


@pytest.mark.parametrize(
    ("count", "head"),
    [(0, "00"), (0x7F, "7f"), (0x80, "8180"), (0xFF, "81ff"), (0x100, "820100"), (0xFFFF, "82ffff")],
)
def test_lengths_take_the_shortest_form(count: int, head: str) -> None:
    encoded = tlv.encode(0x53, bytes(count))
    assert encoded[1 : len(encoded) - count].hex() == head
    assert tlv.unwrap(encoded, 0x53) == bytes(count)


def test_a_tag_of_three_bytes_is_written_as_it_is_spelled() -> None:
    assert tlv.encode(0x5FC102, b"x").hex() == "5fc1020178"


def test_tag_zero_is_a_byte() -> None:
    assert tlv.decode_simple(tlv.encode(0, b"")) == (TLV(0, b""),)


def test_a_longer_length_form_is_read() -> None:
    assert tlv.decode_all(bytes.fromhex("7c820002aabb")) == (TLV(0x7C, b"\xaa\xbb"),)


@pytest.mark.parametrize(
    "data",
    [
        "53",  # no length
        "5302aa",  # cut off
        "538001",  # indefinite
        "5381",  # length cut off
        "5384000000010a",  # length of four bytes
        "5383010000" + "00" * 0x10000,  # longer than is read
        "5f",  # tag cut off
        "5fc1820100",  # tag of four bytes
        "5fc1",  # tag cut off
        "001f",  # an object, then a cut-off tag
    ],
)
def test_what_is_no_tlv_is_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        tlv.decode_all(bytes.fromhex(data))


def test_exactly_one_object_means_one() -> None:
    with pytest.raises(DecodeError, match="found 2"):
        tlv.decode_one(bytes.fromhex("53005300"))
    with pytest.raises(DecodeError, match="found 0"):
        tlv.decode_one(b"")
    with pytest.raises(DecodeError, match="Expected tag 7C and found 53"):
        tlv.unwrap(bytes.fromhex("5300"), 0x7C)


def test_a_value_over_the_limit_is_not_written() -> None:
    with pytest.raises(DecodeError):
        tlv.encode(0x53, bytes(tlv.LIMIT_BYTES + 1))
