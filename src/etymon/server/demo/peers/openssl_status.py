# SPDX-License-Identifier: Apache-2.0
"""OpenSSL as a judge of paths and of revocation: `openssl verify` and `openssl ocsp`."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from etymon.server.demo.peers import programs
from etymon.server.demo.peers.programs import Judgement, Verdict

ANSWER_LIMIT_SECONDS: Final = 3


def verify(
    certificate: Path,
    *,
    anchors: bytes,
    intermediates: bytes = b"",
    crls: bytes,
    policies: Iterable[str] = (),
    purpose: str = "sslclient",
    directory: Path,
) -> Judgement:
    """Judge a path (RFC 5280 §6) with the CRL of every CA in it; all inputs are PEM.

    With `policies` (OIDs) one of them has to be valid for the whole path (explicit policy). `purpose` is one of
    OpenSSL's: `sslclient`, `smimesign`, `smimeencrypt`, `any`.
    """
    work = Path(tempfile.mkdtemp(prefix="path-", dir=directory))
    arguments: list[str | Path] = ["verify", "-x509_strict", "-crl_check_all", "-purpose", purpose]
    for option, name, content in (
        ("-CAfile", "anchors.pem", anchors),
        ("-untrusted", "intermediates.pem", intermediates),
        ("-CRLfile", "crls.pem", crls),
    ):
        if content:
            (work / name).write_bytes(content)
            arguments += [option, work / name]
    oids = [word for policy in policies for word in ("-policy", policy)]
    if oids:
        arguments += ["-policy_check", "-explicit_policy", *oids]
    done = programs.run("openssl", [*arguments, "-no-CAstore", "-no-CApath", certificate], directory=work)
    if done.exit_status == 0 and f"{certificate}: OK" in done.output:
        return done.judgement(Verdict.ACCEPTED)
    errors = [line for line in done.output.splitlines() if line.startswith("error ")]
    return done.judgement(Verdict.REFUSED, reason=(errors or [""])[0])


def ask(certificate: Path, *, issuer: bytes, responder: str, anchors: bytes, directory: Path) -> Judgement:
    """Ask an OCSP responder about a certificate; anything but a verified `good` is a refusal.

    `issuer` is the PEM certificate of the CA that issued it, `anchors` what the responder's own path ends in.
    """
    work = Path(tempfile.mkdtemp(prefix="ocsp-", dir=directory))
    (work / "issuer.pem").write_bytes(issuer)
    (work / "anchors.pem").write_bytes(anchors)
    done = programs.run(
        "openssl",
        [
            *("ocsp", "-issuer", work / "issuer.pem", "-cert", certificate, "-url", responder),
            *("-CAfile", work / "anchors.pem", "-no-CAstore", "-no-CApath", "-timeout", str(ANSWER_LIMIT_SECONDS)),
        ],
        directory=work,
    )
    lines = done.output.splitlines()
    statuses = [line for line in lines if line.startswith(f"{certificate}: ")]
    verified = "Response verify OK" in lines
    if done.exit_status == 0 and verified and statuses == [f"{certificate}: good"]:
        return done.judgement(Verdict.ACCEPTED)
    return done.judgement(Verdict.REFUSED, reason=(statuses if verified and statuses else lines or [""])[0])
