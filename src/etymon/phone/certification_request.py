# SPDX-License-Identifier: Apache-2.0
"""Certification requests (PKCS #10, RFC 2986) signed by a key that stays in its store."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.card.external_key import ExternalKey, SignatureScheme, sign
from etymon.pki.algorithms import default_signature_algorithm, key_type
from etymon.pki.certificate import spki
from etymon.wire import der

_VERSION_1 = 0


def certification_request(key: ExternalKey, common_name: str, *attributes: bytes) -> bytes:
    """Return a DER request for `key`, with DER attributes in any order; the issuer ignores the name."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    information = der.sequence(
        der.integer(_VERSION_1), subject.public_bytes(), spki(key.public_key), der.explicit(0, *sorted(attributes))
    )
    algorithm = default_signature_algorithm(key_type(key.public_key))
    signature = sign(key, information, SignatureScheme(algorithm.hash()))
    return der.sequence(information, algorithm.identifier(), der.bit_string(signature))
