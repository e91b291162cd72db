# SPDX-License-Identifier: Apache-2.0
"""Linting: what is to be signed is looked at once more, by rules that do not know how it was built."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from etymon.ca.profiles import CertificateProfile
from etymon.kernel.errors import Malformed, Unavailable


@dataclass(frozen=True, slots=True)
class Linted:
    """What a lint looks at: a certificate, the profile it follows, its issuer's certificate (None above a root).

    `policies` are the OIDs the deployment configured for it.
    """

    certificate: x509.Certificate
    profile: CertificateProfile
    issuer: x509.Certificate | None
    policies: tuple[str, ...]


Check = Callable[[Linted], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Lint:
    """One rule: a stable code, the clause it comes from, and a check that yields what it finds."""

    code: str
    source: str
    check: Check


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    code: str
    source: str
    detail: str


def lint(code: str, source: str) -> Callable[[Check], Lint]:
    """Turn a function that yields findings into a `Lint`."""

    def made(check: Check) -> Lint:
        return Lint(code, source, check)

    return made


def findings(linted: Linted, lints: Collection[Lint], exceptions: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return what `lints` find, but for the named exceptions; an extension that cannot be read is a finding."""
    found: list[Finding] = []
    for rule in lints:
        if rule.code in exceptions:
            continue
        try:
            found += [Finding(rule.code, rule.source, detail) for detail in rule.check(linted)]
        except (ValueError, Malformed, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension) as exc:
            found.append(Finding(rule.code, rule.source, f"cannot be read: {exc}"))
    return tuple(found)


def require_clean(linted: Linted, lints: Collection[Lint], exceptions: Collection[str] = ()) -> None:
    """Raise `Unavailable` `lint_failed`, naming the codes, if a lint finds anything: nothing is signed then."""
    found = findings(linted, lints, exceptions)
    if found:
        codes = sorted({finding.code for finding in found})
        raise Unavailable(
            "lint_failed",
            f"The certificate breaks its profile ({', '.join(codes)}). Tell the operator; nothing was signed.",
            profile=linted.profile.name,
            findings="; ".join(f"{finding.code}: {finding.detail}" for finding in found)[:500],
        )
