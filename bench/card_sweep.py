# SPDX-License-Identifier: Apache-2.0
"""A sweep over the cards behind all credentials by the operator's command, in a process of its own.

Few cards are newly revoked, but the list they are looked up in is long. `limit.card_rows.<engine>` is what the same
machine needs to read the same rows without looking at them.
"""

import contextlib
import subprocess
import sys
import time
from typing import Final

from bench.measure import Bench, peak_mb
from bench.place import Place, url_of
from etymon.issuer.store import card_links
from support import swept_organization
from support.card_lists import list_host
from support.swept_organization import SweptOrganization

REVOKED_OF: Final = 10_000
"""One in so many cards is found revoked; the other entries of the list are of cards that nothing was derived from."""

PAGE: Final = 5000
TOLD_EVERY_SECONDS: Final = 10.0
LOOKED_EVERY_SECONDS: Final = 0.1


def measure(bench: Bench, place: Place) -> None:
    """Make the cards and sweep them once; say on standard error how far it is."""
    count, limit = bench.sizes.cards, f"limit.card_rows.{place.engine}"
    with place.empty() as database, list_host() as host:
        organization = swept_organization.made(place.directory, host, url_of(database))
        found = range(1, count + 1, REVOKED_OF)
        others = range(count + 1, count + 1 + bench.sizes.listed - len(found))
        progress = _Progress(f"{limit}: making cards", count)
        organization.crowd(count, revoked=[*found, *others], progress=progress.tell)
        bench.once(limit, count, lambda: _read(organization))
        sweep = _Sweep(organization, f"card_sweep.{place.engine}", count)
        bench.once(
            sweep.name,
            count,
            sweep.run,
            limit=limit,
            further=lambda _: {"cards": count, "listed": bench.sizes.listed, "peak_mb": round(sweep.peak_mb, 1)},
        )
        organization.wiring.deployment.database.close()


class _Sweep:
    """One sweep that is watched; its card issuer is a thread of this process, which costs next to nothing."""

    def __init__(self, organization: SweptOrganization, name: str, count: int) -> None:
        self.name, self.peak_mb = name, 0.0
        self._organization, self._count = organization, count

    def run(self) -> None:
        """Sweep all cards; fail where one was left out."""
        with self._organization.sweep() as process:
            progress = _Progress(self.name, self._count + 1)
            while not _ended(process):
                self.peak_mb = max(self.peak_mb, peak_mb(process.pid))
                if progress.is_due:
                    progress.tell(self._organization.source.checked)
            shown, _ = process.communicate()
        checked = self._organization.source.checked
        if process.returncode != 0 or checked != self._count + 1:  # and the card that the others are copies of
            message = f"{checked} of {self._count + 1} cards were looked at: {shown}"
            raise RuntimeError(message)


def _ended(process: "subprocess.Popen[str]") -> bool:
    """Wait a moment for the end; what the command shows fits into a pipe."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LOOKED_EVERY_SECONDS)
    return process.returncode is not None


def _read(organization: SweptOrganization) -> None:
    after, source = None, organization.source.id
    while True:
        with organization.wiring.deployment.database.snapshot() as tx:
            page = card_links.page(tx, source, after=after, limit=PAGE)
        if not page:
            return
        after = page[-1].derivation


class _Progress:
    """Says on standard error how far something is: at first, and then now and then."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count = name, count
        self._due = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it was said long enough ago."""
        return time.monotonic() >= self._due

    def tell(self, done: int) -> None:
        """Say it where it is due."""
        if self.is_due:
            self._due = time.monotonic() + TOLD_EVERY_SECONDS
            print(f"{self._name}: {done} of {self._count}", file=sys.stderr, flush=True)
