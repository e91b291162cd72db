# SPDX-License-Identifier: Apache-2.0
"""The mutation run takes nothing for noticed but a test that failed on the program without its check."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import mutation
from support.named_code import REPOSITORY

Report = dict[str, list[str] | bool]


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        ({"failed": ["one"], "loaded": True}, "killed"),
        ({"failed": ["one"], "passed": ["another"], "loaded": True}, "killed"),
        ({"passed": ["one"], "loaded": True}, "SURVIVED"),
        ({"failed": ["one"], "loaded": False}, "NOT RUN"),
        ({"skipped": ["one"], "loaded": True}, "NOT RUN"),
        ({"loaded": True}, "NOT RUN"),
        ({"failed": ["one"], "broken": ["another: setup: OSError"], "loaded": True}, "BROKEN"),
    ],
)
def test_only_a_test_that_failed_has_noticed(report: Report, outcome: str) -> None:
    assert mutation.outcome_of(report)[0] == outcome


def test_what_another_source_answers_shows_nothing(tmp_path: Path) -> None:
    report = mutation.run(tmp_path, ["unit/test_mutation_run.py::test_only_a_test_that_failed_has_noticed"])
    assert mutation.outcome_of(report)[0] == "BROKEN"
    assert str(REPOSITORY / "src") in mutation.outcome_of(report)[1]


def test_a_run_without_the_packages_of_the_tests_says_what_to_do(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", str(REPOSITORY / "tools" / "mutate"), "--id", "D-1"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(bare, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "make .installed-dev" in done.stdout
    assert not done.stderr


def test_a_requirement_without_a_removal_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutation.main(["--id", "Z-1"]) == 2
    assert "no removal" in capsys.readouterr().out
