# SPDX-License-Identifier: Apache-2.0
"""Lists that commands print: with headings on a terminal, a line each elsewhere, JSON for programs.

What is copied, such as an id, is never broken or cut: a table that does not fit becomes a block of lines an item.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Item: TypeAlias = Mapping[str, Any]
AsJSON: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object a line, as the administration API has it.")
]

ROWS: Final = 200
"""Items of one table: a long list begins to show before all of it is there."""

LEGIBLE: Final = 24
"""Width below which words for people are no longer read."""

GAP: Final = "  "
ABSENT: Final = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """What is shown of an item, under which heading; words for people may go on in the next line."""

    heading: str
    value: Callable[[Item], object]
    words: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs to an item, such as its certificates, and what is said where there is nothing."""

    items: Callable[[Item], Iterable[Item]]
    columns: tuple[Column, ...]
    nothing: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """How items of one kind are listed, and what is said of an empty list."""

    nothing: str
    columns: tuple[Column, ...]
    parts: tuple[Part, ...] = ()


def show(listing: Listing, items: Iterable[Item], *, as_json: bool = False, console: Console | None = None) -> None:
    """Print items as they come. That there are none is told beside the output, for people alone."""
    out = console or Console(highlight=False)
    if as_json:
        for item in items:
            _line(out, json.dumps(item, default=str))
        return
    found = iter(items)
    some = list(itertools.islice(found, ROWS))
    if not some:
        Console(stderr=True, highlight=False).print(listing.nothing, markup=False, soft_wrap=True)
    while some:
        for line in _lines(listing, some, out.width) if out.is_terminal else _plain(listing, some):
            _line(out, line)
        some = list(itertools.islice(found, ROWS))


def key(name: str, heading: str, *, words: bool = False) -> Column:
    """Return the column of one property."""
    return Column(heading, lambda item: item[name], words)


def _plain(listing: Listing, items: Iterable[Item]) -> Iterator[str]:
    """Yield a line an item, without headings, and one below for each thing that belongs to it."""
    for item in items:
        yield GAP.join(_cells(listing.columns, item))
        for part in listing.parts:
            belonging = list(part.items(item))
            yield from (GAP + GAP.join(_cells(part.columns, each)) for each in belonging)
            if not belonging and part.nothing:
                yield GAP + part.nothing


def _lines(listing: Listing, items: Sequence[Item], width: int) -> Iterator[Text]:
    if not listing.parts:
        yield from _table(listing.columns, items, width)
        return
    for item in items:
        yield from _block(listing.columns, item)
        for part in listing.parts:
            belonging = list(part.items(item))
            for line in _table(part.columns, belonging, width - len(GAP)):
                yield Text(GAP) + line if line else line
            if not belonging and part.nothing:
                yield Text(GAP + part.nothing)
        yield Text()


def _table(columns: Sequence[Column], items: Sequence[Item], width: int) -> Iterator[Text]:
    """Yield a table, or a block an item where the table does not fit."""
    if not items:
        return
    rows = [_cells(columns, item) for item in items]
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0))
    least = -len(GAP)
    for number, column in enumerate(columns):
        table.add_column(column.heading, no_wrap=not column.words, overflow="fold")
        widest = max(map(cell_len, (column.heading, *(row[number] for row in rows))))
        least += (min(widest, LEGIBLE) if column.words else widest) + len(GAP)
    if least > width:
        for item in items:
            yield from _block(columns, item)
            yield Text()
        return
    for row in rows:
        table.add_row(*map(Text, row))
    paper = Console(width=width, color_system=None)
    for number, line in enumerate(paper.render_lines(table, pad=False)):
        text = "".join(segment.text for segment in line).rstrip()
        yield Text(text, "" if number else "bold")


def _block(columns: Sequence[Column], item: Item) -> Iterator[Text]:
    """Yield a line for each thing that is known of an item."""
    widest = max(len(column.heading) for column in columns)
    for column, cell in zip(columns, _cells(columns, item), strict=True):
        if cell != ABSENT:
            yield Text.assemble((column.heading.ljust(widest), "bold"), GAP, cell)


def _cells(columns: Sequence[Column], item: Item) -> list[str]:
    return [_told(column.value(item)) for column in columns]


def _told(value: object) -> str:
    """Return a value as one line: devices and people have written some of them, so that nothing moves the cursor."""
    text = "yes" if value is True else "no" if value is False else "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text) or ABSENT


def _line(out: Console, line: str | Text) -> None:
    out.print(Text(line) if isinstance(line, str) else line, soft_wrap=True)
