# SPDX-License-Identifier: Apache-2.0
"""Rates per CPU second and per wall second, medians of several runs, and the ratio to a limit of the same run."""

import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

RUNS: Final = 5
SHORTEST_RUN_SECONDS: Final = 0.4


@dataclass(slots=True)
class Bench:
    """Collects measurements and prints each as it is made."""

    measured: dict[str, float] = field(default_factory=dict)

    def measure(
        self,
        name: str,
        act: Callable[[], object],
        *,
        limit: str | None = None,
        batch: int = 1,
        runs: int = RUNS,
        parts: Mapping[str, float] | None = None,
    ) -> None:
        """Measure `act`, which does `batch` items a call, against the limit called `limit`.

        `parts` are printed with it: what one `act` is spent on.
        """
        act()  # warm
        rates = [_run(act, batch) for _ in range(runs)]
        self.report(name, [rate[0] for rate in rates], [rate[1] for rate in rates], limit=limit, **(parts or {}))

    def report(
        self,
        name: str,
        per_cpu_second: Sequence[float],
        per_wall_second: Sequence[float],
        *,
        limit: str | None = None,
        **further: float,
    ) -> None:
        """Print rates that were measured, one of each a run, against a limit; `further` are fields of its own."""
        cpu, wall = statistics.median(per_cpu_second), statistics.median(per_wall_second)
        self.measured[name] = cpu
        line = {
            "name": name,
            "per_cpu_second": round(cpu, 2),
            "per_wall_second": round(wall, 2),
            "limit": limit,
            "ratio": round(self.measured[limit] / cpu, 3) if limit else 1.0,
            "runs": len(per_cpu_second),
            **further,
        }
        print(json.dumps(line), flush=True)

    def once(self, name: str, count: int, act: Callable[[], object], *, limit: str) -> None:
        """Measure one run of `act` that does `count` items, with what its child processes spend, against a limit.

        The wall time it takes is printed too: a whole task has an end that somebody waits for.
        """
        cpu, wall = _cpu_seconds(), time.perf_counter()
        act()
        cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
        self.measured[name] = count / cpu
        line = {
            "name": name,
            "per_cpu_second": round(count / cpu, 2),
            "per_wall_second": round(count / wall, 2),
            "limit": limit,
            "ratio": round(self.measured[limit] * cpu / count, 3),
            "runs": 1,
            "seconds": round(wall, 1),
        }
        print(json.dumps(line), flush=True)


def milliseconds(act: Callable[[], object]) -> float:
    """Return the CPU time of one `act`, from one run of many."""
    act()  # warm
    return round(1000 / _run(act, 1)[0], 3)


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def _run(act: Callable[[], object], batch: int) -> tuple[float, float]:
    count, cpu, wall = 0, time.process_time(), time.perf_counter()
    while True:
        act()
        count += batch
        spent = time.perf_counter() - wall
        if spent >= SHORTEST_RUN_SECONDS:
            return count / max(time.process_time() - cpu, 1e-9), count / spent
