# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks; with names, only those that begin with one of them."""

import tempfile
from pathlib import Path

from bench import limits
from bench.measure import Bench
from etymon.storage.database import Database


def main() -> None:
    """Measure limits first, then what is compared with them."""
    bench = Bench()
    keys = limits.signing_keys()
    limits.measure_signing(bench, keys)
    limits.measure_http(bench)
    with tempfile.TemporaryDirectory() as directory:
        limits.measure_commit(bench, Database(f"sqlite:///{Path(directory) / 'bench.db'}"))


if __name__ == "__main__":
    main()
