# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin of the mutation run: proves which source ran, and writes down how each test ended.

`ETYMON_MUTANT_SOURCE` is the directory that must hold the program, `ETYMON_MUTANT_FILE` the file in it that was changed
(empty: none was), `ETYMON_MUTANT_REPORT` the file to write.
"""

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import etymon

BROKEN = (NameError, ImportError, SyntaxError)
"""What a bad edit raises, and no check's absence."""

_executed: set[str] = set()
"""Files whose code was executed, however it was imported: migrations are in no list of modules."""

_ended: dict[str, list[str]] = {"passed": [], "failed": [], "broken": [], "skipped": []}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Remember from here on what is executed: a conftest may import what was changed."""
    sys.addaudithook(_remember)


def pytest_configure() -> None:
    """Stop at once unless the program under test is the one that was changed."""
    if not _is_below_source(etymon.__file__):
        message = f"the program that runs is {etymon.__file__}"
        raise pytest.UsageError(message)


def _remember(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "exec" and isinstance(arguments[0], CodeType):
        _executed.add(arguments[0].co_filename)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell a test that failed from one that could not be run."""
    report = yield
    if report.skipped:
        _ended["skipped"].append(f"{item.nodeid}: {report.longrepr}")
    elif report.failed:
        raised = call.excinfo.value if call.excinfo else None
        fair = report.when == "call" and not isinstance(raised, BROKEN)
        _ended["failed" if fair else "broken"].append(f"{item.nodeid}: {report.when}: {type(raised).__name__}")
    elif report.when == "call":
        _ended["passed"].append(item.nodeid)
    return report


def pytest_sessionfinish() -> None:
    """Write the report."""
    changed = os.environ["ETYMON_MUTANT_FILE"]
    loaded = not changed or changed in _executed
    Path(os.environ["ETYMON_MUTANT_REPORT"]).write_text(json.dumps({**_ended, "loaded": loaded}), "utf-8")


def _is_below_source(file: str | None) -> bool:
    return file is not None and Path(file).resolve().is_relative_to(os.environ["ETYMON_MUTANT_SOURCE"])
