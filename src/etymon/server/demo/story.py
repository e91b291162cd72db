# SPDX-License-Identifier: Apache-2.0
"""The demo's steps: each says what was checked and by whom, or why it was not run. The first untruth ends it."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from etymon.kernel.errors import EtymonError
from etymon.server.demo.peers.programs import Judgement, ProgramsMissing


class Untruth(Exception):
    """Something the story claims did not hold."""


@dataclass(slots=True)
class Step:
    """One step while it runs: what it showed, and who judged it."""

    title: str
    checked: list[str] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)

    def show(self, claim: str, holds: bool, judge: str) -> None:  # noqa: FBT001 - a claim is true or not
        """Record that `judge` found `claim` to hold, or end the story."""
        if not holds:
            raise Untruth(f"{judge}: it does not hold that {claim}")
        self.checked.append(f"{claim} ({judge})")

    def judged(self, claim: str, judgement: Judgement, *, accepted: bool, naming: str = "") -> None:
        """Record an outside judge's verdict, or end the story; `naming` must stand in what it wrote."""
        self.judgements.append(judgement)
        holds = (judgement.verdict.value == "accepted") is accepted
        if not holds or (naming and naming.lower() not in (judgement.output + judgement.reason).lower()):
            told = judgement.reason or judgement.output[-1500:]
            raise Untruth(f"{judgement.program} {judgement.verdict.value}: it does not hold that {claim}\n{told}")
        self.checked.append(f"{claim} ({judgement.program})")


@dataclass(frozen=True, slots=True)
class Told:
    """A step that is over."""

    title: str
    outcome: Literal["run", "not_run", "failed"]
    seconds: float
    checked: Sequence[str]
    judgements: Sequence[Judgement]
    reason: str = ""

    def to_document(self) -> dict[str, object]:
        """Return the step as JSON values, with each judge's program, version, command and raw output."""
        return {
            "step": self.title,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "checked": list(self.checked),
            "judges": [judgement.to_document() for judgement in self.judgements],
            "reason": self.reason,
        }


class Story:
    """Tells steps live and keeps what they showed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: list[Told] = []

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step; a missing outside program makes it `not_run`, anything else that fails ends the story."""
        step = Step(title)
        started = time.monotonic()
        number = f"{len(self._told) + 1:2d}"
        try:
            with self._console.status(f"{number}  {escape(title)} …"):
                yield step
        except ProgramsMissing as missing:
            self._tell(step, "not_run", started, missing.detail)
            self._console.print(f"[yellow]{number}  {escape(title)}: NOT RUN ({escape(missing.detail)})[/]")
        except Exception as exc:
            reason = f"{exc.code}: {exc.detail}" if isinstance(exc, EtymonError) else f"{type(exc).__name__}: {exc}"
            self._tell(step, "failed", started, reason)
            self._console.print(f"[bold red]{number}  {escape(title)}: {escape(reason)}[/]")
            raise
        else:
            self._tell(step, "run", started, "")
            seconds = f"{self._told[-1].seconds:.1f} s"
            self._hanging(f"[green]{number}[/] ", f"[bold]{escape(title)}[/]", f"[dim]{seconds}[/]")
            for line in step.checked:
                self._hanging("      [green]✓[/]", escape(line))

    def _hanging(self, lead: str, text: str, end: str = "") -> None:
        """Print `text` between `lead` and `end`; where it needs more lines they begin below its first word."""
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column(no_wrap=True)
        line.add_column()
        line.add_column(no_wrap=True)
        line.add_row(lead, text, end)
        self._console.print(line)

    def note(self, text: str) -> None:
        """Say something between steps."""
        self._console.print(f"[dim]{escape(text)}[/]")

    def write(self, file: Path) -> None:
        """Write all steps as one JSON document."""
        file.write_text(json.dumps({"steps": [told.to_document() for told in self._told]}, indent=2) + "\n", "utf-8")

    @property
    def not_run(self) -> int:
        """How many steps were not run."""
        return sum(told.outcome == "not_run" for told in self._told)

    @property
    def told(self) -> Sequence[Told]:
        """What was told so far."""
        return tuple(self._told)

    def _tell(self, step: Step, outcome: Literal["run", "not_run", "failed"], started: float, reason: str) -> None:
        seconds = time.monotonic() - started
        self._told.append(Told(step.title, outcome, seconds, tuple(step.checked), tuple(step.judgements), reason))


def poll(condition: Callable[[], bool], *, what: str, limit_seconds: float = 20) -> None:
    """Wait until `condition` holds, or end the story."""
    end = time.monotonic() + limit_seconds
    while not condition():
        if time.monotonic() > end:
            raise Untruth(f"{what} did not happen in {limit_seconds:.0f} seconds")
        time.sleep(0.05)
