# SPDX-License-Identifier: Apache-2.0
"""An `etymon` command as it is typed: its exit status and what it wrote."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from etymon.server import command_line


@dataclass(frozen=True, slots=True)
class Typed:
    """What became of a command."""

    status: int
    out: str
    err: str

    def refused(self, *told: str) -> None:
        """Check that it ended with 2 and one line that says all this."""
        assert (self.status, self.out) == (2, ""), self
        assert self.err.count("\n") == 1, self.err
        for words in told:
            assert words in self.err


def typed(captured: pytest.CaptureFixture[str], *arguments: str | Path) -> Typed:
    """Run a command in this process."""
    captured.readouterr()
    with pytest.raises(SystemExit) as ended:
        command_line.main([str(argument) for argument in arguments])
    told = captured.readouterr()
    return Typed(int(ended.value.code or 0), told.out, told.err)
