# SPDX-License-Identifier: Apache-2.0
"""curl as a TLS client with a certificate, its key in a PEM file or in a PKCS#11 token."""

import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from etymon.kernel.secret import Secret
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.credentials import Credential, PEMFiles, pkcs11_engine
from etymon.server.demo.peers.programs import Judgement, Verdict

ALERT: Final = re.compile(r"\(IN\), TLS alert, (?!close notify)(.+) \(\d+\):")
STATUS: Final = re.compile(r"^HTTP status (\d+)$", re.MULTILINE)
ARGUMENTS: Final = (
    "--disable",  # no settings of the user's
    "--silent",
    "--show-error",
    "--verbose",
    "--noproxy",
    "*",
    "--max-time",
    "20",
    "--write-out",
    r"%{stderr}\nHTTP status %{http_code}\n",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl got: an HTTP status (0 when there was none), a body, or the alert the server sent instead."""

    status: int
    body: bytes
    alert: str | None
    judgement: Judgement


def get(
    url: str,
    *,
    server_anchors: Path,
    directory: Path,
    credential: Credential | None = None,
    options: Iterable[str] = (),
) -> Answer:
    """Ask for `url` and show `credential` when the server asks for one; no proxy, no settings of the user's.

    The judge is the server: the verdict is ACCEPTED for a status below 400.
    """
    with ExitStack() as lent:
        arguments = [*ARGUMENTS, "--cacert", str(server_anchors), "--capath", str(directory)]
        settings: dict[str, str] = {}
        secrets: tuple[Secret[str], ...] = ()
        if isinstance(credential, PEMFiles):
            arguments += ["--cert", str(credential.certificate), "--key", str(credential.key)]
        elif credential is not None:
            pkcs11_engine()
            key = lent.enter_context(credential.uri_with_pin(directory))
            arguments += [
                "--engine",
                "pkcs11",
                "--cert",
                str(credential.certificate),
                "--key-type",
                "ENG",
                "--key",
                key,
            ]
            settings = credential.engine_settings()
            secrets = (credential.pin,)
        done = programs.run("curl", [*arguments, *options, url], directory=directory, settings=settings)
    status = int(STATUS.findall(done.stderr)[-1])
    alert = ALERT.search(done.stderr)
    accepted = 0 < status < 400
    return Answer(
        status,
        done.stdout,
        alert.group(1) if alert else None,
        done.judgement(
            Verdict.ACCEPTED if accepted else Verdict.REFUSED,
            reason="" if accepted else _complaint(done.stderr, status),
            secrets=secrets,
        ),
    )


def _complaint(stderr: str, status: int) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("curl: ")]
    return errors[-1] if errors else f"HTTP status {status}"
