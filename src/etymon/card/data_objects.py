# SPDX-License-Identifier: Apache-2.0
"""SELECT, GET DATA, PUT DATA and GENERATE ASYMMETRIC KEY PAIR (SP 800-73-5 part 2 §3.1 and §3.3)."""

from typing import Final

from etymon.card import public_keys
from etymon.card.private_keys import ASYMMETRIC, PUBLIC_EXPONENT, generate
from etymon.card.session import CardSession, CommandRefused
from etymon.card.state import GENERATED_KEYS
from etymon.kernel.errors import DecodeError
from etymon.wire import tlv
from etymon.wire.apdu import CommandAPDU, StatusWord
from etymon.wire.piv import (
    APPLICATION_ID,
    CONTENT,
    OBJECT_TAGS,
    PIN_PROTECTED_TAGS,
    REGISTERED_PROVIDER_ID,
    UNWRAPPED_TAGS,
    Algorithm,
)

APPLICATION_LABEL: Final = b"Etymon PIV"
OBJECT_LIMIT_BYTES: Final = 16_384
"""Largest data object kept; the facial image's container, the largest, has 12 710 bytes."""
MEMORY_BYTES: Final = 131_072
"""Room for all data objects together."""

_TAG_LIST: Final = 0x5C
_SELECT_BY_NAME: Final = 0x04
_GENERATE_TEMPLATE: Final = 0xAC
_MECHANISM: Final = 0x80
_PARAMETER: Final = 0x81

_PROPERTIES: Final = tlv.encode(
    0x61,
    tlv.encode(0x4F, APPLICATION_ID)
    + tlv.encode(0x79, tlv.encode(0x4F, REGISTERED_PROVIDER_ID))
    + tlv.encode(0x50, APPLICATION_LABEL),
)


def select(_: CardSession, command: CommandAPDU) -> bytes:
    """Answer for the PIV application, named whole or cut off on the right; another name changes nothing.

    Readers in the field name the provider alone, so five bytes are enough.
    """
    if command.p1 != _SELECT_BY_NAME or command.p2:
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    shortest = len(REGISTERED_PROVIDER_ID)
    if len(command.data) < shortest or not APPLICATION_ID.startswith(command.data):
        raise CommandRefused(StatusWord.NOT_FOUND)
    return _PROPERTIES


def get_data(session: CardSession, command: CommandAPDU) -> bytes:
    """Return the data object whose tag is in the tag list."""
    _require_current_application(command)
    try:
        tag = int.from_bytes(tlv.unwrap(command.data, _TAG_LIST), "big")
    except DecodeError as exc:
        raise CommandRefused(StatusWord.INCORRECT_DATA) from exc
    content = session.state.objects.get(tag)
    if content is None:
        raise CommandRefused(StatusWord.NOT_FOUND)
    if tag in PIN_PROTECTED_TAGS and not session.pin_verified:
        raise CommandRefused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)
    return tlv.encode(tag if tag in UNWRAPPED_TAGS else CONTENT, content)


def put_data(session: CardSession, command: CommandAPDU) -> bytes:
    """Replace a data object whole; an empty `53` empties it."""
    _require_current_application(command)
    session.require_management()
    tag, content = _object_to_put(command.data)
    others = sum(len(value) for key, value in session.state.objects.items() if key != tag)
    if len(content) > OBJECT_LIMIT_BYTES or others + len(content) > MEMORY_BYTES:
        raise CommandRefused(StatusWord.NOT_ENOUGH_MEMORY)
    session.commit(session.state.with_object(tag, content))
    return b""


def _object_to_put(data: bytes) -> tuple[int, bytes]:
    try:
        parts = tlv.decode_all(data)
    except DecodeError as exc:
        raise CommandRefused(StatusWord.INCORRECT_DATA) from exc
    if len(parts) == 1 and parts[0].tag in UNWRAPPED_TAGS:
        return parts[0].tag, parts[0].value
    if [part.tag for part in parts] != [_TAG_LIST, CONTENT]:
        raise CommandRefused(StatusWord.INCORRECT_DATA)
    tag = int.from_bytes(parts[0].value, "big")
    if tag not in OBJECT_TAGS or tag in UNWRAPPED_TAGS:
        raise CommandRefused(StatusWord.FUNCTION_NOT_SUPPORTED)
    return tag, parts[1].value


def generate_asymmetric_key_pair(session: CardSession, command: CommandAPDU) -> bytes:
    """Make a key pair in the card, in place of the one that was there, and answer its public half."""
    if command.p1 or command.p2 not in GENERATED_KEYS:
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    session.require_management()
    key = generate(_mechanism(command.data))
    session.commit(session.state.with_key(command.p2, key))
    return public_keys.encode(key.public_key())


def _mechanism(data: bytes) -> Algorithm:
    try:
        found = {item.tag: item.value for item in tlv.decode_all(tlv.unwrap(data, _GENERATE_TEMPLATE))}
        algorithm = Algorithm(int.from_bytes(found.pop(_MECHANISM, b""), "big"))
    except (DecodeError, ValueError) as exc:
        raise CommandRefused(StatusWord.INCORRECT_DATA) from exc
    parameter = found.pop(_PARAMETER, b"")
    exponent = int.from_bytes(parameter, "big") if parameter else PUBLIC_EXPONENT
    if algorithm not in ASYMMETRIC or found or exponent != PUBLIC_EXPONENT:
        raise CommandRefused(StatusWord.INCORRECT_DATA)
    return algorithm


def _require_current_application(command: CommandAPDU) -> None:
    if (command.p1, command.p2) != (0x3F, 0xFF):
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
