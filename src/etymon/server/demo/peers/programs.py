# SPDX-License-Identifier: Apache-2.0
"""Outside programs: where they are, what brings them, and what they judged, word for word."""

import enum
import functools
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret

PACKAGES: Final = {
    "curl": "curl",
    "eapol_test": "eapoltest",
    "freeradius": "freeradius",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "softhsm2-util": "softhsm2",
}
"""Program to the Debian package that brings it."""

DIRECTORIES: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Searched after PATH: service programs live here, and an ordinary user's PATH leaves them out."""

VERSION_ARGUMENTS: Final = {
    "curl": "--version",
    "openssl": "version",
    "softhsm2-util": "--version",
}
"""What makes a program tell its version, where that is not `-v`."""

RUN_LIMIT: Final = timedelta(seconds=30)
REMOVED: Final = "[removed]"


@dataclass(frozen=True, slots=True)
class Program:
    """A program this machine has."""

    name: str
    path: Path

    def version(self) -> str:
        """Return the first line in which the program names its version."""
        return _version(self.path, VERSION_ARGUMENTS.get(self.name, "-v"))


@dataclass(frozen=True, slots=True)
class MissingProgram:
    """A program this machine lacks, and the Debian package that brings it."""

    name: str
    package: str


class ProgramsMissing(Unavailable):
    """Programs a step needs are not installed; the step is not run, and never imitated."""

    default_code = "programs_missing"

    def __init__(self, missing: tuple[MissingProgram, ...]) -> None:
        self.missing = missing
        packages = " ".join(sorted({program.package for program in missing}))
        super().__init__(detail=f"install {packages}", programs=" ".join(program.name for program in missing))


class Verdict(enum.Enum):
    """What a judge decided."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an outside program decided, with all that is needed to ask it again.

    `reason` is the judge's own line that says why, or empty.
    """

    program: str
    version: str
    command: tuple[str, ...]
    output: str
    verdict: Verdict
    reason: str = ""

    def to_document(self) -> dict[str, str]:
        """Return the judgement as plain JSON values."""
        return {
            "program": self.program,
            "version": self.version,
            "command": shlex.join(self.command),
            "output": self.output,
            "verdict": self.verdict.value,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ran to its end."""

    program: Program
    command: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: str

    @property
    def output(self) -> str:
        """All it wrote, standard output first."""
        return self.stdout.decode(errors="replace") + self.stderr

    def judgement(self, verdict: Verdict, *, reason: str = "", secrets: Iterable[Secret[str]] = ()) -> Judgement:
        """Return what the program decided; `secrets` are taken out of its command line and output."""
        hidden = tuple(secret.reveal() for secret in secrets)
        return Judgement(
            self.program.name,
            self.program.version(),
            tuple(without(hidden, word) for word in self.command),
            without(hidden, self.output),
            verdict,
            without(hidden, reason),
        )


def find(name: str) -> Program | MissingProgram:
    """Return the program of that name from PATH or the service programs' directories, or what to install."""
    places = (os.environ.get("PATH", os.defpath), *DIRECTORIES)
    found = shutil.which(name, path=os.pathsep.join(places))
    return MissingProgram(name, PACKAGES.get(name, name)) if found is None else Program(name, Path(found))


def missing(*names: str) -> tuple[MissingProgram, ...]:
    """Return which of these programs are not installed."""
    return tuple(found for found in map(find, names) if isinstance(found, MissingProgram))


def required(name: str) -> Program:
    """Return the program of that name, or raise `ProgramsMissing`."""
    found = find(name)
    if isinstance(found, MissingProgram):
        raise ProgramsMissing((found,))
    return found


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment a peer runs in: nothing of the user's but the search path, and `settings`."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **(settings or {})}


def run(
    name: str,
    arguments: Iterable[str | Path],
    *,
    directory: Path,
    data: bytes = b"",
    settings: Mapping[str, str] | None = None,
    limit: timedelta = RUN_LIMIT,
) -> Completed:
    """Run a program to its end in `directory` with `data` as its input; `settings` join its environment.

    Any exit status is an answer. Raises `ProgramsMissing`, and `Unavailable` when `limit` passes without an end.
    """
    program = required(name)
    command = (str(program.path), *map(str, arguments))
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            input=data,
            env=environment(settings),
            capture_output=True,
            check=False,
            timeout=limit.total_seconds(),
        )
    except subprocess.TimeoutExpired as exc:
        detail = f"{name} did not end in {limit.total_seconds():.0f} seconds; see what it waits for"
        raise Unavailable("program_too_slow", detail, program=name) from exc
    return Completed(program, command, done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def without(hidden: Iterable[str], text: str) -> str:
    """Return `text` with every hidden word replaced."""
    for word in hidden:
        text = text.replace(word, REMOVED)
    return text


@functools.cache
def _version(path: Path, argument: str) -> str:
    done = subprocess.run(
        [path, argument], capture_output=True, text=True, env=environment(), check=False, timeout=RUN_LIMIT.seconds
    )
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if any(map(str.isdigit, line))]
    return lines[0] if lines else "unknown"
