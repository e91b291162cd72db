# SPDX-License-Identifier: Apache-2.0
"""Queries of the administration API as values (OData 4.01 part 2 §5.1).

The expressions of a `$filter`, `$select`, the opaque `$skiptoken` and `@odata.bind` links. `matches` judges one entity;
strings compare without case, as Microsoft Graph compares them. `odata_filter` reads a `$filter` from its text.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from etymon.kernel.errors import DecodeError

LONGEST_SELECT: Final = 2000
LONGEST_SKIPTOKEN: Final = 500

Literals: TypeAlias = str | int | float | bool | datetime | None
PropertyValue: TypeAlias = "Literals | list[str]"
Operator: TypeAlias = Literal["eq", "ne", "gt", "ge", "lt", "le"]
TextFunction: TypeAlias = Literal["startswith", "endswith", "contains"]

OPERATORS: Final[tuple[Operator, ...]] = ("eq", "ne", "gt", "ge", "lt", "le")
TEXT_FUNCTIONS: Final[tuple[TextFunction, ...]] = ("startswith", "endswith", "contains")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator value`."""

    path: str
    operator: Operator
    value: Literals


@dataclass(frozen=True, slots=True)
class In:
    """`path in (value, …)`."""

    path: str
    values: tuple[Literals, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """`startsWith(path, 'value')` and its sisters."""

    function: TextFunction
    path: str
    value: str


@dataclass(frozen=True, slots=True)
class IsOf:
    """`isof('type')`: the entity is of this type."""

    type: str


@dataclass(frozen=True, slots=True)
class Any:
    """`path/any(x:x eq value)`: the collection holds the value."""

    path: str
    value: Literals


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of `term`."""

    term: "Expression"


@dataclass(frozen=True, slots=True)
class And:
    """Both."""

    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Or:
    """Either."""

    left: "Expression"
    right: "Expression"


Expression: TypeAlias = Comparison | In | Text | IsOf | Any | Not | And | Or

PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


def write_filter(expression: Expression) -> str:  # noqa: PLR0911 - one answer a case
    """Return the text of an expression; `odata_filter.parse` reads the same expression from it."""
    match expression:
        case Comparison(path, operator, value):
            return f"{path} {operator} {_write(value)}"
        case In(path, values):
            return f"{path} in ({', '.join(map(_write, values))})"
        case Text(function, path, value):
            return f"{function}({path}, {_write(value)})"
        case IsOf(type_):
            return f"isof({_write(type_)})"
        case Any(path, value):
            return f"{path}/any(x:x eq {_write(value)})"
        case Not(term):
            return f"not ({write_filter(term)})"
        case And(left, right):
            return f"({write_filter(left)}) and ({write_filter(right)})"
        case Or(left, right):
            return f"({write_filter(left)}) or ({write_filter(right)})"


def paths(expression: Expression) -> frozenset[str]:
    """Return the properties an expression speaks of."""
    match expression:
        case Comparison(path=path) | In(path=path) | Text(path=path) | Any(path=path):
            return frozenset({path})
        case IsOf():
            return frozenset()
        case Not(term):
            return paths(term)
        case And(left, right) | Or(left, right):
            return paths(left) | paths(right)


def matches(  # noqa: PLR0911 - one answer a case
    expression: Expression, value_of: Callable[[str], PropertyValue], entity_type: str
) -> bool:
    """Say whether an entity fulfils `expression`. `entity_type` is like `microsoft.graph.group`.

    Nothing compares with null but `eq` and `ne`, and values of different kinds are never equal.
    """
    match expression:
        case Comparison(path, operator, value):
            return _compare(_comparable(value_of(path)), operator, _comparable(value))
        case In(path, values):
            present = _comparable(value_of(path))
            return any(_compare(present, "eq", _comparable(value)) for value in values)
        case Text(function, path, value):
            return _text_matches(value_of(path), function, value.casefold())
        case IsOf(type_):
            return type_.removeprefix("#").casefold() == entity_type.casefold()
        case Any(path, value):
            collection = value_of(path)
            wanted = _comparable(value)
            return isinstance(collection, list) and any(_comparable(item) == wanted for item in collection)
        case Not(term):
            return not matches(term, value_of, entity_type)
        case And(left, right):
            return matches(left, value_of, entity_type) and matches(right, value_of, entity_type)
        case Or(left, right):
            return matches(left, value_of, entity_type) or matches(right, value_of, entity_type)


def parse_select(text: str) -> frozenset[str]:
    """Read a `$select`: property names between commas."""
    names = [name.strip() for name in text.split(",")]
    if len(text) > LONGEST_SELECT or not all(PATH.fullmatch(name) for name in names):
        raise DecodeError("select_not_understood", "$select is a list of property names between commas.")
    return frozenset(names)


def write_skiptoken(key: str) -> str:
    """Return an opaque token that names the last entity of a page."""
    return base64.urlsafe_b64encode(json.dumps([1, key], ensure_ascii=False).encode()).rstrip(b"=").decode("ascii")


def parse_skiptoken(text: str) -> str:
    """Return the key in a token that `write_skiptoken` made."""
    refusal = DecodeError("skiptoken_not_understood", "Follow @odata.nextLink as it was given.")
    if len(text) > LONGEST_SKIPTOKEN or not text.isascii():
        raise refusal
    try:
        document = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        match document:
            case [1, str(key)] if write_skiptoken(key) == text:
                return key
    except (binascii.Error, ValueError, RecursionError) as exc:
        raise refusal from exc
    raise refusal


def bound_id(address: str, collection: str) -> str:
    """Return the key of the entity that an `@odata.bind` address names: `…/collection('id')` or `…/collection/id`."""
    found = re.search(
        rf"(?:^|/){re.escape(collection)}(?:\('([^'()/]{{1,100}})'\)|/([^'()/]{{1,100}}))$", address[:2000]
    )
    if found is None:
        raise DecodeError("bind_not_understood", f"An @odata.bind address ends with {collection}('id').")
    return str(found.group(1) or found.group(2))


def _write(value: Literals) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case int():
            return str(value)
        case float():
            return format(value, "f") if "e" in repr(value) else repr(value)


def _comparable(value: PropertyValue) -> Literals:
    if isinstance(value, list):
        return None
    return value.casefold() if isinstance(value, str) else value


def _compare(present: Literals, operator: Operator, wanted: Literals) -> bool:
    equal = _kind(present) == _kind(wanted) and present == wanted
    if operator in {"eq", "ne"}:
        return equal is (operator == "eq")
    if present is None or wanted is None or _kind(present) != _kind(wanted):
        return False
    match operator:
        case "gt":
            return present > wanted  # type: ignore[operator]  # both are of one kind
        case "ge":
            return present >= wanted  # type: ignore[operator]  # both are of one kind
        case "lt":
            return present < wanted  # type: ignore[operator]  # both are of one kind
        case _:
            return present <= wanted  # type: ignore[operator]  # both are of one kind


def _kind(value: Literals) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case None:
            return "null"
        case _:
            return type(value).__name__


def _text_matches(present: PropertyValue, function: TextFunction, wanted: str) -> bool:
    if not isinstance(present, str):
        return False
    text = present.casefold()
    match function:
        case "startswith":
            return text.startswith(wanted)
        case "endswith":
            return text.endswith(wanted)
        case "contains":
            return wanted in text
