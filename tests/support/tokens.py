# SPDX-License-Identifier: Apache-2.0
"""PKCS#11 tokens for tests: SoftHSM 2 in this process, tokens of a test's own, and one module that has faults.

SoftHSM reads its configuration once in a process: all tests of a process share a directory of tokens.
"""

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from etymon.kernel.secret import DigestKey, Secret
from etymon.phone.key_store.pkcs11_token import find_module
from etymon.pki import cryptoki
from etymon.pki.cryptoki import TokenChoice
from etymon.pki.token import LIMIT_SECONDS, RefusedPIN, Token
from support import programs
from support.card_reader import library

LABEL_BYTES: Final = 32
OFFICER_PIN: Final = "the security officer's"
PIN: Final = Secret("the user's pin")
FAULT_SHIM_PROGRAMS: Final = ("softhsm2-util", "gcc", "pkg-config")

DEVICE_ERROR: Final = 0x30
DEVICE_REMOVED: Final = 0x32
SESSION_HANDLE_INVALID: Final = 0xB3
TOKEN_NOT_PRESENT: Final = 0xE0
USER_NOT_LOGGED_IN: Final = 0x101
"""What a device answers (PKCS#11 v2.40 §6)."""


@dataclass(frozen=True, slots=True)
class TestToken:
    """A token that was made for a test, and how it is opened."""

    __test__ = False

    directory: Path
    module: Path
    label: str
    serial: str
    slot: int
    refused: RefusedPIN

    def open(
        self, pin: Secret[str] = PIN, choice: TokenChoice | None = None, limit_seconds: float = LIMIT_SECONDS
    ) -> Token:
        """Return the token as a new process would have it."""
        chosen = choice or TokenChoice(label=self.label)
        return Token(self.module, chosen, lambda: pin, self.refused, limit_seconds=limit_seconds)

    def with_module(self, module: Path) -> "TestToken":
        """Return the same token behind another module."""
        return replace(self, module=module)

    def close_all_sessions(self) -> None:
        """Close every session of this process with the token, as another part of it might; logged out is everybody."""
        assert ctypes.CDLL(str(self.module)).C_CloseAllSessions(ctypes.c_ulong(self.slot)) == 0

    def lose(self) -> None:
        """Take the token's files away; SoftHSM does not find them again in this process."""
        place = next(path for path in self.directory.iterdir() if path.name.replace("-", "").endswith(self.serial))
        place.rename(self.directory.parent / f"{self.label}.lost")

    def objects(self, kind: str) -> list[dict[str, str]]:
        """Return what pkcs11-tool shows of the token's objects: header, and its lines by name."""
        shown = subprocess.run(
            [
                programs.required("pkcs11-tool"), "--module", self.module, "--token-label", self.label,
                "--login", "--pin", PIN.reveal(), "--list-objects", "--type", kind,
            ],
            capture_output=True, check=True, text=True, timeout=60,
        )  # fmt: skip
        found: list[dict[str, str]] = []
        for line in shown.stdout.splitlines():
            if not line.startswith(" "):
                found.append({"object": line})
            else:
                name, _, value = line.strip().partition(":")
                found[-1][name] = value.strip()
        return found


class Tokens:
    """Makes tokens in one directory, which SoftHSM knows by the environment."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._numbers = directory, itertools.count(1)
        (directory / "tokens").mkdir()
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {directory / 'tokens'}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)  # read by the module itself
        module = find_module()
        assert module is not None
        self.module = module

    def make(self, label: str = "") -> TestToken:
        """Make a token with the user's PIN set."""
        label = label or f"token-{next(self._numbers):03}"  # pkcs11-tool takes a label for a beginning
        module = cryptoki.library(self.module)
        *_, free = module.get_slots()  # SoftHSM keeps an empty one at the end
        pin = OFFICER_PIN.encode()
        made = ctypes.CDLL(str(self.module)).C_InitToken(
            ctypes.c_ulong(free.slot_id), pin, ctypes.c_ulong(len(pin)), label.encode().ljust(LABEL_BYTES)
        )
        assert made == 0
        token = TokenChoice(slot=free.slot_id).find(module)
        with token.open(rw=True, so_pin=OFFICER_PIN) as session:
            session.init_pin(PIN.reveal())
        refused = RefusedPIN(self._directory / f"{label}.refused", DigestKey(Secret(bytes(32))))
        return TestToken(
            self._directory / "tokens", self.module, label, token.serial.decode("ascii"), free.slot_id, refused
        )


class Faults:
    """A module in front of SoftHSM that answers as a device in trouble does, when it is told to."""

    def __init__(self, directory: Path, softhsm: Path) -> None:
        self.module = directory / "etymon-fault-shim.so"
        library("p11-kit-1/p11-kit/pkcs11.h", "libp11-kit-dev")
        flags = _output("pkg-config", "--cflags", "p11-kit-1").split()
        source = Path(__file__).with_name("pkcs11_fault_shim.c")
        warnings = ("-Wall", "-Wextra", "-Werror")
        softhsm_module = f'-DSOFTHSM_MODULE="{softhsm}"'
        _output("gcc", "-shared", "-fPIC", *warnings, softhsm_module, *flags, "-o", self.module, source, "-ldl")
        self._shim = ctypes.CDLL(str(self.module))

    def fail(self, result: int, times: int) -> None:
        """Answer what is to be signed, enciphered or deciphered next with an error, so many times."""
        self._shim.shim_fail(ctypes.c_ulong(result), times)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Give no signature and find no key, and do not come back, while the block runs."""
        self._shim.shim_hang(1)
        try:
            yield
        finally:
            self._shim.shim_hang(0)

    @contextmanager
    def unplugged(self, slot: int) -> Iterator[None]:
        """Have no token while the block runs: its sessions end, and it can be plugged in again."""
        self._shim.shim_unplug(ctypes.c_ulong(slot), 1)
        try:
            yield
        finally:
            self._shim.shim_unplug(ctypes.c_ulong(slot), 0)

    @contextmanager
    def flagged(self, flags: int) -> Iterator[None]:
        """Show further flags of the token while the block runs."""
        self._shim.shim_flags(ctypes.c_ulong(flags))
        try:
            yield
        finally:
            self._shim.shim_flags(ctypes.c_ulong(0))

    @property
    def logins(self) -> int:
        """How often a PIN was sent."""
        return int(self._shim.shim_logins())

    @property
    def initializations(self) -> int:
        """How often the module was initialised in this process."""
        return int(self._shim.shim_initializations())


def _output(program: str, *arguments: str | Path) -> str:
    command = [str(programs.required(program)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
