# SPDX-License-Identifier: Apache-2.0
"""Measure a sweep over many cards: `python -m bench.card_sweep [CARDS] [postgresql]`. One JSON object a line.

The command is the operator's, killed once half-way and begun again; its peak memory is that of all of its runs. Beside
the time stands what the same machine needs to read the same rows without looking at them.
"""

import json
import resource
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from etymon.issuer.store import card_links
from etymon.server import logs
from support import swept_organization
from support.card_lists import list_host
from support.databases import running_postgresql
from support.swept_organization import SweptOrganization

REVOKED = 100


def main() -> None:
    """Make the cards, sweep them, kill that, sweep on."""
    cards = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    engine = sys.argv[2] if len(sys.argv) > 2 else "sqlite"
    logs.configure("error")
    databases = running_postgresql() if engine == "postgresql" else nullcontext()
    with tempfile.TemporaryDirectory() as directory, list_host() as host, databases as server:
        url = server.empty().engine.url.render_as_string(hide_password=False) if server else ""
        organization = swept_organization.made(Path(directory), host, url)
        organization.crowd(cards, revoked=range(1, cards, cards // REVOKED))
        _tell("card_sweep.rows", engine, cards, _rows(organization))
        half = _killed(organization, cards)
        began = time.perf_counter()
        with organization.sweep() as process:
            process.communicate()
        assert organization.source.checked == cards + 1
        rest = time.perf_counter() - began
        print(json.dumps({"name": f"card_sweep.resumed.{engine}", "at": half, "seconds": round(rest, 1)}))
        began = time.perf_counter()
        with organization.sweep() as process:
            process.communicate()
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        _tell("card_sweep", engine, cards, seconds, peak_mb=peak)


def _killed(organization: SweptOrganization, cards: int) -> int:
    with organization.sweep() as process:
        while organization.source.checked < cards // 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    return organization.source.checked


def _rows(organization: SweptOrganization) -> float:
    began, after, source = time.perf_counter(), None, organization.source.id
    while True:
        with organization.wiring.deployment.database.snapshot() as tx:
            page = card_links.page(tx, source, after=after, limit=5000)
        if not page:
            return time.perf_counter() - began
        after = page[-1].derivation


def _tell(name: str, engine: str, cards: int, seconds: float, **more: int) -> None:
    line = {
        "name": f"{name}.{engine}",
        "cards": cards,
        "seconds": round(seconds, 1),
        "per_wall_second": round(cards / seconds),
    }
    print(json.dumps({**line, **more}))


if __name__ == "__main__":
    main()
