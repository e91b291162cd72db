# SPDX-License-Identifier: Apache-2.0
"""What the phone writes down for itself: dataclasses as JSON, read back by their annotations.

Only for files that nobody else writes (`sealed_file`). What comes from a server is read member by member (`document`).
"""

import base64
import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret

Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """Return a dataclass as JSON. Secrets stand in it open: it goes into a sealed file."""
    return json.dumps(_plain(record), ensure_ascii=False, separators=(",", ":")).encode()


def decode(kind: type[Record], octets: bytes) -> Record:
    """Read what `encode` wrote; members that an older phone wrote and `kind` has no longer are dropped."""
    try:
        return cast("Record", _value(kind, json.loads(octets)))
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise Unavailable("file_damaged", "What the phone wrote down cannot be read. Start with a new phone.") from exc


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    members = dataclasses.fields(cast("Any", value))
    return {member.name: _plain(getattr(value, member.name)) for member in members}


_WRITERS: Final[tuple[tuple[Any, Callable[[Any], object]], ...]] = (
    (bytes, lambda octets: base64.b64encode(octets).decode("ascii")),
    (Secret, lambda secret: _plain(secret.reveal())),
    (Enum, lambda member: member.value),
    (UUID, str),
    (datetime, datetime.isoformat),
    (Mapping, lambda members: {str(name): _plain(item) for name, item in members.items()}),
    (Sequence, lambda items: [_plain(item) for item in items]),
)


def _value(hint: Any, plain: Any) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return None if plain is None else _value(next(kind for kind in arguments if kind is not types.NoneType), plain)
    if origin is tuple:
        return tuple(_value(arguments[0], item) for item in plain)
    if origin is Secret:
        return Secret(cast("str", _value(arguments[0], plain)))
    if origin in {Mapping, dict}:
        return {name: _value(arguments[1], item) for name, item in plain.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        known = {member.name for member in dataclasses.fields(hint)}
        return hint(**{name: _value(hints[name], item) for name, item in plain.items() if name in known})
    return _scalar(hint, plain)


def _scalar(hint: Any, plain: Any) -> object:
    if hint is object:
        return plain
    if hint is bytes:
        return base64.b64decode(plain, validate=True)
    if hint is datetime:
        return datetime.fromisoformat(plain)
    if hint in {str, int, bool, float}:
        if type(plain) is not hint:
            raise TypeError(hint)
        return plain
    return hint(plain)  # UUID, enumerations
