# SPDX-License-Identifier: Apache-2.0
"""The phone of bash, curl, jq and OpenSSL, written from docs/protocols alone, with a directory of its own."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from support import programs

CLIENT: Final = Path(__file__).parents[1] / "conformance" / "foreign_client" / "client.sh"
PROGRAMS: Final = ("bash", "curl", "jq", "openssl")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command wrote, and how it ended."""

    status: int
    out: str
    error: str


@dataclass(frozen=True, slots=True)
class ForeignPhone:
    """Runs the client's commands."""

    directory: Path

    def run(self, *arguments: str | Path) -> Said:
        """Run a command, however it ends."""
        path = os.pathsep.join(str(programs.required(name).parent) for name in PROGRAMS)
        done = subprocess.run(
            ["bash", CLIENT, "-d", self.directory, *arguments],
            env={"PATH": f"{path}:{os.defpath}", "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def say(self, *arguments: str | Path) -> str:
        """Run a command that has to succeed; return what it wrote."""
        said = self.run(*arguments)
        assert said.status == 0, said
        return said.out

    def refused(self, *arguments: str | Path) -> str:
        """Run a command that the server has to refuse; return why."""
        said = self.run(*arguments)
        assert said.status == 1, said
        return said.error.strip()

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.directory / f"{name}.pem").read_bytes())
