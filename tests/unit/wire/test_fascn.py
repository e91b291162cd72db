# SPDX-License-Identifier: Apache-2.0
"""The FASC-N, against two numbers worked out elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import fascn
from etymon.wire.fascn import FASCN

WORKED = [
    (
        FASCN("0032", "0001", "092446", "0", "1", "1112223333", "1", "1223", "2"),
        "D0439458210C2C19A0846D83685A1082108CE73984108CA3FC",
    ),
    (
        FASCN("9999", "9999", "999999", "0", "1", "0000000000", "3", "0000", "1"),
        "D4E739DA739CED39CE739D836858210842108421C84210C3EB",
    ),
]


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


numbers = st.builds(
    FASCN, digits(4), digits(4), digits(6), digits(1), digits(1), digits(10), digits(1), digits(4), digits(1)
)


@pytest.mark.parametrize(("value", "encoded"), WORKED)
def test_the_worked_examples(value: FASCN, encoded: str) -> None:
    assert fascn.encode(value).hex().upper() == encoded
    assert fascn.decode(bytes.fromhex(encoded)) == value


@given(numbers)
def test_every_number_comes_back(value: FASCN) -> None:
    assert fascn.decode(fascn.encode(value)) == value


@given(st.binary(max_size=30) | st.binary(min_size=25, max_size=25))
def test_any_bytes_are_a_number_or_a_decode_error(data: bytes) -> None:
    try:
        value = fascn.decode(data)
    except DecodeError:
        return
    assert fascn.encode(value) == data


@given(numbers, st.integers(0, 199))
def test_one_wrong_bit_is_noticed(value: FASCN, bit: int) -> None:
    damaged = int.from_bytes(fascn.encode(value), "big") ^ 1 << bit
    with pytest.raises(DecodeError, match="fascn_parity"):
        fascn.decode(damaged.to_bytes(25, "big"))


def test_a_redundancy_character_that_does_not_fit_is_noticed() -> None:
    encoded = int.from_bytes(fascn.encode(WORKED[0][0]), "big")
    with pytest.raises(DecodeError, match="fascn_redundancy"):
        fascn.decode((encoded ^ 0b11).to_bytes(25, "big"))


def test_a_letter_where_a_digit_belongs_is_noticed() -> None:
    # The first two agency digits become A and A: their sum for the redundancy character stays zero.
    encoded = int.from_bytes(fascn.encode(FASCN("0000", "0000", "000000")), "big")
    zeros, letters = 0b00001_00001, 0b01011_01011
    damaged = encoded ^ (zeros ^ letters) << 5 * 37
    with pytest.raises(DecodeError, match="fascn_field"):
        fascn.decode(damaged.to_bytes(25, "big"))


def test_separators_out_of_place_are_noticed() -> None:
    # The separator after the agency and the digit before it change places.
    encoded = int.from_bytes(fascn.encode(FASCN("0000", "0000", "000000")), "big")
    pair = 0b00001_10110 ^ 0b10110_00001
    with pytest.raises(DecodeError):
        fascn.decode((encoded ^ pair << 5 * 34).to_bytes(25, "big"))


@pytest.mark.parametrize("wrong", ["999", "99999", "99a9", "٠٠٠٠", "-999", ""])
def test_a_field_has_its_digits(wrong: str) -> None:
    with pytest.raises(DecodeError):
        FASCN(wrong, "0001", "092446")


def test_cards_from_outside_the_government_are_all_nines() -> None:
    assert fascn.non_federal().identifier == "99999999999999"
    assert str(WORKED[0][0]) == "0032-0001-092446-0-1-1112223333-1-1223-2"
