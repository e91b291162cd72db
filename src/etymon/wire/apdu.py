# SPDX-License-Identifier: Apache-2.0
"""Command and response APDUs (ISO/IEC 7816-3 §12.1, ISO/IEC 7816-4 §5.1)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from etymon.kernel.errors import DecodeError

CHAINING: Final = 0x10
"""Class bit of every command of a chain but the last (ISO/IEC 7816-4 §5.1.1.1)."""

SHORT_DATA_BYTES: Final = 255
SHORT_ANSWER_BYTES: Final = 256
EXTENDED_DATA_BYTES: Final = 65_535
EXTENDED_ANSWER_BYTES: Final = 65_536


class Instruction(IntEnum):
    """The commands of the PIV card edge (SP 800-73-5 part 2 §3)."""

    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    RESET_RETRY_COUNTER = 0x2C
    GENERATE_ASYMMETRIC_KEY_PAIR = 0x47
    GENERAL_AUTHENTICATE = 0x87
    SELECT = 0xA4
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCB
    PUT_DATA = 0xDB


class StatusWord(IntEnum):
    """Status words a PIV card answers with (SP 800-73-5 part 2 §3, ISO/IEC 7816-4 §5.1.3).

    Two carry a count in their low byte: `BYTES_REMAINING` (61xx) and `TRIES_REMAINING` (63Cx).
    """

    SUCCESS = 0x9000
    BYTES_REMAINING = 0x6100
    TRIES_REMAINING = 0x63C0
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    AUTHENTICATION_METHOD_BLOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    INCORRECT_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    NOT_ENOUGH_MEMORY = 0x6A84
    INCORRECT_PARAMETERS = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    INSTRUCTION_NOT_SUPPORTED = 0x6D00
    CLASS_NOT_SUPPORTED = 0x6E00
    NO_PRECISE_DIAGNOSIS = 0x6F00


@dataclass(frozen=True, slots=True)
class CommandAPDU:
    """A command. `answer_bytes` is Le: how many bytes are expected at most, or None when it says nothing."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    answer_bytes: int | None = None

    def __post_init__(self) -> None:
        if any(not 0 <= octet <= 0xFF for octet in (self.cla, self.ins, self.p1, self.p2)):
            raise DecodeError("apdu_header", "Each byte of a command's header is between 00 and FF.")
        if len(self.data) > EXTENDED_DATA_BYTES:
            raise DecodeError("apdu_too_long", f"A command carries at most {EXTENDED_DATA_BYTES} bytes.")
        if self.answer_bytes is not None and not 1 <= self.answer_bytes <= EXTENDED_ANSWER_BYTES:
            raise DecodeError("apdu_le", f"Le is between 1 and {EXTENDED_ANSWER_BYTES}.")

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def chained(self) -> bool:
        """Whether more of this command follows."""
        return bool(self.cla & CHAINING)


@dataclass(frozen=True, slots=True)
class ResponseAPDU:
    """An answer: data and the two status bytes as one number."""

    data: bytes
    status_word: int

    def __post_init__(self) -> None:
        if not 0 <= self.status_word <= 0xFFFF:
            raise DecodeError("apdu_status_word", "A status word has two bytes.")


def encode_command(command: CommandAPDU) -> bytes:
    """Return the command in short form where it fits, else in extended form."""
    data, le = command.data, command.answer_bytes
    if len(data) <= SHORT_DATA_BYTES and (le is None or le <= SHORT_ANSWER_BYTES):
        body = bytes([len(data)]) + data if data else b""
        return command.header + body + (b"" if le is None else bytes([le & 0xFF]))
    body = b"\x00" + (len(data).to_bytes(2, "big") + data if data else b"")
    return command.header + body + (b"" if le is None else (le & 0xFFFF).to_bytes(2, "big"))


def decode_command(raw: bytes) -> CommandAPDU:
    """Read a short or extended command (the seven forms of ISO/IEC 7816-3 §12.1.3)."""
    if len(raw) < 4:
        raise DecodeError("apdu_too_short", "A command has at least four bytes.")
    body = raw[4:]
    if not body:
        data, answer_bytes = b"", None
    elif len(body) == 1:
        data, answer_bytes = b"", body[0] or SHORT_ANSWER_BYTES
    elif body[0]:
        data, answer_bytes = _split(body[1:], count=body[0], le_bytes=1)
    elif len(body) == 3:
        data, answer_bytes = b"", int.from_bytes(body[1:], "big") or EXTENDED_ANSWER_BYTES
    else:
        data, answer_bytes = _split(body[3:], count=int.from_bytes(body[1:3], "big"), le_bytes=2)
    return CommandAPDU(raw[0], raw[1], raw[2], raw[3], data=bytes(data), answer_bytes=answer_bytes)


def _split(rest: bytes, *, count: int, le_bytes: int) -> tuple[bytes, int | None]:
    data, tail = rest[:count], rest[count:]
    if not count or len(data) != count or len(tail) not in {0, le_bytes}:
        raise DecodeError("apdu_length", "The command's length does not fit its bytes.")
    most = SHORT_ANSWER_BYTES if le_bytes == 1 else EXTENDED_ANSWER_BYTES
    return data, (int.from_bytes(tail, "big") or most) if tail else None


def encode_response(response: ResponseAPDU) -> bytes:
    """Return data and status word."""
    return response.data + response.status_word.to_bytes(2, "big")


def decode_response(raw: bytes) -> ResponseAPDU:
    """Read an answer: at most 65 536 bytes of data and a status word."""
    if not 2 <= len(raw) <= EXTENDED_ANSWER_BYTES + 2:
        raise DecodeError("apdu_response", "An answer has at least two bytes and at most 65538.")
    return ResponseAPDU(bytes(raw[:-2]), int.from_bytes(raw[-2:], "big"))


def chain(command: CommandAPDU) -> tuple[CommandAPDU, ...]:
    """Split a long command into a chain of short ones (ISO/IEC 7816-4 §5.1.1.1)."""
    blocks = [
        command.data[start : start + SHORT_DATA_BYTES] for start in range(0, len(command.data), SHORT_DATA_BYTES)
    ] or [b""]
    parameters = (command.ins, command.p1, command.p2)
    first = tuple(CommandAPDU(command.cla | CHAINING, *parameters, data=block) for block in blocks[:-1])
    last = CommandAPDU(command.cla, *parameters, data=blocks[-1], answer_bytes=command.answer_bytes)
    return (*first, last)
