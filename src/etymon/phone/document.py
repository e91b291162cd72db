# SPDX-License-Identifier: Apache-2.0
"""JSON objects read by type: what a server answers, what the phone wrote down for itself.

Members that are not asked for are ignored (docs/protocols/README.md). A missing or wrong one raises `DecodeError`.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID

from etymon.kernel.errors import DecodeError

LARGEST_NUMBER: Final = 2**53 - 1
"""The largest whole number every JSON reader keeps exactly (RFC 8259 §6)."""


class Document:
    """One JSON object."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Read UTF-8 text that is one JSON object; its size was bounded by whoever received it."""
        try:
            value = json.loads(octets)
        except (ValueError, RecursionError) as exc:
            raise DecodeError("not_json", "The answer is not JSON.") from exc
        if not isinstance(value, dict):
            raise DecodeError("not_json", "The answer is not a JSON object.")
        return cls(value)

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; `default` where the member is missing."""
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise _wrong(name)
        return value

    def whole_number(self, name: str, default: int | None = None) -> int:
        """Return a whole number from 0 on."""
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
            raise _wrong(name)
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            raise _wrong(name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the member is missing."""
        return tuple(_text(name, item) for item in self._list(name))

    def document(self, name: str) -> "Document":
        """Return an object inside this one."""
        return _document(name, self._members.get(name))

    def documents(self, name: str) -> "tuple[Document, ...]":
        """Return a list of objects, empty where the member is missing."""
        return tuple(_document(name, item) for item in self._list(name))

    def uuid(self, name: str) -> UUID:
        """Return a UUID."""
        try:
            return UUID(self.text(name))
        except ValueError as exc:
            raise _wrong(name) from exc

    def moment(self, name: str) -> datetime:
        """Return a time (RFC 3339) in UTC."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError as exc:
            raise _wrong(name) from exc
        if moment.tzinfo is None:
            raise _wrong(name)
        return moment.astimezone(UTC)

    def octets(self, name: str) -> bytes:
        """Return what a base64 text says (RFC 4648 §4)."""
        return _octets(name, self.text(name))

    def octet_list(self, name: str) -> tuple[bytes, ...]:
        """Return what a list of base64 texts says, empty where the member is missing."""
        return tuple(_octets(name, text) for text in self.texts(name))

    def members(self) -> Mapping[str, object]:
        """Return the object as it was read, to be written down again."""
        return self._members

    def _list(self, name: str) -> list[object]:
        value = self._members.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(name)
        return value


def base64_text(octets: bytes) -> str:
    """Return bytes as they stand in our JSON."""
    return base64.b64encode(octets).decode("ascii")


def time_text(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encode(members: Mapping[str, object]) -> bytes:
    """Return an object as UTF-8 JSON."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name)
    return value


def _document(name: str, value: object) -> Document:
    if not isinstance(value, dict):
        raise _wrong(name)
    return Document(value)


def _octets(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _wrong(name) from exc


def _wrong(name: str) -> DecodeError:
    return DecodeError("unexpected_answer", f"The answer's member {name} is missing or not what it should be.")
