# SPDX-License-Identifier: Apache-2.0
"""Runs stages one after another. One that fails says so in a line on standard error and stops none of the others."""

import contextlib
import sys
import tempfile
import traceback
from collections.abc import Iterable
from pathlib import Path

from bench.measure import Bench
from bench.place import Place
from bench.stages import Stage
from support import programs
from support.databases import Databases, SQLiteDatabases, running_postgresql


def run(bench: Bench, stages: Iterable[Stage]) -> bool:
    """Run them; return whether each did what it should.

    Those that need PostgreSQL are left out where it is not installed, which is no failure.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="etymon-bench-")))
        databases: dict[str, Databases] = {"sqlite": SQLiteDatabases(directory)}
        good = True
        for stage in stages:
            if stage.engine == "postgresql" and "postgresql" not in databases:
                if programs.find("postgres") is None:
                    _tell(f"LEFT OUT {_named(stage)}: PostgreSQL is not installed (install postgresql)")
                    continue
                databases["postgresql"] = stack.enter_context(running_postgresql())
            good &= _ran(bench, stage, databases[stage.engine])
    return good


def _ran(bench: Bench, stage: Stage, databases: Databases) -> bool:
    missing = [limit for limit in stage.limits if limit not in bench.measured]
    if missing:
        _tell(f"FAILED {_named(stage)}: nothing to compare with, {', '.join(missing)} was not measured")
        return False
    try:
        with tempfile.TemporaryDirectory(prefix="etymon-bench-") as directory:
            stage.measure(bench, Place(Path(directory), stage.engine, databases))
    except Exception as exc:  # noqa: BLE001 - the edge of a stage: the others are measured all the same
        place = traceback.extract_tb(exc.__traceback__)[-1]
        _tell(f"FAILED {_named(stage)}: {type(exc).__name__}: {exc} ({Path(place.filename).name}:{place.lineno})")
        return False
    return True


def _named(stage: Stage) -> str:
    return ", ".join(stage.names)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
