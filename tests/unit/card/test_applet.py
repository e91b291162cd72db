# SPDX-License-Identifier: Apache-2.0
"""What all commands share: selection, class bytes, chaining, long answers."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given
from hypothesis import strategies as st

from etymon.card.applet import CHAIN_LIMIT_BYTES
from etymon.wire import tlv
from etymon.wire.piv import ObjectTag
from support.card_edge import STATUS, VERIFY, Bench, bench, p256

SELECT = "00A40400 0B A000000308000010000100 00"
PROPERTIES = "61224F0BA00000030800001000010079074F05A000000308500A4574796D6F6E205049569000"
GET_DISCOVERY = "00CB3FFF 03 5C017E 00"
DISCOVERY = "7E124F0BA0000003080000100001005F2F0240009000"
FACE = bytes(range(256)) * 49 + bytes(166)  # 12 710 bytes, the capacity of the facial image's container


@pytest.mark.parametrize(
    "command",
    [SELECT, "00A40400 09 A00000030800001000 00", "00A40400 05 A000000308", "00A40400 05 A000000308 00"],
)
def test_piv_is_selected_by_its_name_whole_or_cut_off(command: str) -> None:
    assert bench().send(command) == PROPERTIES


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("00A40400 08 A000000527200101 00", "6A82"),  # another application
        ("00A40400 0B A000000308000020000100 00", "6A82"),  # the derived token application
        ("00A40400 0C A00000030800001000010000 00", "6A82"),
        ("00A40400 04 A0000003", "6A82"),
        ("00A40400", "6A82"),
        ("00A40000 02 3F00", "6A86"),
        ("00A4040C 05 A000000308", "6A86"),
    ],
)
def test_what_is_not_piv_is_not_selected_and_piv_stays(command: str, answer: str) -> None:
    card = bench()
    assert card.send(command) == answer
    assert card.send(GET_DISCOVERY) == DISCOVERY


def test_commands_work_without_select() -> None:
    assert bench().send(GET_DISCOVERY) == DISCOVERY


@pytest.mark.parametrize("command", [SELECT, "00A40400 08 A000000527200101 00"])
def test_selecting_keeps_the_security_status(command: str) -> None:
    card = bench()
    card.send(VERIFY)
    card.send(command)
    assert card.send(STATUS) == "9000"


@pytest.mark.parametrize("end", ["reset", "power_off"])
def test_reset_and_power_off_forget_the_pin(end: str) -> None:
    card = bench()
    assert card.send(VERIFY) == "9000"
    getattr(card.applet, end)()
    assert card.send(STATUS) == "63C3"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("00CADF3005", "6D00"),
        ("00FD000000", "6D00"),
        ("00F8000000", "6D00"),
        ("00F7009A00", "6D00"),
        ("80CB3FFF035C017E00", "6E00"),
        ("01CB3FFF035C017E00", "6E00"),
        ("0CCB3FFF035C017E00", "6882"),
        ("1C8707 9A 00", "6882"),
        ("10A40400 05 A000000308", "6884"),
        ("10200080 08 313432353336FFFF", "6884"),
        ("00", "6700"),
        ("", "6700"),
        ("00200080 08 3132", "6700"),
        ("00CB0000 03 5C017E 00", "6A86"),
        ("00CB3FFF 03 5C027E 00", "6A80"),
        ("00CB3FFF 03 5D017E 00", "6A80"),
        ("00CB3FFF", "6A80"),
        ("00CB3FFF 05 5C03 5FC102 00", "6A82"),
        ("00CB3FFF 05 5C03 5FFFFF 00", "6A82"),
        ("00CB3FFF 02 5C00 00", "6A82"),
        ("00C0000000", "6985"),
    ],
)
def test_what_the_card_does_not_do_has_its_status_word(command: str, answer: str) -> None:
    assert bench().send(command) == answer


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(data: bytes) -> None:
    answer = bench().applet.process(data)
    assert len(answer) >= 2


@given(st.lists(st.binary(min_size=4, max_size=40), max_size=6), st.sampled_from(["00", "10"]))
def test_any_commands_in_a_row_are_answered(commands: list[bytes], first: str) -> None:
    card = bench({0x9A: p256()})
    for command in commands:
        assert len(card.applet.process(bytes.fromhex(first) + command)) >= 2


def _with_face() -> Bench:
    card = bench(objects={ObjectTag.FACIAL_IMAGE: FACE})
    card.send(VERIFY)
    return card


def _read_whole(card: Bench, first: str) -> bytes:
    answer = bytes.fromhex(card.send(first))
    data = answer[:-2]
    while answer[-2] == 0x61:
        answer = bytes.fromhex(card.send("00C00000", answer[-1:]))
        data += answer[:-2]
    assert answer[-2:] == b"\x90\x00"
    return data


@pytest.mark.parametrize("le", ["00", "08", ""])
def test_the_largest_object_is_read_in_pieces(le: str) -> None:
    assert _read_whole(_with_face(), "00CB3FFF 05 5C035FC108" + le) == bytes.fromhex("53 82 31A6") + FACE


def test_the_largest_object_is_read_at_once_with_an_extended_le() -> None:
    answer = _with_face().send("00CB3FFF 000005 5C035FC108 0000")
    assert answer == (bytes.fromhex("538231A6") + FACE).hex().upper() + "9000"


def test_le_says_how_much_comes_and_the_status_how_much_is_left() -> None:
    card = bench()
    assert card.send("00CB3FFF 03 5C017E 08") == "7E124F0BA0000003610C"
    assert card.send("00C00000 05") == "08000010006107"
    assert card.send("00C00000 40") == "01005F2F0240009000"
    assert card.send("00C00000 00") == "6985"


def test_more_than_a_byte_left_is_told_as_zero() -> None:
    assert _with_face().send("00CB3FFF 05 5C035FC108 08")[-4:] == "6100"


@pytest.mark.parametrize("between", [STATUS, GET_DISCOVERY, "00FD000000", "80000000", "00"])
def test_any_other_command_drops_the_rest_of_an_answer(between: str) -> None:
    card = bench()
    card.send("00CB3FFF 03 5C017E 08")
    card.send(between)
    assert card.send("00C0000000") == "6985"


def test_a_reset_drops_the_rest_of_an_answer() -> None:
    card = bench()
    card.send("00CB3FFF 03 5C017E 08")
    card.applet.reset()
    assert card.send("00C0000000") == "6985"


@pytest.mark.parametrize(("command", "answer"), [("00C0010000", "6A86"), ("00C00000 01 00", "6985")])
def test_get_response_has_no_parameters_and_no_data(command: str, answer: str) -> None:
    card = bench()
    card.send("00CB3FFF 03 5C017E 08")
    assert card.send(command) == answer


SIGN_FIRST = "1087119A 10 7C2482008120" + "11" * 10
SIGN_LAST = "0087119A 16" + "22" * 22 + "00"


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return p256()


def test_a_chain_is_one_command(key: ec.EllipticCurvePrivateKey) -> None:
    card = bench({0x9A: key})
    card.send(VERIFY)
    assert card.send(SIGN_FIRST) == "9000"
    answer = bytes.fromhex(card.send(SIGN_LAST))
    assert answer[-2:] == b"\x90\x00"
    signature = tlv.unwrap(tlv.unwrap(answer[:-2], 0x7C), 0x82)
    digest = b"\x11" * 10 + b"\x22" * 22
    key.public_key().verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))


@pytest.mark.parametrize(
    "between",
    [
        STATUS,
        GET_DISCOVERY,
        "00FD000000",
        "0087119C 02 7C00",  # the same command for another key
        "108711 9E 02 7C00",  # a chain for another key
        "80000000",
    ],
)
def test_another_command_in_between_aborts_the_chain(key: ec.EllipticCurvePrivateKey, between: str) -> None:
    card = bench({0x9A: key})
    card.send(VERIFY)
    assert card.send(SIGN_FIRST) == "9000"
    card.send(between)
    assert card.send(SIGN_LAST) == "6A80"


def test_a_reset_aborts_the_chain(key: ec.EllipticCurvePrivateKey) -> None:
    card = bench({0x9A: key})
    card.send(SIGN_FIRST)
    card.applet.reset()
    card.send(VERIFY)
    assert card.send(SIGN_LAST) == "6A80"


def test_a_chain_does_not_grow_without_end() -> None:
    card = bench()
    block = bytes(255)
    for _ in range(CHAIN_LIMIT_BYTES // 255):
        assert card.send("10DB3FFF FF", block) == "9000"
    assert card.send("10DB3FFF FF", block) == "6700"
    assert card.send("00DB3FFF 02 5300") == "6982"


def test_the_atr_names_no_product_and_its_check_byte_fits() -> None:
    atr = bench().applet.atr
    check = 0
    for octet in atr[1:]:
        check ^= octet
    assert atr.hex() == "3b800181"
    assert check == 0
