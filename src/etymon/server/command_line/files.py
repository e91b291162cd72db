# SPDX-License-Identifier: Apache-2.0
"""Secrets that a command reads: from a file, or typed without echo."""

from pathlib import Path

import typer

from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret


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
