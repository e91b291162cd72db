# SPDX-License-Identifier: Apache-2.0
"""The lints of revocation lists, which look at a list before it is signed (RFC 5280 §5; profiles v2.2; CP 4.9.7)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from etymon.ca.lint import refused
from etymon.pki.certificate import UNREADABLE
from etymon.wire import der

_EXPECTED: Final = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False, ExtensionOID.CRL_NUMBER: False}
_VERSION_2: Final = der.integer(1)


@dataclass(frozen=True)
class LintedList:
    """A list that is to be signed, its issuer, how long it may be valid, and the number of the list before it."""

    tbs: bytes
    revoked: x509.CertificateRevocationList
    issuer: x509.Certificate
    lifetime: timedelta
    previous_number: int


@dataclass(frozen=True, slots=True)
class ListLint:
    """One rule about lists: a stable code, the requirement's id, the clause, and a check that yields what it finds."""

    code: str
    requirement: str
    source: str
    check: Callable[[LintedList], Iterator[str]]


def _version(linted: LintedList) -> Iterator[str]:
    if not der.only(linted.tbs, der.SEQUENCE).content.startswith(_VERSION_2):
        yield "the list is not version 2"


def _issuer(linted: LintedList) -> Iterator[str]:
    if linted.revoked.issuer.public_bytes() != linted.issuer.subject.public_bytes():
        yield "the list's issuer is not, byte for byte, the authority's subject"


def _times(linted: LintedList) -> Iterator[str]:
    begins, ends = linted.revoked.last_update_utc, linted.revoked.next_update_utc
    if ends is None or not begins < ends <= begins + linted.lifetime:
        yield "nextUpdate is missing, not after thisUpdate, or too far ahead"


def _extensions(linted: LintedList) -> Iterator[str]:
    found = {extension.oid: extension for extension in linted.revoked.extensions}
    if {oid: extension.critical for oid, extension in found.items()} != _EXPECTED:
        yield "the extensions are not exactly authorityKeyIdentifier and cRLNumber, neither critical"
        return
    number = found[ExtensionOID.CRL_NUMBER].value
    if not isinstance(number, x509.CRLNumber) or number.crl_number <= linted.previous_number:
        yield "the number is not greater than that of the list before"
    key = found[ExtensionOID.AUTHORITY_KEY_IDENTIFIER].value
    issuers = linted.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    if not isinstance(key, x509.AuthorityKeyIdentifier) or key.key_identifier != issuers.digest:
        yield "the authority key identifier is not the authority's"


def _entries(linted: LintedList) -> Iterator[str]:
    serials: set[int] = set()
    for entry in linted.revoked:
        serials.add(entry.serial_number)
        for extension in entry.extensions:
            if not isinstance(extension.value, x509.CRLReason):
                yield "an entry has an extension other than its reason"
            elif extension.value.reason in {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}:
                yield f"an entry has the reason {extension.value.reason.value}"
    if len(serials) != len(linted.revoked):
        yield "a certificate is listed twice"


LIST_LINTS: Final = (
    ListLint("list_version_is_2", "L-1", "RFC 5280 §5.1.2.1", _version),
    ListLint("list_issuer_equal", "L-1", "RFC 5280 §5.1.2.3; profiles v2.2, CRL", _issuer),
    ListLint("list_times_in_bounds", "L-5", "RFC 5280 §5.1.2.5; Common Policy 4.9.7", _times),
    ListLint("list_extensions_listed", "L-1", "RFC 5280 §5.2; profiles v2.2, CRL", _extensions),
    ListLint("list_entries_plain", "L-2", "RFC 5280 §5.3.1; profiles v2.2, CRL", _entries),
)
"""Every lint of lists. That one is full, not indirect and no delta shows in its having no other extension (L-4)."""


def drafted(tbs: bytes, algorithm: bytes) -> x509.CertificateRevocationList:
    """Return a list that is not signed yet, with an empty signature."""
    return x509.load_der_x509_crl(der.sequence(tbs, algorithm, der.bit_string(b"")))


def findings(linted: LintedList) -> list[tuple[str, str]]:
    """Return what the lints find, as codes and details; what cannot be read is a finding."""
    found: list[tuple[str, str]] = []
    for rule in LIST_LINTS:
        try:
            found += [(rule.code, detail) for detail in rule.check(linted)]
        except (*UNREADABLE, x509.ExtensionNotFound) as exc:
            found.append((rule.code, f"cannot be read: {exc}"))
    return found


def require_clean(linted: LintedList) -> None:
    """Raise `Unavailable` `lint_failed` if a lint finds anything: the list is not signed then."""
    found = findings(linted)
    if found:
        raise refused("CRL", found)
