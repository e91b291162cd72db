# SPDX-License-Identifier: Apache-2.0
"""`etymon lint`: certificates, of ours or of anybody, judged by a certificate profile. Nothing is fetched."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etymon.kernel.errors import Malformed

if TYPE_CHECKING:
    from cryptography import x509

    from etymon.ca.certificate_lint import Judged
    from etymon.ca.lint import Finding

TAKEN = "Certificates are taken in PEM or DER, one or several, or in a certs-only PKCS #7 (.p7c)."

ON_THE_LOOPBACK = "This is expected of a site with the setting loopback_demo; leave it out there with --except"

HELP = "help"
"""The profile's name that lists the profiles."""

app = typer.Typer(help="Judge certificates by their profile.", no_args_is_help=True)


@app.callback()
def _lint() -> None:
    """Judge certificates by their profile."""


@app.command("certificate")
def certificate(
    profile: Annotated[str, typer.Option(help="Name of the profile; `--profile help` lists them.")],
    file: Annotated[Path | None, typer.Argument(help="Certificates, PEM, DER or .p7c, one or several.")] = None,
    issuer: Annotated[
        list[Path] | None, typer.Option(help="Certificates of issuers; judges what depends on them.")
    ] = None,
    at: Annotated[str, typer.Option(help="RFC 3339 time at which the certificate has to be valid.")] = "",
    policy: Annotated[list[str] | None, typer.Option(help="A policy OID of the organisation for this profile.")] = None,
    excepting: Annotated[
        list[str] | None, typer.Option("--except", help="Code of a lint that is not applied; each exception by name.")
    ] = None,
) -> None:
    """Say what in a certificate breaks its profile: one JSON object for each certificate.

    Exit status 0: all keep it. 1: something was found. 2: a file, name or certificate cannot be used.

    Certificates of a site with the setting loopback_demo all break uri_host_is_a_public_name, which is expected there:
    leave it out with --except uri_host_is_a_public_name.

    Example: etymon lint certificate --profile derived-piv-authentication --issuer ca.pem phone.pem
    """
    from etymon.ca import certificate_lint
    from etymon.ca.profiles import PROFILES, profile_named

    if profile == HELP:
        for found in PROFILES.values():
            typer.echo(f"{found.name:36} {found.title} ({found.source})")
        return
    if file is None:
        raise Malformed("no_certificate", "Name the file that holds the certificate.")
    standard = certificate_lint.Standard(
        profile_named(profile),
        issuers=[each for path in issuer or () for each in _certificates(path)],
        at=_moment(at),
        policies=tuple(policy or ()),
        exceptions=_exceptions(excepting or [], certificate_lint.known_codes()),
    )
    with _named(file):
        judged = list(certificate_lint.judge_all(_opened(file), standard))
    for one in judged:
        typer.echo(json.dumps(_answer(one, profile, file)))
    if any(one.unreadable for one in judged):
        raise typer.Exit(2)
    if not all(one.valid for one in judged):
        raise typer.Exit(1)


def _certificates(file: Path) -> "tuple[x509.Certificate, ...]":
    from etymon.pki.certificate import load_many

    with _named(file):
        return load_many(_opened(file))


def _opened(file: Path) -> bytes:
    from etymon.pki import certificate, certs_only

    with file.open("rb") as opened:
        return certs_only.opened(opened.read(certificate.LIMIT_BYTES + 1))  # one more is refused as too large


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say of what cannot be read in which file it is, and what is taken."""
    try:
        yield
    except Malformed as exc:
        raise _unusable(exc, file) from exc


def _unusable(found: Malformed, file: Path) -> Malformed:
    return Malformed(found.code, f"{file}: {found.detail} {TAKEN}")


def _answer(judged: "Judged", profile: str, file: Path) -> dict[str, Any]:
    from etymon.ca.lint import Severity
    from etymon.pki.certificate import thumbprint

    answer: dict[str, Any] = {"valid": judged.valid, "profile": profile}
    if judged.unreadable is not None:
        unusable = _unusable(judged.unreadable, file)
        return {**answer, "errors": [{"code": unusable.code, "detail": unusable.detail}]}
    if judged.certificate is not None:
        answer["sha256"] = thumbprint(judged.certificate).hex()
        answer["subject"] = judged.certificate.subject.rfc4514_string()
    answer["errors"] = [_told(found) for found in judged.of(Severity.ERROR)]
    answer["warnings"] = [_told(found) for found in judged.of(Severity.WARNING)]
    return answer


def _told(found: "Finding") -> dict[str, str]:
    from etymon.ca.extension_lints import PUBLIC_HOST_EXCEPTION

    hint = f". {ON_THE_LOOPBACK} {found.code}." if found.code == PUBLIC_HOST_EXCEPTION else ""
    return {
        "code": found.code,
        "detail": found.detail + hint,
        "severity": found.severity.value,
        "id": found.requirement,
        "clause": found.source,
    }


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Malformed("time", f"{text} is no RFC 3339 time. Write it like 2026-03-01T12:00:00Z.")
    return moment


def _exceptions(named: list[str], known: Collection[str]) -> frozenset[str]:
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise Malformed("lint_unknown", f"There is no lint called {', '.join(unknown)}.")
    return frozenset(named)
