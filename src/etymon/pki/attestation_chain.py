# SPDX-License-Identifier: Apache-2.0
"""The certificates under an attested key, judged against roots that somebody named; leaf first, as devices send them.

Roots are trusted by their public key: one key is in several certificates, and devices carry the one they were made
with. Dates of a root and of the leaf, which comes from the device's clock, say nothing.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from etymon.kernel.errors import DecodeError, Malformed, NotPermitted
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.certificate import UNREADABLE, load_der, public_key, spki
from etymon.wire import der, key_description
from etymon.wire.key_description import KeyDescription

FEWEST: Final = 3
MOST: Final = 8
LARGEST_CERTIFICATE_BYTES: Final = 8 * 1024 + 4096
"""A whole key description, and room for the rest of a certificate."""
LARGEST_CHAIN_BYTES: Final = 32 * 1024
"""All its certificates together: what fits, in base64, into the body of a redemption."""

_EXTENSIONS: Final = 0xA3
_BASIC_CONSTRAINTS: Final = "2.5.29.19"


class NotAttested(NotPermitted):
    """A key attestation was judged, and the answer is no.

    Codes: `attestation_malformed`, `attestation_chain_length`, `attestation_untrusted_root`,
    `attestation_path_invalid`, `attestation_expired`, `attestation_not_yet_valid`, `attestation_revoked`,
    `attestation_misplaced` and, of what it says (`key_attestation`), `attestation_wrong_key`,
    `attestation_wrong_challenge`, `attestation_key_mismatch`, `attestation_not_generated`,
    `attestation_wrong_purpose`, `attestation_all_applications`, `attestation_security_level`,
    `attestation_boot_state`, and of several keys of one device `attestation_other_device`.
    """

    default_code = "attestation_path_invalid"


@dataclass(frozen=True, slots=True)
class AttestationTrust:
    """Who may attest keys. `status` is None where no list of revoked attestation keys is known."""

    roots: tuple[x509.Certificate, ...]
    status: AttestationStatusList | None = None


@dataclass(frozen=True, slots=True)
class AttestedChain:
    """A chain that holds: whose key it attests, and what it says of it."""

    leaf: x509.Certificate
    description: KeyDescription


def verify(encoded: Sequence[bytes], trust: AttestationTrust, at: datetime) -> AttestedChain:
    """Judge a chain of DER certificates, leaf first, at a moment; raises `NotAttested`."""
    chain = _read(encoded)
    _require_root(chain, trust.roots)
    for subject, issuer in pairwise(chain):
        _require_issued(subject, issuer)
    _require_dates(chain, at)
    if trust.status is not None and any(map(trust.status.names, chain)):
        raise NotAttested("attestation_revoked", "A key under the attestation is revoked or suspended by its maker.")
    return AttestedChain(chain[0], _only_description(chain))


def read(encoded: Sequence[bytes]) -> AttestedChain:
    """Return what a chain says that was judged before, leaf first. Judges nothing; raises `NotAttested` for garbage."""
    chain = _read(encoded)
    return AttestedChain(chain[0], _only_description(chain))


def _read(encoded: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    if not FEWEST <= len(encoded) <= MOST:
        raise NotAttested(
            "attestation_chain_length", f"An attestation has {FEWEST} to {MOST} certificates, its root included."
        )
    if sum(map(len, encoded)) > LARGEST_CHAIN_BYTES:
        raise NotAttested("attestation_malformed", f"An attestation has at most {LARGEST_CHAIN_BYTES} bytes in all.")
    if max(map(len, encoded)) > LARGEST_CERTIFICATE_BYTES:
        raise NotAttested(
            "attestation_malformed", f"A certificate of an attestation has at most {LARGEST_CERTIFICATE_BYTES} bytes."
        )
    try:
        chain = tuple(map(load_der, encoded))
        for certificate in chain:
            public_key(certificate)
    except Malformed as exc:
        raise NotAttested("attestation_malformed", f"The attestation cannot be read. {exc.detail}") from exc
    return chain


def _require_root(chain: Sequence[x509.Certificate], roots: Collection[x509.Certificate]) -> None:
    last = chain[-1]
    if last.issuer != last.subject or spki(last) not in {spki(root) for root in roots}:
        raise NotAttested(
            "attestation_untrusted_root",
            "The attestation does not end in a root that is trusted here. The administrator names the roots.",
        )


def _require_issued(subject: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        subject.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature) as exc:
        raise NotAttested("attestation_path_invalid", "A certificate is not signed by the one after it.") from exc
    if not _is_authority(issuer):
        raise NotAttested("attestation_path_invalid", "A certificate is signed by one that is no authority.")


def _require_dates(chain: Sequence[x509.Certificate], at: datetime) -> None:
    """Judge the dates between root and leaf. Keys made in a factory cannot be replaced: their end is no reason."""
    from_factory = bool(chain[1].subject.get_attributes_for_oid(NameOID.TITLE))
    for certificate in chain[1:-1]:
        if at < certificate.not_valid_before_utc:
            raise NotAttested("attestation_not_yet_valid", "A certificate under the attestation is not valid yet.")
        if at > certificate.not_valid_after_utc and not from_factory:
            raise NotAttested("attestation_expired", "The attesting key's certificate has expired. Make a new key.")


def _only_description(chain: Sequence[x509.Certificate]) -> KeyDescription:
    """Return what the leaf says. An attested key may sign more certificates: what is below one proves nothing."""
    try:
        found = [_extension(certificate, key_description.EXTENSION) for certificate in chain]
        if found[0] is None or any(value is not None for value in found[1:]):
            raise NotAttested(
                "attestation_misplaced", "Exactly the first certificate of an attestation says what key it is for."
            )
        return key_description.decode(found[0])
    except DecodeError as exc:
        raise NotAttested("attestation_malformed", exc.detail) from exc


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        value = _extension(certificate, _BASIC_CONSTRAINTS)
        members = der.elements(der.only(value, der.SEQUENCE).content) if value is not None else ()
    except DecodeError:
        return False
    return bool(members) and members[0].tag == der.BOOLEAN and members[0].content == b"\xff"


def _extension(certificate: x509.Certificate, oid: str) -> bytes | None:
    """Return the value of an extension; a device's other extensions may be such as no library reads."""
    values = [value for name, value in _extensions(certificate) if name == oid]
    if len(values) > 1:
        raise DecodeError("attestation_malformed", "An extension comes twice.")
    return values[0] if values else None


def _extensions(certificate: x509.Certificate) -> Iterator[tuple[str, bytes]]:
    for member in der.elements(der.only(certificate.tbs_certificate_bytes, der.SEQUENCE).content):
        if member.tag == _EXTENSIONS:
            for each in der.elements(der.only(member.content, der.SEQUENCE).content):
                parts = der.elements(der.expect(each, der.SEQUENCE).content)
                if not 2 <= len(parts) <= 3:
                    raise DecodeError("attestation_malformed", "An extension has a name and a value.")
                yield der.to_object_identifier(parts[0]), der.expect(parts[-1], der.OCTET_STRING).content
