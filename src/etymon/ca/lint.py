# SPDX-License-Identifier: Apache-2.0
"""Linting: what is to be signed is looked at once more, by rules that do not know how it was built.

The same rules judge certificates of others. What this issuer writes must be what its profile writes, to the letter; a
certificate of somebody else's may use everything the profile allows.
"""

import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509

from etymon.ca.common_names import CommonNameForm
from etymon.ca.profile import CertificateProfile
from etymon.kernel.errors import Malformed, Unavailable
from etymon.pki import certificate as readers
from etymon.wire import der

ExtensionValue = TypeVar("ExtensionValue", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Linted:
    """What a lint looks at: a certificate, the profile it follows, and its issuer's certificate where there is one.

    `policies` are the OIDs the deployment configured for it; for somebody else's, those that are accepted besides the
    known ones. `foreign` says that it is somebody else's. `common_name_forms` are those a person's name may have; none
    named: any. Judging one certificate reads each of its parts once.
    """

    certificate: x509.Certificate
    profile: CertificateProfile
    issuer: x509.Certificate | None
    policies: tuple[str, ...]
    foreign: bool = False
    common_name_forms: frozenset[CommonNameForm] = frozenset()

    @cached_property
    def extensions(self) -> Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]:
        """The certificate's extensions by their OID."""
        return {found.oid: found for found in self.certificate.extensions}

    @cached_property
    def names(self) -> tuple[x509.GeneralName, ...]:
        """The subject alternative names."""
        found = self.extension(x509.SubjectAlternativeName)
        return tuple(found) if found else ()

    @cached_property
    def encoded(self) -> bytes:
        """The certificate's DER."""
        return readers.to_der(self.certificate)

    @cached_property
    def tbs(self) -> tuple[der.Element, ...]:
        """The fields of the TBSCertificate, from the serial number on (RFC 5280 §4.1)."""
        fields = der.elements(der.only(self.certificate.tbs_certificate_bytes, der.SEQUENCE).content)
        return fields[1:] if fields and fields[0].tag == der.CONTEXT_0 else fields

    @cached_property
    def purposes(self) -> tuple[str, ...]:
        """The extended key usages, in dotted form."""
        found = self.extension(x509.ExtendedKeyUsage)
        return tuple(purpose.dotted_string for purpose in found) if found else ()

    @cached_property
    def validity(self) -> tuple[datetime, datetime]:
        """The first and the last moment at which the certificate is valid."""
        return self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc

    def extension(self, kind: type[ExtensionValue]) -> ExtensionValue | None:
        """Return the value of an extension, or None where the certificate has none."""
        found = self.extensions.get(kind.oid)
        return found.value if found is not None and isinstance(found.value, kind) else None


class Severity(enum.StrEnum):
    """How much a finding weighs. Whatever it is, nothing is signed here that has one."""

    ERROR = "error"
    """The certificate breaks its profile."""
    WARNING = "warning"
    """It does what the profile advises against."""


Check = Callable[[Linted], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Lint:
    """One rule: a stable code, the requirement's id, the clause it is from, and a check that yields what it finds."""

    code: str
    requirement: str
    source: str
    severity: Severity
    check: Check


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    code: str
    requirement: str
    source: str
    severity: Severity
    detail: str


def lint(code: str, requirement: str, source: str, severity: Severity = Severity.ERROR) -> Callable[[Check], Lint]:
    """Turn a function that yields findings into a `Lint`."""

    def made(check: Check) -> Lint:
        return Lint(code, requirement, source, severity, check)

    return made


def findings(linted: Linted, lints: Collection[Lint], exceptions: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return what `lints` find, but for the named exceptions; an extension that cannot be read is a finding."""
    found: list[Finding] = []
    for rule in lints:
        if rule.code in exceptions:
            continue
        try:
            found += [_finding(rule, detail) for detail in rule.check(linted)]
        except (*readers.UNREADABLE, Malformed, IndexError) as exc:
            found.append(_finding(rule, f"cannot be read: {exc}"))
    return tuple(found)


def require_clean(linted: Linted, lints: Collection[Lint], exceptions: Collection[str] = ()) -> None:
    """Raise `Unavailable` `lint_failed`, naming the codes, if a lint finds anything: nothing is signed then."""
    found = findings(linted, lints, exceptions)
    if found:
        raise refused(linted.profile.name, [(finding.code, finding.detail) for finding in found])


def refused(what: str, found: Collection[tuple[str, str]]) -> Unavailable:
    """Return the error for what broke its profile: codes and details of what was found."""
    codes = sorted({code for code, _ in found})
    return Unavailable(
        "lint_failed",
        f"The certificate breaks its profile ({', '.join(codes)}). Tell the operator; nothing was signed.",
        profile=what,
        findings="; ".join(f"{code}: {detail}" for code, detail in found)[:500],
    )


def _finding(rule: Lint, detail: str) -> Finding:
    return Finding(rule.code, rule.requirement, rule.source, rule.severity, detail)
