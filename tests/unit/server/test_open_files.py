# SPDX-License-Identifier: Apache-2.0
"""The limit of open files, in a process of its own: a limit that was lowered cannot be raised again."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from etymon.kernel.errors import Malformed
from etymon.server import open_files
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    open_files.provide(connections)
except Malformed as error:
    print(error.code, error.detail)
else:
    print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("limits", "connections", "told"),
    [
        ((1024, 4096), 800, "3968 4096\n"),  # what a Linux gives without further ado is enough for the default
        ((4000, 4096), 800, "4000 4096\n"),
        ((64, 4096), 16, "832 4096\n"),
    ],
)
def test_the_limit_is_raised_to_what_the_listeners_need_and_not_lowered(
    limits: tuple[int, int], connections: int, told: str
) -> None:
    assert provided(limits, connections) == told


def test_a_limit_that_cannot_be_raised_is_told_with_the_setting() -> None:
    told = provided((1024, 4096), 900)
    assert told.startswith("too_few_open_files most_connections: 900 for each of 4 listeners need 4368 open files")
    assert "may have 4096" in told
    assert "LimitNOFILE" in told


def provided(limits: tuple[int, int], connections: int) -> str:
    arguments = [str(number) for number in (*limits, connections)]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    ).stdout
