# SPDX-License-Identifier: Apache-2.0
"""The certificates paths are built from, each read once by both libraries, and bounded before either looks at it."""

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pyhanko_certvalidator.authority import AuthorityWithCert, TrustAnchor, TrustQualifiers

from etymon.kernel.errors import DecodeError
from etymon.pki.certificate import LARGEST_CERTIFICATE_BYTES, UNREADABLE, to_der
from etymon.pki.errors import NotTrusted
from etymon.pki.names import LIBRARY_FAILURES, canonical
from etymon.wire import der

DEEPEST_NESTING: Final = 32
"""Levels of constructed elements in a certificate; real ones have about ten."""


class Node:
    """One certificate as a place in a path; names are compared by RFC 5280 §7.1, in the library's canonical form.

    The library's objects parse themselves while they are looked at, so that no two threads may share a node.
    """

    def __init__(self, certificate: x509.Certificate) -> None:
        """Raise `NotTrusted` for a certificate that is too large, too deep or cannot be read."""
        self.certificate = certificate
        self.der = to_der(certificate)
        self._signed_by: dict[bytes, bool] = {}
        if len(self.der) > LARGEST_CERTIFICATE_BYTES:
            raise NotTrusted(
                "certificate_too_large",
                f"A certificate of the path has more than {LARGEST_CERTIFICATE_BYTES} bytes. Leave it out.",
            )
        try:
            der.require_depth(self.der, DEEPEST_NESTING)
            self.parsed = asn1_x509.Certificate.load(self.der, strict=True)
            self.subject = canonical(certificate.subject)
            self.issuer = canonical(certificate.issuer)
            self.key: bytes = self.parsed.public_key.dump()
            self.key_identifier: bytes | None = self.parsed.key_identifier
            self.authority_key_identifier: bytes | None = self.parsed.authority_key_identifier
            self.extensions = certificate.extensions
        except DecodeError as exc:
            raise NotTrusted(exc.code, f"{exc.detail} Leave this certificate out.") from exc
        except (*LIBRARY_FAILURES, *UNREADABLE, RecursionError) as exc:
            raise NotTrusted("certificate_malformed", "A certificate of the path cannot be read.") from exc

    def may_be_issued_by(self, issuer: "Node") -> bool:
        """Say whether names and, where both have them, key identifiers allow it (RFC 5280 §4.2.1.1)."""
        if self.issuer != issuer.subject:
            return False
        named, has = self.authority_key_identifier, issuer.key_identifier
        return named is None or has is None or named == has

    def is_signed_by(self, issuer: "Node") -> bool:
        """Say whether the issuer's key signed this; True for kinds of keys that the walk refuses by name."""
        if issuer.key not in self._signed_by:
            self._signed_by[issuer.key] = self._verifies(issuer)
        return self._signed_by[issuer.key]

    def _verifies(self, issuer: "Node") -> bool:
        try:
            key = issuer.certificate.public_key()
            algorithm = self.certificate.signature_hash_algorithm
            signature, signed = self.certificate.signature, self.certificate.tbs_certificate_bytes
            parameters = self.certificate.signature_algorithm_parameters
            match key, parameters:
                case rsa.RSAPublicKey(), padding.PKCS1v15() | padding.PSS() if algorithm is not None:
                    key.verify(signature, signed, parameters, algorithm)
                case ec.EllipticCurvePublicKey(), ec.ECDSA():
                    key.verify(signature, signed, parameters)
        except InvalidSignature:
            return False
        except UNREADABLE:
            return True
        return True

    @cached_property
    def anchor(self) -> TrustAnchor:
        """This as an anchor that counts only while its own certificate is valid, which RFC 5280 leaves to us."""
        qualifiers = TrustQualifiers(
            valid_from=self.certificate.not_valid_before_utc, valid_until=self.certificate.not_valid_after_utc
        )
        return TrustAnchor(AuthorityWithCert(self.parsed), qualifiers)


@dataclass(frozen=True, slots=True)
class Material:
    """Anchors and intermediates, by the name of their subject."""

    anchors: dict[str, list[Node]]
    intermediates: dict[str, list[Node]]

    @classmethod
    def of(cls, anchors: Collection[x509.Certificate], intermediates: Collection[x509.Certificate]) -> "Material":
        """Read all; a certificate given twice counts once, and one that cannot be read not at all."""
        trusted = {to_der(found): found for found in anchors}
        others = {to_der(found): found for found in intermediates}
        return cls(
            _by_name(trusted.values()),
            _by_name(found for encoded, found in others.items() if encoded not in trusted),
        )

    def issuers(self, node: Node) -> Iterator[tuple[Node, bool]]:
        """Yield the certificates that may have issued `node`, anchors first, and whether each is an anchor."""
        for found in self.anchors.get(node.issuer, ()):
            if node.may_be_issued_by(found):
                yield found, True
        for found in self.intermediates.get(node.issuer, ()):
            if node.may_be_issued_by(found):
                yield found, False

    def named(self, name: str) -> tuple[Node, ...]:
        """Return all certificates of a subject."""
        return (*self.anchors.get(name, ()), *self.intermediates.get(name, ()))


def _by_name(certificates: Iterable[x509.Certificate]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for certificate in certificates:
        with contextlib.suppress(NotTrusted):
            node = Node(certificate)
            found.setdefault(node.subject, []).append(node)
    return found
