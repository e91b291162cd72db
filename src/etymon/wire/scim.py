# SPDX-License-Identifier: Apache-2.0
"""What SCIM clients write beside plain JSON: filters, PATCH paths and PATCH operations (RFC 7644 §3.4.2.2, §3.5.2).

Only comparisons with `eq` are read. Names of attributes are compared without case and given in lower case.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from etymon.kernel.errors import DecodeError

CORE: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MEDIA_TYPE: Final = "application/scim+json"

LONGEST: Final = 1000
MOST_OPERATIONS: Final = 50

_NAME: Final = r"[A-Za-z][A-Za-z0-9_-]{0,60}"
_URN: Final = r"urn:[A-Za-z0-9.:_-]{1,200}"
_VALUE: Final = r'"(?:[^"\\\x00-\x1f]|\\.){0,500}"'
_COMPARISON: Final = re.compile(rf"(?:(?P<urn>{_URN}):)?(?P<name>{_NAME}) +[eE][qQ] +(?P<value>{_VALUE})")
_PATH: Final = re.compile(
    rf"(?:(?P<urn>{_URN}):)?(?P<name>{_NAME})"
    rf"(?:\[(?P<by>{_NAME}) +[eE][qQ] +(?P<value>{_VALUE}|true|false)\])?(?:\.(?P<sub>{_NAME}))?"
)


class Comparison(NamedTuple):
    """An attribute that has to have a value. `schema` is in lower case, empty where none is named."""

    schema: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Path:
    """What an operation changes: an attribute, of a list the elements with a value, a part of those."""

    schema: str
    name: str
    by: str = ""
    value: str | bool = ""
    sub: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change; without a path its value is an object of attributes."""

    op: Literal["add", "replace", "remove"]
    path: Path | None
    value: object


def parse_filter(text: str) -> Comparison:
    """Read a filter; raises DecodeError `invalidFilter`."""
    found = _COMPARISON.fullmatch(text.strip(" ")) if len(text) <= LONGEST else None
    if found is None:
        raise DecodeError("invalidFilter", 'The filters that are known compare one attribute: userName eq "value".')
    return Comparison((found["urn"] or "").lower(), found["name"].lower(), _text(found["value"], "invalidFilter"))


def parse_path(text: str) -> Path:
    """Read a path; raises DecodeError `invalidPath`."""
    found = _PATH.fullmatch(text.strip(" ")) if len(text) <= LONGEST else None
    if found is None:
        raise DecodeError("invalidPath", "A path names an attribute, one element by eq, or a part of it.")
    value: str | bool = ""
    if found["value"]:
        value = _text(found["value"], "invalidPath") if found["value"].startswith('"') else found["value"] == "true"
    return Path(
        (found["urn"] or "").lower(),
        found["name"].lower(),
        (found["by"] or "").lower(),
        value,
        (found["sub"] or "").lower(),
    )


def parse_operations(document: Mapping[str, object]) -> list[Operation]:
    """Read the operations of a PATCH; raises DecodeError `invalidSyntax`, `invalidPath` and `noTarget`."""
    named = {name.lower(): value for name, value in document.items()}
    schemas, operations = named.get("schemas"), named.get("operations")
    if not isinstance(schemas, list) or PATCH.lower() not in {str(one).lower() for one in schemas}:
        raise DecodeError("invalidSyntax", f"A PATCH has the schema {PATCH}.")
    if not isinstance(operations, list) or not 1 <= len(operations) <= MOST_OPERATIONS:
        raise DecodeError("invalidSyntax", f"Operations is a list of 1 to {MOST_OPERATIONS} operations.")
    return [_operation(one) for one in operations]


def _operation(document: object) -> Operation:
    if not isinstance(document, dict):
        raise DecodeError("invalidSyntax", "An operation is an object.")
    named = {str(name).lower(): value for name, value in document.items()}
    op, path = str(named.get("op", "")).lower(), named.get("path")
    if op not in {"add", "replace", "remove"}:
        raise DecodeError("invalidSyntax", "An operation is add, replace or remove.")
    if path is not None and not isinstance(path, str):
        raise DecodeError("invalidPath", "A path is text.")
    read = parse_path(path) if path else None
    if op == "remove":
        if read is None:
            raise DecodeError("noTarget", "What is removed needs a path.")
        return Operation("remove", read, None)
    if "value" not in named or (read is None and not isinstance(named["value"], dict)):
        raise DecodeError("invalidValue", "An operation without a path has an object of attributes as its value.")
    return Operation("add" if op == "add" else "replace", read, named["value"])


def _text(quoted: str, code: str) -> str:
    try:
        value = json.loads(quoted)
    except ValueError as exc:
        raise DecodeError(code, "The value is no JSON text.") from exc
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DecodeError(code, "The value is no text that can be written.")
    return str(value)
