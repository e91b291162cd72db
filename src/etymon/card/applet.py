# SPDX-License-Identifier: Apache-2.0
"""The PIV card application: command APDUs in, response APDUs out (SP 800-73-5 part 2, ISO/IEC 7816-4).

Here are the parts of the card edge that all commands share: class bytes, chaining, and answers longer than Le.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from etymon.card.data_objects import generate_asymmetric_key_pair, get_data, put_data, select
from etymon.card.general_authenticate import general_authenticate
from etymon.card.reference_data import change_reference_data, reset_retry_counter, verify
from etymon.card.session import CardSession, CommandRefused
from etymon.card.state import CardState
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import DecodeError
from etymon.wire.apdu import (
    CHAINING,
    SHORT_ANSWER_BYTES,
    CommandAPDU,
    Instruction,
    ResponseAPDU,
    StatusWord,
    decode_command,
    encode_response,
)

ATR: Final = bytes.fromhex("3B800181")
"""T=1 and no historical bytes: nothing by which middleware could take this card for a product it knows."""

CHAIN_LIMIT_BYTES: Final = 20_480
"""Longest command a chain builds: the largest data object and its tags."""

_Handler = Callable[[CardSession, CommandAPDU], bytes]

_HANDLERS: Final[Mapping[int, _Handler]] = {
    Instruction.SELECT: select,
    Instruction.GET_DATA: get_data,
    Instruction.VERIFY: verify,
    Instruction.CHANGE_REFERENCE_DATA: change_reference_data,
    Instruction.RESET_RETRY_COUNTER: reset_retry_counter,
    Instruction.GENERAL_AUTHENTICATE: general_authenticate,
    Instruction.PUT_DATA: put_data,
    Instruction.GENERATE_ASYMMETRIC_KEY_PAIR: generate_asymmetric_key_pair,
}
_CHAINED: Final = frozenset(
    {Instruction.GENERAL_AUTHENTICATE, Instruction.PUT_DATA, Instruction.GENERATE_ASYMMETRIC_KEY_PAIR}
)
_SECURE_MESSAGING: Final = 0x0C


class PIVApplet:
    """A software PIV card. PIV is its only application and always selected; not safe for two threads at once."""

    def __init__(self, state: CardState, persist: Callable[[CardState], None], entropy: Entropy) -> None:
        """`persist` makes a changed state lasting and returns when it is; it may raise OSError."""
        self._session = CardSession(state, persist, entropy)
        self._chain: CommandAPDU | None = None
        self._rest = b""

    @property
    def state(self) -> CardState:
        """What the card keeps when its power is off."""
        return self._session.state

    @property
    def atr(self) -> bytes:
        """The answer to reset (ISO/IEC 7816-3 §8.2)."""
        return ATR

    def reset(self) -> None:
        """Forget security statuses, a begun chain and an unread answer; counters stay."""
        self._session.forget()
        self._chain = None
        self._rest = b""

    def power_off(self) -> None:
        """Do as `reset`: nothing but the lasting state outlives the power."""
        self.reset()

    def process(self, apdu: bytes) -> bytes:
        """Answer one command. Never raises for what a host may send."""
        try:
            command = decode_command(apdu)
        except DecodeError:
            return self._refused(StatusWord.WRONG_LENGTH)
        if command.ins == Instruction.GET_RESPONSE and command.cla == 0:
            return self._get_response(command)
        self._rest = b""
        self._end_what_this_ends(command)
        try:
            whole = self._assemble(command)
            answer = _HANDLERS[whole.ins](self._session, whole) if whole else b""
        except CommandRefused as refusal:
            return self._refused(refusal.status_word)
        return self._answer(answer, command.answer_bytes)

    def _assemble(self, command: CommandAPDU) -> CommandAPDU | None:
        """Return the whole command, or None while its chain goes on."""
        begun, self._chain = self._chain, None
        if command.cla & _SECURE_MESSAGING:
            raise CommandRefused(StatusWord.SECURE_MESSAGING_NOT_SUPPORTED)
        if command.cla & ~CHAINING:
            raise CommandRefused(StatusWord.CLASS_NOT_SUPPORTED)
        if command.ins not in _HANDLERS:
            raise CommandRefused(StatusWord.INSTRUCTION_NOT_SUPPORTED)
        if command.chained and command.ins not in _CHAINED:
            raise CommandRefused(StatusWord.CHAINING_NOT_SUPPORTED)
        whole = replace(command, cla=0)
        if begun and begun.header == whole.header:
            if len(begun.data) + len(command.data) > CHAIN_LIMIT_BYTES:
                raise CommandRefused(StatusWord.WRONG_LENGTH)
            whole = replace(whole, data=begun.data + command.data)
        if command.chained:
            self._chain = whole
            return None
        return whole

    def _end_what_this_ends(self, command: CommandAPDU) -> None:
        if command.ins != Instruction.GENERAL_AUTHENTICATE:
            self._session.pin_just_verified = False
            self._session.pending_challenge = None

    def _get_response(self, command: CommandAPDU) -> bytes:
        if not self._rest or command.data:
            return self._refused(StatusWord.CONDITIONS_NOT_SATISFIED)
        if command.p1 or command.p2:
            return self._refused(StatusWord.INCORRECT_PARAMETERS)
        return self._answer(self._rest, command.answer_bytes)

    def _answer(self, data: bytes, expected: int | None) -> bytes:
        """Answer as much as Le allows and keep the rest; without Le a short answer is meant."""
        now, self._rest = data[: expected or SHORT_ANSWER_BYTES], data[expected or SHORT_ANSWER_BYTES :]
        if not self._rest:
            return encode_response(ResponseAPDU(now, StatusWord.SUCCESS))
        left = len(self._rest) if len(self._rest) < SHORT_ANSWER_BYTES else 0
        return encode_response(ResponseAPDU(now, StatusWord.BYTES_REMAINING | left))

    def _refused(self, status_word: int) -> bytes:
        self._rest = b""
        return encode_response(ResponseAPDU(b"", status_word))
