# SPDX-License-Identifier: Apache-2.0
"""An organisation whose backups are taken and restored by the commands an operator types."""

from pathlib import Path
from typing import Final

import pytest

from etymon.directory.model import Role
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.server import initialization
from etymon.server.deployment import Deployment
from etymon.server.initialization import Founder, RootKeys
from support.typed_command import Typed, typed

PASSPHRASE: Final = "a passphrase of some length"
ADA: Final = Founder(Role.ADMINISTRATOR, "ada@agency.example", "Ada Adler", "ada@agency.example")


def made(directory: Path, **settings: object) -> Secret[str]:
    """Make an organisation in `data` and return its Administrator's one-time code."""
    codes = initialization.initialize(
        directory / "data",
        {
            "organization": "Example Agency",
            "loopback_demo": True,
            "status_url": "http://127.0.0.1:1",
            **settings,
        },
        passphrase=Secret(PASSPHRASE),
        root_keys=RootKeys(directory / "roots", Secret(PASSPHRASE)),
        founders=[ADA],
        trust_entries=[],
        clock=SystemClock(),
        entropy=SystemEntropy(),
        progress=lambda _: None,
    )
    return codes[ADA.user_principal_name]


class Office:
    """An organisation, its backups and what opens them."""

    def __init__(self, directory: Path, captured: pytest.CaptureFixture[str], code: Secret[str]) -> None:
        self.directory, self.data, self._captured, self.code = directory, directory / "data", captured, code
        self.passphrase, self.identity = directory / "passphrase", directory / "identity"
        self.passphrase.write_text(PASSPHRASE)
        self.recipient = self.type("backup-key", self.identity).out.strip()

    def type(self, *arguments: str | Path) -> Typed:
        return typed(self._captured, *arguments)

    def backup(self) -> Path:
        file = self.directory / "backup.age"
        done = self.type("backup", file, "--data", self.data, "--recipient", self.recipient)
        assert done.status == 0, done
        return file

    def restore(self, file: Path, data: str = "restored", identity: Path | None = None) -> Typed:
        opened = ("--identity", identity or self.identity, "--passphrase-file", self.passphrase)
        return self.type("restore", file, "--data", self.directory / data, *opened)

    def opened(self, data: Path) -> Deployment:
        return Deployment.open(data, Secret(PASSPHRASE), SystemClock(), SystemEntropy())
