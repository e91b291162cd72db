# SPDX-License-Identifier: Apache-2.0
"""A phone as the issuer sees it: a device identity, a link key, and requests made once."""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from etymon.issuer.model import Purpose
from etymon.pki.algorithms import SignatureAlgorithm
from etymon.pki.certificate import spki, to_der
from etymon.pki.signer import SoftwareSigner
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import der, est
from support.ca_site import csr_der, rsa_key


@dataclass
class Phone:
    """A phone: its device identity, its link key, and what it was given."""

    device: x509.Certificate | None
    device_key: ec.EllipticCurvePrivateKey | None = None
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    bodies: dict[Purpose, bytes] = field(default_factory=dict)
    keys: dict[Purpose, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = field(default_factory=dict)

    @property
    def peer(self) -> PeerCertificate | None:
        return PeerCertificate(to_der(self.device)) if self.device else None

    @property
    def spki(self) -> bytes:
        return spki(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Sign with the link key as link.md says."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(message, ec.ECDSA(SoftwareSigner(self.key).algorithm.hash()))

    def body(self, purpose: Purpose) -> bytes:
        """Return the phone's EST request for a purpose, made once."""
        if purpose not in self.bodies:
            if purpose is Purpose.ENCRYPTION:
                transport = rsa_key()
                assert isinstance(transport, rsa.RSAPrivateKey)
                self.keys[purpose] = transport
                self.bodies[purpose] = est.encode_body(transport_csr(transport))
            else:
                own = self.key if purpose is Purpose.AUTHENTICATION else ec.generate_private_key(ec.SECP256R1())
                self.keys[purpose] = own
                self.bodies[purpose] = est.encode_body(csr_der(own))
        return self.bodies[purpose]


def transport_csr(key: rsa.RSAPrivateKey, identifier: bytes | None = None) -> bytes:
    """Return a request that names its key by identifier."""
    named = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest if identifier is None else identifier
    attribute = est.decrypt_key_identifier_attribute(named)
    information = der.sequence(der.integer(0), der.sequence(), spki(key.public_key()), der.encode(0xA0, attribute))
    signature = key.sign(information, padding.PKCS1v15(), hashes.SHA256())
    return der.sequence(information, SignatureAlgorithm.SHA256_RSA.identifier(), der.bit_string(signature))
