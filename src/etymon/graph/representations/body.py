# SPDX-License-Identifier: Apache-2.0
"""What all bodies have: unknown properties are ignored, values are of their JSON type and nothing is converted."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from etymon.kernel.errors import Malformed

Value = TypeVar("Value")

LONGEST_TEXT: Final = 1000

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Cursor = Annotated[str | None, Field(max_length=100)]
Base64 = Annotated[str, Field(max_length=1024 * 1024)]


class Body(BaseModel):
    """A JSON object of a request. A property that was not sent is not in `model_fields_set`."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, strict=True, alias_generator=to_camel, validate_by_name=False
    )

    def says(self, name: str) -> bool:
        """Say whether the property was sent."""
        return name in self.model_fields_set

    def told(self, name: str, before: Value) -> Value:
        """Return what was sent under `name`, or `before`; null counts as not sent where it has no meaning."""
        value: Any = getattr(self, name)
        return value if self.says(name) and value is not None else before


def required(value: Value | None, name: str) -> Value:
    """Return a value that has to be there; raises Malformed."""
    if value is None:
        raise Malformed("property_missing", f"{name} is required.")
    return value


def octets(value: str, name: str) -> bytes:
    """Return what base64 says; raises Malformed."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Malformed("malformed", f"{name} is base64.") from exc


def instant(value: str, name: str) -> datetime:
    """Return a time with its offset; raises Malformed."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Malformed("malformed", f"{name} is a time with its offset, such as 2026-01-31T08:00:00Z.")
    return moment.astimezone(UTC)


def identifier(value: str, name: str) -> UUID:
    """Return a UUID; raises Malformed."""
    try:
        return UUID(value)
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is a UUID.") from exc


def place(value: str | None) -> UUID | None:
    """Return where a bulk command goes on, as its answer before named it; raises Malformed."""
    if value is None:
        return None
    try:
        return UUID(value)
    except ValueError as exc:
        raise Malformed("cursor_not_understood", "cursor is what the answer before named as next.") from exc


def require_only(value: str | None, allowed: str, name: str) -> None:
    """Refuse any other value of a property that has one value here."""
    if value is not None and value != allowed:
        raise Malformed("value_not_supported", f"{name} is {allowed} here.")
