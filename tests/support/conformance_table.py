# SPDX-License-Identifier: Apache-2.0
"""The conformance table as values: its rows as the pages in docs/conformance say them, and the removals of its checks.

Standard library only: `tools/mutate` reads it too.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from support.named_code import REPOSITORY, SOURCES

PAGES: Final = REPOSITORY / "docs" / "conformance"
REMOVALS: Final = REPOSITORY / "tests" / "conformance" / "mutations"
STATUSES: Final = frozenset({"built", "procedure", "not built", "not applicable"})

_CODE: Final = re.compile(r"`([^`]+)`")
_PLACE: Final = re.compile(r"[a-z_0-9]+(\.[a-z_0-9]+)*:\w+(\.\w+)*")
_ROW: Final = re.compile(r"^\| ([A-Z]-\d+) \|")


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement. `page` is the file it stands in; the fields after it are the cells as they are written."""

    page: str
    id: str
    requirement: str
    status: str
    where: str
    tests: str

    @property
    def places(self) -> tuple[str, ...]:
        """Where the check lives, as `module:name` below `etymon`."""
        return tuple(found for found in _CODE.findall(self.where) if _PLACE.fullmatch(found))

    @property
    def documents(self) -> tuple[str, ...]:
        """Files of this repository that the row points to."""
        return tuple(found for found in _CODE.findall(self.where) if found.startswith(("docs/", "deploy/", "src/")))

    @property
    def reason(self) -> str:
        """What the row says in words about where or why not."""
        return _CODE.sub("", self.where).strip(" ,;.—")

    @property
    def test_ids(self) -> tuple[str, ...]:
        """The tests, as `file::function` below `tests`."""
        return tuple(_CODE.findall(self.tests))


@dataclass(frozen=True, slots=True)
class Removal:
    """An edit that takes a check away, and the test that must fail then; or `why`, where no one edit does.

    `file` is below `src/etymon`; `old` occurs in it exactly once.
    """

    ids: tuple[str, ...]
    file: str = ""
    old: str = ""
    new: str = ""
    test: str = ""
    why: str = ""

    def removed(self) -> str:
        """Return the file's text without the check; ValueError where `old` does not occur exactly once."""
        text = (SOURCES / self.file).read_text("utf-8")
        if (count := text.count(self.old)) != 1:
            message = f"{', '.join(self.ids)}: what is to be removed occurs {count} times in {self.file}"
            raise ValueError(message)
        return text.replace(self.old, self.new)


@cache
def known_ids() -> Mapping[str, str]:
    """Return every known requirement with the page its row belongs on."""
    families = tomllib.loads((PAGES / "requirements.toml").read_text("utf-8"))
    return {
        f"{family}-{number}": str(said["page"])
        for family, said in families.items()
        for part in str(said["numbers"]).split()
        for number in _numbers(part)
    }


def _numbers(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


@cache
def rows() -> tuple[Row, ...]:
    """Return every row of every page, in order; ValueError for one without exactly five cells."""
    return tuple(row for page in sorted(PAGES.glob("*.md")) for row in rows_of(page.name, page.read_text("utf-8")))


def rows_of(page: str, text: str) -> Iterator[Row]:
    """Yield the rows that a page's text has."""
    for line in text.splitlines():
        if not _ROW.match(line):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if len(cells) == 4:  # the last one is empty
            cells.append("")
        if len(cells) != 5:
            message = f"{page}: a row has five cells, and this one {len(cells)}: {line[:60]}"
            raise ValueError(message)
        yield Row(page, *cells)


@cache
def removals() -> tuple[Removal, ...]:
    """Return every removal, by file and in order."""
    return tuple(
        Removal(ids=tuple(entry.pop("ids")), **entry)
        for file in sorted(REMOVALS.glob("*.toml"))
        for entry in tomllib.loads(file.read_text("utf-8"))["removal"]
    )


def faults(found: tuple[Row, ...]) -> Iterator[str]:
    """Yield what is wrong with rows by themselves, each fault with the requirement it is about."""
    known = known_ids()
    for name in sorted(known.keys() - {row.id for row in found}):
        yield f"{name}: has no row"
    seen: set[str] = set()
    for row in found:
        if row.id in seen:
            yield f"{row.id}: has two rows"
        seen.add(row.id)
        if row.id not in known:
            yield f"{row.id}: is not known"
        elif row.page != known[row.id]:
            yield f"{row.id}: belongs on {known[row.id]}"
        if row.status not in STATUSES:
            yield f"{row.id}: has the status {row.status!r}"
        if not row.requirement:
            yield f"{row.id}: does not say what is required"
        if row.status == "built" and not (row.places and row.test_ids):
            yield f"{row.id}: is built, and names no place or no test"
        if row.status != "built" and not row.reason:
            yield f"{row.id}: is {row.status}, and does not say why or whose"


def removal_faults(found: tuple[Removal, ...], table: tuple[Row, ...]) -> Iterator[str]:
    """Yield what is wrong with removals: of checks that are not there, elsewhere than the table says, or not at all."""
    tested = {row.id: row for row in table if row.test_ids}
    named = [name for removal in found for name in removal.ids]
    for name in sorted(tested.keys() - set(named)):
        yield f"{name}: names tests, and no removal shows what they are worth"
    for name in sorted({name for name in named if named.count(name) > 1}):
        yield f"{name}: has two removals"
    for removal in found:
        for name in removal.ids:
            row = tested.get(name)
            if row is None:
                yield f"{name}: names no test, and has a removal"
            elif removal.why:
                continue
            elif removal.test not in row.test_ids:
                yield f"{name}: the table does not name {removal.test}"
            elif removal.file not in {_file(place) for place in row.places}:
                yield f"{name}: the table names no place in {removal.file}"


def _file(place: str) -> str:
    module = place.partition(":")[0].replace(".", "/")
    return f"{module}/__init__.py" if (SOURCES / module).is_dir() else f"{module}.py"


def path_of(document: str) -> Path:
    """Return where a document that a row names is."""
    return REPOSITORY / document
