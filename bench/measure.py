# SPDX-License-Identifier: Apache-2.0
"""Rates per CPU second and per wall second, medians of several runs, and the ratio to a limit of the same run."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

RUNS: Final = 5
SHORTEST_RUN_SECONDS: Final = 0.4


@dataclass(slots=True)
class Bench:
    """Collects measurements and prints each as it is made."""

    measured: dict[str, float] = field(default_factory=dict)

    def measure(
        self, name: str, act: Callable[[], object], *, limit: str | None = None, batch: int = 1, runs: int = RUNS
    ) -> None:
        """Measure `act`, which does `batch` items a call, against the limit called `limit`."""
        act()  # warm
        rates = [_run(act, batch) for _ in range(runs)]
        cpu = statistics.median(rate[0] for rate in rates)
        wall = statistics.median(rate[1] for rate in rates)
        self.measured[name] = cpu
        line = {
            "name": name,
            "per_cpu_second": round(cpu, 2),
            "per_wall_second": round(wall, 2),
            "limit": limit,
            "ratio": round(self.measured[limit] / cpu, 3) if limit else 1.0,
            "runs": runs,
        }
        print(json.dumps(line), flush=True)


def _run(act: Callable[[], object], batch: int) -> tuple[float, float]:
    count, cpu, wall = 0, time.process_time(), time.perf_counter()
    while True:
        act()
        count += batch
        spent = time.perf_counter() - wall
        if spent >= SHORTEST_RUN_SECONDS:
            return count / max(time.process_time() - cpu, 1e-9), count / spent
