# SPDX-License-Identifier: Apache-2.0
"""Files of commands: secrets that are read, and what is written once, where a lost answer would be lost for good."""

import os
from pathlib import Path

import typer

from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret


def require_new(file: Path) -> None:
    """Refuse at once what could not be written later: `Malformed` `file_exists`, `file_not_writable`."""
    if os.path.lexists(file):
        raise Malformed("file_exists", f"{file} is there already. Name another place.")
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise Malformed("file_not_writable", f"{file.parent} is no directory that can be written to. Make it first.")


def secret(file: Path | None, prompt: str) -> Secret[str]:
    """Read a secret's first line from `file`, or ask for it."""
    if file is None:
        return Secret(typer.prompt(prompt, hide_input=True))
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise Malformed("secret_file", f"{file} cannot be read; its first line is the secret.") from exc
    if not lines or not lines[0]:
        raise Malformed("secret_file", f"{file} is empty; its first line is the secret.")
    return Secret(lines[0])
