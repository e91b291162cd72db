# SPDX-License-Identifier: Apache-2.0
"""Judging OCSP answers and CRLs (RFC 6960 §3.2, RFC 5280 §6.3): what verifies counts, the rest is as if it were not.

Functions return None for data that says nothing (malformed, outdated, signed by somebody else), and raise
`NotTrusted` for data that says no.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from etymon.kernel.errors import Malformed
from etymon.pki import key_policy
from etymon.pki.certificate import UNREADABLE, spki_sha256
from etymon.pki.errors import NotTrusted
from etymon.wire.der_scan import Bounds, require_plain

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far in our future an answer may have been made: the issuer's clock is not ours."""

OCSP_AGE_WITHOUT_END: Final = timedelta(hours=24)
"""Oldest OCSP answer that is taken where it does not say when the next one comes."""

UNSPECIFIED: Final = "unspecified"
"""The reason of a revocation that gives none."""

ANSWER_BOUNDS: Final = Bounds(128 * 1024)
LIST_BOUNDS: Final = Bounds(16 * 1024 * 1024, depth=2, outline=True)
"""Of a list, which may have a hundred thousand entries, only the frame around them is looked at beforehand."""

STRONG_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
MARK_OF_A_CRITICAL_EXTENSION: Final = b"\x01\x01\xff"
_KNOWN_CRITICAL: Final = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT})


@dataclass(frozen=True, slots=True)
class OCSPAnswer:
    """A good answer's times."""

    this_update: datetime
    next_update: datetime | None


@dataclass(frozen=True, slots=True)
class VerifiedCRL:
    """A full CRL whose signature is its issuer's."""

    der: bytes = field(repr=False)
    revocation_list: x509.CertificateRevocationList
    issuer_spki_sha256: bytes
    this_update: datetime
    next_update: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a CRL says of one certificate; `reason` is a name of RFC 5280 §5.3.1."""

    reason: str
    at: datetime


def ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate, nonce: bytes) -> bytes:
    """Return a DER request; SHA-1 in the CertID is what every responder knows, and nothing depends on its strength."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303 - RFC 5019 §2.1.1 requires SHA-1 in the CertID
    request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    return request.public_bytes(serialization.Encoding.DER)


def judge_ocsp(
    data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, *, nonce: bytes, at: datetime
) -> OCSPAnswer | None:
    """Return the times of a `good` answer; raise `NotTrusted` for `revoked` and for `unknown`.

    The signer is the issuer itself or a responder it certified for OCSP, which says that it needs no check.
    """
    try:
        require_plain(data, ANSWER_BOUNDS)
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return None
        single = _matching(response, certificate, issuer)
        if single is None or not _is_fresh(single, at) or not _nonce_fits(response, nonce):
            return None
        if not _is_signed_for(response, issuer, at):
            return None
    except (*UNREADABLE, Malformed):
        return None
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        reason, at_time = single.revocation_reason, single.revocation_time_utc
        raise NotTrusted(
            "revoked_by_ocsp",
            "This certificate was revoked. Ask for a new one where you got it.",
            reason=reason.value if reason else UNSPECIFIED,
            revoked_at=at_time.isoformat() if at_time else None,
        )
    if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise NotTrusted(
            "status_unavailable", "The issuer does not know this certificate. Ask for help where you got it."
        )
    return OCSPAnswer(single.this_update_utc, single.next_update_utc)


def verify_crl(data: bytes, issuer: x509.Certificate, *, at: datetime) -> VerifiedCRL | None:
    """Return a CRL that is current, full, and signed with the issuer's key; None otherwise."""
    try:
        require_plain(data, LIST_BOUNDS)
        revocation_list = x509.load_der_x509_crl(data)
        this_update, next_update = revocation_list.last_update_utc, revocation_list.next_update_utc
        genuine = (
            revocation_list.issuer == issuer.subject
            and may_sign_lists(issuer)
            and isinstance(revocation_list.signature_hash_algorithm, STRONG_HASHES)
            and revocation_list.is_signature_valid(key_policy.check_issuer(issuer.public_key()))
            and _extensions_are_known(revocation_list, data)
        )
    except (*UNREADABLE, Malformed):
        return None
    if not genuine or next_update is None or not this_update - CLOCK_TOLERANCE <= at < next_update:
        return None
    return VerifiedCRL(data, revocation_list, spki_sha256(issuer), this_update, next_update)


def covers(found: VerifiedCRL, certificate: x509.Certificate, url: str) -> bool:
    """Say whether a CRL's scope has the certificate in it (RFC 5280 §6.3.3 (b))."""
    return _is_in_scope(found, url, authority=_is_authority(certificate))


def covers_cards(found: VerifiedCRL, url: str) -> bool:
    """Say whether a CRL's scope has the certificates of people in it, all of those that name its address."""
    return _is_in_scope(found, url, authority=False)


def _is_in_scope(found: VerifiedCRL, url: str, *, authority: bool) -> bool:
    try:
        point = found.revocation_list.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return True
    if point.indirect_crl or point.only_some_reasons is not None or point.only_contains_attribute_certs:
        return False
    if point.relative_name is not None:
        return False
    if point.full_name is not None and x509.UniformResourceIdentifier(url) not in point.full_name:
        return False
    return not (point.only_contains_ca_certs and not authority) and not (point.only_contains_user_certs and authority)


def require_not_listed(found: VerifiedCRL, certificate: x509.Certificate) -> None:
    """Raise `NotTrusted` `revoked_by_crl` for a certificate on the list, on hold included."""
    entry = entry_of(found.revocation_list, certificate.serial_number)
    if entry is not None:
        revoked = _revoked(entry)
        raise NotTrusted(
            "revoked_by_crl",
            "This certificate was revoked. Ask for a new one where you got it.",
            reason=revoked.reason,
            revoked_at=revoked.at.isoformat(),
        )


def revoked_serials(found: VerifiedCRL) -> Mapping[int, Revoked]:
    """Return all that a CRL lists, to be looked up many times."""
    return {entry.serial_number: _revoked(entry) for entry in found.revocation_list}


def _revoked(entry: x509.RevokedCertificate) -> Revoked:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except (*UNREADABLE, x509.ExtensionNotFound):
        reason = UNSPECIFIED
    return Revoked(reason, entry.revocation_date_utc)


def entry_of(revocation_list: x509.CertificateRevocationList, serial_number: int) -> x509.RevokedCertificate | None:
    """Return the entry of a serial number. The library's own search finds no negative one, which some have."""
    if serial_number > 0:
        return revocation_list.get_revoked_certificate_by_serial_number(serial_number)
    return next((entry for entry in revocation_list if entry.serial_number == serial_number), None)


def _matching(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> ocsp.OCSPSingleResponse | None:
    asked = ocsp.load_der_ocsp_request(ocsp_request(certificate, issuer, b"\x00"))
    for single in response.responses:
        if (
            single.serial_number == certificate.serial_number
            and isinstance(single.hash_algorithm, hashes.SHA1)
            and single.issuer_name_hash == asked.issuer_name_hash
            and single.issuer_key_hash == asked.issuer_key_hash
        ):
            return single
    return None


def _is_fresh(single: ocsp.OCSPSingleResponse, at: datetime) -> bool:
    if single.this_update_utc > at + CLOCK_TOLERANCE:
        return False
    ends = single.next_update_utc or single.this_update_utc + OCSP_AGE_WITHOUT_END
    return at < ends


def _nonce_fits(response: ocsp.OCSPResponse, nonce: bytes) -> bool:
    """Say whether the answer's nonce is ours; pre-signed answers have none (RFC 9654 §3)."""
    try:
        return response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
    except x509.ExtensionNotFound:
        return True


def _is_signed_for(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> bool:
    if not isinstance(response.signature_hash_algorithm, STRONG_HASHES):
        return False
    if any(extension.critical for extension in response.extensions):
        return False
    delegates = [found for found in response.certificates if _is_delegate(found, issuer, at)]
    return any(_verifies(response, signer) for signer in (issuer, *delegates))


def _is_delegate(candidate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> bool:
    """Say whether the issuer certified `candidate` for OCSP, with its own key and without need of a check."""
    if not candidate.not_valid_before_utc <= at <= candidate.not_valid_after_utc:
        return False
    try:
        candidate.verify_directly_issued_by(issuer)
        if not isinstance(candidate.signature_hash_algorithm, STRONG_HASHES):
            return False
        purposes = candidate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        candidate.extensions.get_extension_for_class(x509.OCSPNoCheck)
    except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in purposes


def _verifies(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    try:
        key = key_policy.check_issuer(signer.public_key())
        algorithm = response.signature_hash_algorithm
        if algorithm is None:
            return False
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        else:
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
    except (InvalidSignature, Malformed):
        return False
    return True


def may_sign_lists(issuer: x509.Certificate) -> bool:
    """Say whether a certificate's key usage, where it has one, lets it sign CRLs (RFC 5280 §6.3.3 (f))."""
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _extensions_are_known(revocation_list: x509.CertificateRevocationList, data: bytes) -> bool:
    """Refuse delta lists and critical extensions that are not understood, in the list or in any of its entries."""
    if any(found.critical and found.oid not in _KNOWN_CRITICAL for found in revocation_list.extensions):
        return False
    if any(found.oid == ExtensionOID.DELTA_CRL_INDICATOR for found in revocation_list.extensions):
        return False
    if data.count(MARK_OF_A_CRITICAL_EXTENSION) <= sum(found.critical for found in revocation_list.extensions):
        return True  # no entry has one, so that a long list need not be walked through
    return not any(found.critical for entry in revocation_list for found in entry.extensions)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
