# SPDX-License-Identifier: Apache-2.0
"""CRLs as values that are read once: whose they are, for what, and whom they list. Signatures are judged elsewhere."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from etymon.kernel.errors import DecodeError, Malformed, TooLarge
from etymon.pki import crl_scope, key_policy
from etymon.pki.certificate import UNREADABLE
from etymon.pki.names import LIBRARY_FAILURES, canonical
from etymon.pki.revocation_data import MARK_OF_A_CRITICAL_EXTENSION, STRONG_HASHES, entry_of
from etymon.wire import der

LARGEST_LIST_BYTES: Final = 64 * 1024 * 1024
"""Longest file of CRLs; the largest of deployed authorities have some twenty million bytes."""

_KNOWN: Final = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.DELTA_CRL_INDICATOR})
_KNOWN_IN_ENTRIES: Final = frozenset(
    {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.CERTIFICATE_ISSUER, CRLEntryExtensionOID.INVALIDITY_DATE}
)
_PEM_BEGINS: Final = b"-----BEGIN X509 CRL-----"
_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]++)-----END X509 CRL-----")


class RevocationList:
    """One CRL, complete or delta."""

    def __init__(self, encoded: bytes) -> None:
        """Raise `Malformed` `crl_malformed` for what is not a CRL."""
        try:
            self._list = x509.load_der_x509_crl(encoded)
            extensions = self._list.extensions
            self.der = encoded
            self.issuer = canonical(self._list.issuer)
            self.scope = crl_scope.scope(extensions, self._list.issuer)
            self.this_update, self.next_update = self._list.last_update_utc, self._list.next_update_utc
            self.number = _number(extensions, x509.CRLNumber)
            self.base_number = _number(extensions, x509.DeltaCRLIndicator)
            self.scope_octets = _scope_octets(extensions)
            self._critical = [found for found in extensions if found.critical]
        except (*UNREADABLE, *LIBRARY_FAILURES) as exc:
            raise Malformed("crl_malformed", "The file holds something that is not a CRL, DER or PEM.") from exc
        self._signed_by: dict[bytes, bool] = {}

    @cached_property
    def is_usable(self) -> bool:
        """Whether every critical extension, in the list and in any entry, is understood (RFC 5280 §5.2 and §5.3)."""
        try:
            return all(found.oid in _KNOWN for found in self._critical) and (
                not self._has_critical_entries or all(map(_entry_is_known, self._list))
            )
        except (*UNREADABLE, *LIBRARY_FAILURES):
            return False

    @cached_property
    def _has_critical_entries(self) -> bool:
        return self.der.count(MARK_OF_A_CRITICAL_EXTENSION) > len(self._critical)

    def is_current(self, at: datetime, tolerance: timedelta) -> bool:
        """Whether the list holds at a moment; one without nextUpdate never does (RFC 5280 §5.1.2.5)."""
        return self.next_update is not None and self.this_update - tolerance <= at < self.next_update

    def is_signed_by(self, certificate: x509.Certificate, key: bytes) -> bool:
        """Whether the certified key, whose octets are `key`, signed the list with an algorithm that counts."""
        if key not in self._signed_by:
            self._signed_by[key] = self._verifies(certificate)
        return self._signed_by[key]

    def _verifies(self, certificate: x509.Certificate) -> bool:
        if self.der[-len(self._list.signature) - 1]:
            return False  # a signature is whole octets (RFC 3279 §2.2), so that no bit of a list can change unseen
        try:
            return isinstance(self._list.signature_hash_algorithm, STRONG_HASHES) and self._list.is_signature_valid(
                key_policy.check_issuer(certificate.public_key())
            )
        except (*UNREADABLE, Malformed):
            return False

    def reason(self, serial_number: int, certificate_issuer: str) -> x509.ReasonFlags | None:
        """Return why a certificate is listed, `unspecified` where the list does not say; None if it is not listed."""
        if self.scope.indirect or self._has_critical_entries:
            return self._entries.get((serial_number, certificate_issuer))
        entry = entry_of(self._list, serial_number)
        return _reason(entry) if entry is not None and certificate_issuer == self.issuer else None

    @cached_property
    def _entries(self) -> dict[tuple[int, str], x509.ReasonFlags]:
        """Every entry under its issuer, which stays the one that was named last (RFC 5280 §5.3.3)."""
        found: dict[tuple[int, str], x509.ReasonFlags] = {}
        issuer = self.issuer
        for entry in self._list:
            issuer = _certificate_issuer(entry) or issuer
            found[entry.serial_number, issuer] = _reason(entry)
        return found


@dataclass(frozen=True, slots=True)
class RevocationLists:
    """Lists by their issuer, the newest first."""

    complete: dict[str, list[RevocationList]]
    delta: dict[str, list[RevocationList]]

    @classmethod
    def of(cls, lists: Iterable[RevocationList]) -> "RevocationLists":
        """Sort lists; one given twice counts once."""
        complete: dict[str, list[RevocationList]] = {}
        delta: dict[str, list[RevocationList]] = {}
        different = {found.der: found for found in lists}
        for found in sorted(different.values(), key=lambda each: each.this_update, reverse=True):
            (complete if found.base_number is None else delta).setdefault(found.issuer, []).append(found)
        return cls(complete, delta)


def load_many(data: bytes) -> tuple[RevocationList, ...]:
    """Read one or more CRLs: PEM blocks, or DER one after the other."""
    if len(data) > LARGEST_LIST_BYTES:
        raise TooLarge("crl_too_large", f"A file of CRLs has at most {LARGEST_LIST_BYTES} bytes.")
    try:
        if b"-----BEGIN" in data:
            found = [base64.b64decode(b"".join(block.split()), validate=True) for block in _PEM.findall(data)]
        else:
            found = [element.encoded for element in der.elements(data)]
    except (binascii.Error, DecodeError) as exc:
        raise Malformed("crl_malformed", "The file holds no CRL, DER or PEM.") from exc
    if not found or data.count(_PEM_BEGINS) > len(found):
        raise Malformed("crl_malformed", "The file holds no CRL, or one that is cut off. Give DER or PEM.")
    return tuple(map(RevocationList, found))


def _number(extensions: x509.Extensions, kind: type[x509.CRLNumber] | type[x509.DeltaCRLIndicator]) -> int | None:
    try:
        return extensions.get_extension_for_class(kind).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _scope_octets(extensions: x509.Extensions) -> bytes:
    try:
        return extensions.get_extension_for_class(x509.IssuingDistributionPoint).value.public_bytes()
    except x509.ExtensionNotFound:
        return b""


def _entry_is_known(entry: x509.RevokedCertificate) -> bool:
    return all(found.oid in _KNOWN_IN_ENTRIES for found in entry.extensions if found.critical)


def _certificate_issuer(entry: x509.RevokedCertificate) -> str | None:
    try:
        names = entry.extensions.get_extension_for_class(x509.CertificateIssuer).value
    except x509.ExtensionNotFound:
        return None
    directory = [name.value for name in names if isinstance(name, x509.DirectoryName)]
    return canonical(directory[0]) if directory else ""


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return x509.ReasonFlags.unspecified
