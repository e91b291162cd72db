# SPDX-License-Identifier: Apache-2.0
"""Reads a `$filter` (OData 4.01 part 2 §5.1.1): the subset that clients of Microsoft Graph's device management use.

`eq ne gt ge lt le in not and or`, `startsWith endsWith contains`, `isof('type')` and `collection/any(x:x eq value)`.
"""

import re
from datetime import UTC, datetime
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire.odata import (
    OPERATORS,
    PATH,
    TEXT_FUNCTIONS,
    And,
    Any,
    Comparison,
    Expression,
    In,
    IsOf,
    Literals,
    Not,
    Or,
    Text,
)

LONGEST_FILTER: Final = 2000
DEEPEST_FILTER: Final = 20
MOST_IN_LIST: Final = 50

TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<number>-?\d+(?:\.\d+)?(?![\w-]))"
    r"|(?P<word>[A-Za-z_@][\w.@]*(?:/[A-Za-z_][\w.]*)*|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r"|(?P<sign>[(),:]))",
    re.ASCII,
)

TYPE_NAME: Final = re.compile(r"#?(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*", re.ASCII)
UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RESERVED: Final = frozenset({"and", "or", "not", "in", "null", "true", "false", *OPERATORS})

LITERAL_WORDS: Final[dict[str, Literals]] = {"null": None, "true": True, "false": False}


def parse(text: str) -> Expression:
    """Read a `$filter`; raise DecodeError `filter_not_understood` for all else."""
    if len(text) > LONGEST_FILTER:
        raise _not_understood(f"it has more than {LONGEST_FILTER} characters")
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        expression = self._or()
        if self._at != len(self._tokens):
            raise _not_understood(f"nothing is expected at {self._tokens[self._at][1]!r}")
        return expression

    def _or(self) -> Expression:
        left = self._and()
        while self._takes("word", "or"):
            left = Or(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._unary()
        while self._takes("word", "and"):
            left = And(left, self._unary())
        return left

    def _unary(self) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST_FILTER:
            raise _not_understood("it is nested too deeply")
        try:
            if self._takes("word", "not"):
                return Not(self._unary())
            if self._takes("sign", "("):
                expression = self._or()
                self._expect("(", ")")
                return expression
            return self._term()
        finally:
            self._depth -= 1

    def _term(self) -> Expression:
        kind, text = self._next()
        if kind != "word" or text in RESERVED:
            raise _not_understood(f"a property or function is expected at {text!r}")
        if self._takes("sign", "("):
            return self._call(text)
        if not PATH.fullmatch(text):
            raise _not_understood(f"{text!r} is no property")
        kind, operator = self._next()
        if operator == "in":
            return In(text, self._list())
        known = next((name for name in OPERATORS if name == operator), None)
        if known is None:
            raise _not_understood(f"{operator!r} is no operator")
        return Comparison(text, known, self._literal())

    def _call(self, name: str) -> Expression:
        lower = name.lower()
        function = next((known for known in TEXT_FUNCTIONS if known == lower), None)
        if function is not None:
            path = self._path()
            self._expect(name, ",")
            value = self._literal()
            self._expect(name, ")")
            if not isinstance(value, str):
                raise _not_understood(f"{name} takes a property and a string")
            return Text(function, path, value)
        if lower == "isof":
            value = self._literal()
            self._expect(name, ")")
            if not isinstance(value, str) or not TYPE_NAME.fullmatch(value):
                raise _not_understood("isof takes the name of a type")
            return IsOf(value)
        if name.endswith("/any") and PATH.fullmatch(name):
            return self._any(name.removesuffix("/any"))
        raise _not_understood(f"{name!r} is no function")

    def _any(self, path: str) -> Expression:
        variable = self._path()
        self._expect("any", ":")
        if self._next() != ("word", variable) or self._next() != ("word", "eq"):
            raise _not_understood("any takes a comparison like x:x eq 'value'")
        value = self._literal()
        self._expect("any", ")")
        return Any(path, value)

    def _list(self) -> tuple[Literals, ...]:
        self._expect("in", "(")
        values = [self._literal()]
        while self._takes("sign", ","):
            values.append(self._literal())
            if len(values) > MOST_IN_LIST:
                raise _not_understood(f"in takes at most {MOST_IN_LIST} values")
        self._expect("in", ")")
        return tuple(values)

    def _path(self) -> str:
        kind, text = self._next()
        if kind != "word" or text in RESERVED or not PATH.fullmatch(text):
            raise _not_understood(f"a property is expected at {text!r}")
        return text

    def _literal(self) -> Literals:
        kind, text = self._next()
        match kind:
            case "string":
                return text[1:-1].replace("''", "'")
            case "number":
                return float(text) if "." in text else int(text)
            case "datetime":
                return _moment(text)
            case _ if text in LITERAL_WORDS:
                return LITERAL_WORDS[text]
            case "word" if UUID_TEXT.fullmatch(text):
                return text
            case _:
                raise _not_understood(f"a value is expected at {text!r}")

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise _not_understood("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, kind: str, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (kind, text):
            self._at += 1
            return True
        return False

    def _expect(self, after: str, sign: str) -> None:
        if not self._takes("sign", sign):
            raise _not_understood(f"{sign!r} is missing after {after!r}")


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _not_understood(f"character {at + 1} cannot be read")
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        at = found.end()
    return tokens


def _moment(text: str) -> datetime:
    seconds, point, fraction = text.partition(".")
    if point:
        digits = re.match(r"\d+", fraction)
        length = digits.end() if digits else 0
        text = f"{seconds}.{fraction[:length][:6].ljust(6, '0')}{fraction[length:]}"
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise _not_understood(f"{text!r} is no time") from exc


def _not_understood(why: str) -> DecodeError:
    return DecodeError("filter_not_understood", f"$filter cannot be read: {why}.")
