# SPDX-License-Identifier: Apache-2.0
"""VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER (SP 800-73-5 part 2 §3.2.1 to §3.2.3).

A try is counted and persisted before anything is compared, so that pulling the power never gives a try back.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from etymon.card.reference_values import BLOCK_BYTES, is_pin_block
from etymon.card.session import CardSession, CommandRefused
from etymon.card.state import CardState, ReferenceData
from etymon.kernel.secret import same
from etymon.wire.apdu import CommandAPDU, StatusWord
from etymon.wire.piv import KeyReference

_LOG_OUT: Final = 0xFF


def verify(session: CardSession, command: CommandAPDU) -> bytes:
    """Compare the PIN, tell the tries left (no data), or forget that it was shown (P1 = FF)."""
    if command.p1 not in {0, _LOG_OUT}:
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    if command.p2 != KeyReference.PIN:
        raise CommandRefused(StatusWord.REFERENCE_NOT_FOUND)
    if command.p1 == _LOG_OUT:
        if command.data:
            raise CommandRefused(StatusWord.INCORRECT_DATA)
        session.pin_verified = False
        return b""
    if not command.data:
        if not session.pin_verified:
            raise _tries(session.state.pin)
        return b""
    _require_tries(session.state.pin)
    if not is_pin_block(command.data):
        raise CommandRefused(StatusWord.INCORRECT_DATA)
    _compare(session, _pin, _with_pin, command.data)
    session.pin_verified = True
    session.pin_just_verified = True
    return b""


def change_reference_data(session: CardSession, command: CommandAPDU) -> bytes:
    """Replace PIN or PUK by whoever knows the present one."""
    if command.p1:
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    if command.p2 not in {KeyReference.PIN, KeyReference.PUK}:
        raise CommandRefused(StatusWord.REFERENCE_NOT_FOUND)
    changes_pin = command.p2 == KeyReference.PIN
    read, write = (_pin, _with_pin) if changes_pin else (_puk, _with_puk)
    _require_tries(read(session.state))
    present, new = _two_blocks(command.data)
    if changes_pin and not (is_pin_block(present) and is_pin_block(new)):
        raise CommandRefused(StatusWord.INCORRECT_DATA)
    _compare(session, read, write, present)
    session.commit(write(session.state, read(session.state).changed(new)))
    if changes_pin:
        session.pin_verified = True
    return b""


def reset_retry_counter(session: CardSession, command: CommandAPDU) -> bytes:
    """Set a new PIN by whoever knows the PUK; the PIN is not verified by that."""
    if command.p1:
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    if command.p2 != KeyReference.PIN:
        raise CommandRefused(StatusWord.REFERENCE_NOT_FOUND)
    _require_tries(session.state.puk)
    puk, new = _two_blocks(command.data)
    if not is_pin_block(new):
        raise CommandRefused(StatusWord.INCORRECT_DATA)
    _compare(session, _puk, _with_puk, puk)
    session.commit(_with_pin(session.state, session.state.pin.changed(new)))
    return b""


def _compare(
    session: CardSession,
    read: Callable[[CardState], ReferenceData],
    write: Callable[[CardState, ReferenceData], CardState],
    presented: bytes,
) -> None:
    stored = read(session.state)
    session.commit(write(session.state, stored.after_a_try()))
    if not same(stored.value.reveal(), presented):
        session.pin_verified = False
        raise CommandRefused(StatusWord.TRIES_REMAINING | read(session.state).remaining)
    session.commit(write(session.state, stored.restored()))


def _require_tries(reference: ReferenceData) -> None:
    if not reference.remaining:
        raise CommandRefused(StatusWord.AUTHENTICATION_METHOD_BLOCKED)


def _tries(reference: ReferenceData) -> CommandRefused:
    _require_tries(reference)
    return CommandRefused(StatusWord.TRIES_REMAINING | reference.remaining)


def _two_blocks(data: bytes) -> tuple[bytes, bytes]:
    if len(data) != 2 * BLOCK_BYTES:
        raise CommandRefused(StatusWord.INCORRECT_DATA)
    return data[:BLOCK_BYTES], data[BLOCK_BYTES:]


def _pin(state: CardState) -> ReferenceData:
    return state.pin


def _puk(state: CardState) -> ReferenceData:
    return state.puk


def _with_pin(state: CardState, pin: ReferenceData) -> CardState:
    return replace(state, pin=pin)


def _with_puk(state: CardState, puk: ReferenceData) -> CardState:
    return replace(state, puk=puk)
