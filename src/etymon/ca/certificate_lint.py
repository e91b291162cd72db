# SPDX-License-Identifier: Apache-2.0
"""Judging certificates of others by a profile: everything that is wrong with each, and what is advised against."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from etymon.ca.lint import Finding, Lint, Linted, Severity, findings, lint
from etymon.ca.lints import LINTS
from etymon.ca.profile import CertificateProfile
from etymon.kernel.errors import Malformed
from etymon.pki import certificate as readers


@dataclass(frozen=True, slots=True)
class Standard:
    """What certificates are judged by. `policies` are accepted for the profile besides those everybody knows.

    `issuers` are certificates among which each one's issuer is looked for; with none, what needs the issuer is not
    judged. `at` is a moment at which a certificate has to be valid; None: whenever. `exceptions` are codes of lints.
    """

    profile: CertificateProfile
    issuers: Sequence[x509.Certificate] = ()
    at: datetime | None = None
    policies: tuple[str, ...] = ()
    exceptions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    """One certificate and what was found; `certificate` is None, with the reason, where it cannot be read."""

    certificate: x509.Certificate | None
    findings: tuple[Finding, ...]
    unreadable: Malformed | None = None

    @property
    def valid(self) -> bool:
        """Whether the certificate keeps its profile."""
        return self.certificate is not None and not self.of(Severity.ERROR)

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one weight."""
        return tuple(found for found in self.findings if found.severity is severity)


@lint("signature_is_issuers", "RFC5280-4.1.1.3", "RFC 5280 §4.1.1.3, §6.1.3")
def _signature(linted: Linted) -> Iterator[str]:
    issuer = linted.certificate if linted.profile.self_signed else linted.issuer
    if issuer is None:
        return
    try:
        linted.certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        yield "the signature does not verify with the issuer's key"


FOREIGN_LINTS: Final[tuple[Lint, ...]] = (*LINTS, _signature)
"""Every lint that judges somebody else's certificate; what is drafted here carries no signature yet that counts."""


def judge_all(data: bytes, standard: Standard) -> Iterator[Judged]:
    """Judge each certificate of a file, PEM or DER; `Malformed` if it holds none."""
    for encoded in readers.encodings(data):
        try:
            certificate = readers.load_der(encoded)
        except Malformed as exc:
            yield Judged(None, (), exc)
        else:
            yield judge(certificate, standard)


def judge(certificate: x509.Certificate, standard: Standard) -> Judged:
    """Return what breaks the profile in a certificate."""
    issuer = _issuer_of(certificate, standard.issuers)
    linted = Linted(certificate, standard.profile, issuer, standard.policies, foreign=True)
    found = findings(linted, FOREIGN_LINTS, standard.exceptions)
    return Judged(certificate, (*found, *_validity(certificate, standard.at), *_no_issuer(standard, issuer)))


def known_codes() -> Collection[str]:
    """Return the codes that an exception may name."""
    return {rule.code for rule in FOREIGN_LINTS}


def _issuer_of(certificate: x509.Certificate, among: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return the certificate of the issuer: of those with its name the one whose key signed, else any of them."""
    named = [issuer for issuer in among if issuer.subject == certificate.issuer]
    for issuer in named:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, *readers.UNREADABLE):
            continue
        return issuer
    return named[0] if named else None


def _validity(certificate: x509.Certificate, at: datetime | None) -> Iterator[Finding]:
    if at is not None and not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        detail = (
            f"the certificate is valid from {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}"
        )
        yield Finding("not_valid_at", "RFC5280-4.1.2.5", "RFC 5280 §4.1.2.5", Severity.ERROR, detail)


def _no_issuer(standard: Standard, issuer: x509.Certificate | None) -> Iterator[Finding]:
    if standard.issuers and issuer is None and not standard.profile.self_signed:
        detail = "none of the issuers given has the name that the certificate calls its issuer"
        yield Finding("issuer_not_given", "P-6", "RFC 5280 §6.1.3", Severity.ERROR, detail)
