# SPDX-License-Identifier: Apache-2.0
"""Command and response APDUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire.apdu import (
    CHAINING,
    EXTENDED_ANSWER_BYTES,
    EXTENDED_DATA_BYTES,
    CommandAPDU,
    ResponseAPDU,
    chain,
    decode_command,
    decode_response,
    encode_command,
    encode_response,
)

octets = st.integers(0, 0xFF)
commands = st.builds(
    CommandAPDU,
    octets,
    octets,
    octets,
    octets,
    st.binary(max_size=400),
    st.none() | st.integers(1, EXTENDED_ANSWER_BYTES),
)


@given(commands)
def test_commands_come_back(command: CommandAPDU) -> None:
    assert decode_command(encode_command(command)) == command


@given(st.binary(max_size=400))
def test_any_bytes_are_a_command_or_a_decode_error(data: bytes) -> None:
    try:
        command = decode_command(data)
    except DecodeError:
        return
    assert decode_command(encode_command(command)) == command


@given(st.builds(ResponseAPDU, st.binary(max_size=300), st.integers(0, 0xFFFF)))
def test_responses_come_back(response: ResponseAPDU) -> None:
    assert decode_response(encode_response(response)) == response


@given(st.binary(max_size=1500), octets, octets, octets)
def test_a_chain_carries_the_whole_command(data: bytes, ins: int, p1: int, p2: int) -> None:
    *begun, last = chain(CommandAPDU(0, ins, p1, p2, data, 256))
    assert b"".join(block.data for block in (*begun, last)) == data
    assert all(block.cla == CHAINING and block.chained and len(block.data) == 255 for block in begun)
    assert (last.cla, last.chained, last.answer_bytes) == (0, False, 256)
    assert {block.header[1:] for block in (*begun, last)} == {bytes((ins, p1, p2))}


@pytest.mark.parametrize(
    ("raw", "data", "answer_bytes"),
    [
        ("00200080", b"", None),  # case 1
        ("0020008000", b"", 256),  # case 2 short
        ("0020008008", b"", 8),
        ("0020008002aabb", b"\xaa\xbb", None),  # case 3 short
        ("0020008002aabb00", b"\xaa\xbb", 256),  # case 4 short
        ("00200080000000", b"", 65_536),  # case 2 extended
        ("00200080000102", b"", 0x102),
        ("00200080000002aabb", b"\xaa\xbb", None),  # case 3 extended
        ("00200080000002aabb0000", b"\xaa\xbb", 65_536),  # case 4 extended
    ],
)
def test_the_forms_of_a_command(raw: str, data: bytes, answer_bytes: int | None) -> None:
    command = decode_command(bytes.fromhex(raw))
    assert (command.data, command.answer_bytes) == (data, answer_bytes)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "002000",
        "0020008002aa",  # data cut off
        "0020008001aabbcc",  # more than Le behind the data
        "002000800000",  # an extended form cut off
        "0020008000000000",  # extended, and no data
        "00200080000002aabb00",  # Le cut off
        "00200080000003aabb",  # data cut off
    ],
)
def test_what_is_no_command_is_refused(raw: str) -> None:
    with pytest.raises(DecodeError):
        decode_command(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "wrong",
    [
        {"cla": 0x100},
        {"p2": -1},
        {"data": bytes(EXTENDED_DATA_BYTES + 1)},
        {"answer_bytes": 0},
        {"answer_bytes": EXTENDED_ANSWER_BYTES + 1},
    ],
)
def test_a_command_checks_itself(wrong: dict[str, int]) -> None:
    fields: dict[str, int] = {"cla": 0, "ins": 0xCB, "p1": 0, "p2": 0}
    with pytest.raises(DecodeError):
        CommandAPDU(**{**fields, **wrong})  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize("raw", [b"", b"\x90", bytes(EXTENDED_ANSWER_BYTES + 3)])
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_response(raw)


def test_a_status_word_has_two_bytes() -> None:
    with pytest.raises(DecodeError):
        ResponseAPDU(b"", 0x10000)
