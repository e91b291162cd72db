# SPDX-License-Identifier: Apache-2.0
"""Commands of a page of the documentation, run as they stand there, in one directory."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).parents[2] / "docs" / "operations"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS: Final = 120


def commands(page: str) -> Iterator[str]:
    """Yield the commands of a page's `sh` blocks; lines that end in a backslash go on."""
    for language, block in BLOCK.findall((PAGES / page).read_text("utf-8")):
        if language == "sh":
            yield from (line for line in re.sub(r"\\\n\s*", "", block).splitlines() if line)


@dataclass
class Typed:
    """A directory in which commands are typed; `replaced` texts differ from the page's, such as ports."""

    folder: Path
    replaced: Mapping[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """Run a command to its end; it has to end well."""
        for usual, other in self.replaced.items():
            command = command.replace(usual, other)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "HOME": str(self.folder), "COLUMNS": "200"},
            umask=0o077,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        output: str = ended.stdout
        return output
