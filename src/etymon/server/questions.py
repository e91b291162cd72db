# SPDX-License-Identifier: Apache-2.0
"""Questions as they are asked from outside: a batch of JSON objects, a line each, options as values, and files."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, TypeAlias

from etymon.kernel.errors import EtymonError, Malformed, TooLarge

Answer: TypeAlias = tuple[dict[str, object], int]
"""JSON values, and the exit status they have: 0 yes, 1 no, 2 not to be answered."""

LONGEST_LINE: Final = 1024 * 1024
"""Bytes of one line of a batch."""

MOST_FILES: Final = 1000
"""Files of one option."""

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def batch(
    lines: IO[bytes], ask: Callable[[Mapping[str, object]], Answer], unusable: Callable[[Malformed], dict[str, object]]
) -> Iterator[Answer]:
    """Yield the answer to each line, in order; `ask` gets a line's object, `unusable` tells what cannot be used."""
    for number, line in enumerate(_lines(lines), start=1):
        if not line.strip():
            continue
        found: dict[str, object] = {}
        try:
            found = _object(line)
            answer, status = ask(found)
        except Malformed as error:
            told = Malformed(error.code, f"Line {number}: {error.detail}")
            yield {"id": found.get("id"), **unusable(told)}, 2
        else:
            yield {"id": found.get("id"), **answer}, status


def told(error: EtymonError) -> dict[str, str]:
    """Return an error as JSON values."""
    reason = error.facts.get("reason")
    return {"code": error.code, "detail": f"{error.detail} ({reason})" if reason else error.detail}


class Options:
    """A line's values, each in the type of its option, or what was given before."""

    def __init__(self, found: Mapping[str, object], known: Collection[str], command: str) -> None:
        """Refuse an option that `command` does not have; `id` is every line's."""
        for name in found:
            if name != "id" and name not in known:
                raise Malformed("option_unknown", f"There is no option {name[:60]}. See {command} --help.")
        self._found = found

    def text(self, name: str, given: str | None) -> str | None:
        """Return a text."""
        value = self._found.get(name, given)
        if value is None or isinstance(value, str):
            return value
        raise option_malformed(name)

    def texts(self, name: str, given: tuple[str, ...]) -> tuple[str, ...]:
        """Return the texts of an option that may repeat; it also takes a single one."""
        value = self._found.get(name, given)
        listed = [value] if isinstance(value, str) else value
        if isinstance(listed, list | tuple) and all(isinstance(item, str) for item in listed):
            return tuple(listed)
        raise option_malformed(name)

    def flag(self, name: str, given: bool) -> bool:  # noqa: FBT001 - a value that stands in for another
        """Return a truth value."""
        value = self._found.get(name, given)
        if isinstance(value, bool):
            return value
        raise option_malformed(name)


def option_malformed(name: str) -> Malformed:
    """Return the refusal of an option's value."""
    return Malformed("option_malformed", f"The option {name} has a value that it does not take.")


def moment(text: str) -> datetime:
    """Read a moment of RFC 3339; `Malformed` `at_malformed`."""
    if _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Malformed("at_malformed", "A moment is written as in RFC 3339, with its zone: 2026-03-01T12:00:00Z.")


def counted(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files of an option, if they are not too many."""
    if len(names) > MOST_FILES:
        raise TooLarge("too_many_files", f"An option names at most {MOST_FILES} files. Put several into one file.")
    return names


def read(name: str, limit: int) -> bytes:
    """Read a file; `Malformed` where there is none, `TooLarge` beyond `limit` bytes."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as exc:
        raise Malformed("file_unreadable", f"{name} cannot be read. Name a file that is there.") from exc
    if len(data) > limit:
        raise TooLarge("file_too_large", f"{name} has more than {limit} bytes.")
    return data


def read_all(names: tuple[str, ...], limit: int, *, together: int) -> list[tuple[str, bytes]]:
    """Read the files of an option, by name, before any is looked into; `TooLarge` too for more bytes than `together`.

    A file that is named twice counts twice.
    """
    found: list[tuple[str, bytes]] = []
    left = together
    for name in counted(names):
        data = read(name, limit)
        left -= len(data)
        if left < 0:
            raise TooLarge("files_too_large", f"The files of an option have at most {together} bytes together.")
        found.append((name, data))
    return found


def without_keys(name: str, data: bytes) -> bytes:
    """Return the content of a file of certificates, if there is no private key in it."""
    if b"PRIVATE KEY-----" in data:
        raise Malformed("private_key", f"{name} holds a private key. Give certificates alone, and keep the key away.")
    return data


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines as they come; of one that is too long, so much that this can be seen."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE + 1)


def _object(line: bytes) -> dict[str, object]:
    if len(line) > LONGEST_LINE:
        raise Malformed("line_malformed", f"A line has at most {LONGEST_LINE} bytes.")
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise Malformed("line_malformed", "This is not a JSON object.") from exc
    if not isinstance(found, dict):
        raise Malformed("line_malformed", "This is not a JSON object.")
    return found
