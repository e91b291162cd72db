# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks; PostgreSQL's are left out where it is not installed, and a line on standard error says so."""

import sys
import tempfile
from pathlib import Path

from bench import machine, million, scep, services
from bench.authorities import measure_authorities
from bench.enrollment import measure_enrollment
from bench.measure import Bench
from bench.rekey import measure_rekey
from etymon.server import logs
from etymon.storage.database import Database
from support import programs
from support.databases import running_postgresql


def main() -> None:
    """Measure limits first, then what is compared with them."""
    logs.configure("error")
    bench = Bench()
    keys = machine.signing_keys()
    machine.measure_signing(bench, keys)
    machine.measure_http(bench)
    with tempfile.TemporaryDirectory() as directory:
        machine.measure_commit(bench, Database(f"sqlite:///{Path(directory) / 'bench.db'}"))
        measure_authorities(bench, Path(directory))
        measure_enrollment(bench, Path(directory))
        million.measure(bench, Database(f"sqlite:///{Path(directory) / 'million.db'}"), Path(directory) / "million")
        scep.measure(bench, Path(directory))
    services.measure(bench, "sqlite")
    _measure_postgresql(bench)


def _measure_postgresql(bench: Bench) -> None:
    if programs.find("postgres") is None:
        print("PostgreSQL is not installed: its lines are left out (install postgresql)", file=sys.stderr)
        return
    with running_postgresql() as databases:
        empty = databases.empty()
        machine.measure_commit(bench, empty)
        services.measure(bench, "postgresql", empty.engine.url.render_as_string(hide_password=False))
        with tempfile.TemporaryDirectory() as directory:
            measure_rekey(bench, databases.migrated(), Path(directory))
            million.measure(bench, databases.empty(), Path(directory))


if __name__ == "__main__":
    main()
