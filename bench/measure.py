# SPDX-License-Identifier: Apache-2.0
"""Rates per CPU second and per wall second, medians of several runs, and the ratio to a limit of the same run."""

import json
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.sizes import Sizes

Further = Callable[[float], Mapping[str, float]]
"""Gives a line fields of its own, from the rate per CPU second that was measured."""


@dataclass(slots=True)
class Bench:
    """Collects measurements and prints each as it is made."""

    sizes: Sizes
    measured: dict[str, float] = field(default_factory=dict)

    def measure(
        self,
        name: str,
        act: Callable[[], object],
        *,
        limit: str | None = None,
        made: int | None = None,
        further: Further | None = None,
    ) -> None:
        """Measure `act` against the limit called `limit`.

        `made` says how many acts there is something made for: no run does more than its share of them.
        """
        act()  # warm
        most = max(1, (made - 1) // self.sizes.runs) if made is not None else None
        rates = [_run(act, self.sizes.run_seconds, most) for _ in range(self.sizes.runs)]
        self.report(name, [rate[0] for rate in rates], [rate[1] for rate in rates], limit=limit, further=further)

    def report(
        self,
        name: str,
        per_cpu_second: Sequence[float],
        per_wall_second: Sequence[float],
        *,
        limit: str | None = None,
        further: Further | None = None,
    ) -> None:
        """Print rates that were measured, one of each a run, against a limit."""
        cpu, wall = statistics.median(per_cpu_second), statistics.median(per_wall_second)
        self.measured[name] = cpu
        line = {
            "name": name,
            "per_cpu_second": round(cpu, 2),
            "per_wall_second": round(wall, 2),
            "limit": limit,
            "ratio": round(self.measured[limit] / cpu, 3) if limit else 1.0,
            "runs": len(per_cpu_second),
            **(further(cpu) if further else {}),
        }
        print(json.dumps(line), flush=True)

    def once(
        self,
        name: str,
        count: int,
        act: Callable[[], object],
        *,
        limit: str | None = None,
        further: Further | None = None,
    ) -> None:
        """Measure one run of `act` that does `count` items, with what its child processes spend, against a limit.

        The wall time it takes is printed too: a whole task has an end that somebody waits for.
        """
        cpu, wall = _cpu_seconds(), time.perf_counter()
        act()
        cpu, wall = max(_cpu_seconds() - cpu, 1e-9), time.perf_counter() - wall

        def fields(rate: float) -> Mapping[str, float]:
            return {"seconds": round(wall, 1), **(further(rate) if further else {})}

        self.report(name, [count / cpu], [count / wall], limit=limit, further=fields)

    def milliseconds(self, act: Callable[[], object]) -> float:
        """Return the CPU time of one `act`, from one run of many."""
        act()  # warm
        return round(1000 / _run(act, self.sizes.run_seconds, None)[0], 3)

    def share_of(self, limit: str) -> Further:
        """Say how much of an act that contains the whole of `limit` goes into it."""
        return lambda rate: {"cryptography_share": round(rate / self.measured[limit], 3)}


def peak_mb(process: int | str) -> float:
    """Return the most memory a program has had so far; `getrusage` would count what the process was before it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0  # a process that has just ended has no memory


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def _run(act: Callable[[], object], seconds: float, most: int | None) -> tuple[float, float]:
    """Return how many acts were done in a second of CPU and of wall time."""
    count, cpu, wall = 0, time.process_time(), time.perf_counter()
    while True:
        act()
        count += 1
        spent = time.perf_counter() - wall
        if spent >= seconds or count == most:
            return count / max(time.process_time() - cpu, 1e-9), count / spent
