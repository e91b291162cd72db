# SPDX-License-Identifier: Apache-2.0
"""The encryption key: escrow makes and keeps it before it is certified; a transport key of the phone carries it."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.escrow import delivery, deposit
from etymon.escrow.model import GeneratedKey
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import issuance_unfinished
from etymon.issuer.model import Credential, Derivation
from etymon.kernel.errors import Malformed
from etymon.pki import key_policy
from etymon.pki.algorithms import KeyType
from etymon.pki.csr import ProvenCSR
from etymon.wire import est


def transport_key(proven: ProvenCSR) -> rsa.RSAPublicKey:
    """Return the key a server-made key is enveloped to (RFC 7030 §4.4.1.2); the request must name it itself."""
    key = proven.public_key
    if not isinstance(key, rsa.RSAPublicKey):
        raise Malformed("transport_key", "The transport key is an RSA key of 2048 bits or more.")
    named = est.decrypt_key_identifier(proven.der)
    if named != x509.SubjectKeyIdentifier.from_public_key(key).digest:
        raise Malformed(
            "transport_key", "AsymmetricDecryptKeyIdentifier is the transport key's subject key identifier."
        )
    return key


def generate(
    deps: Dependencies, derivation: Derivation, transport: rsa.RSAPublicKey, key_type: KeyType
) -> GeneratedKey:
    """Return a new key that the transport key can carry. Slow: call it outside transactions, and once it is needed."""
    generated = deposit.generate(deps.escrow, person_id=derivation.person, key_type=key_type)
    delivery.check_transport_key(transport, carries_bits=generated.public_key.key_size)
    key_policy.check_for_certification(generated.public_key)  # slow once for a key, so before its transaction
    return generated


def enveloped(
    deps: Dependencies, credential: Credential, transport: rsa.RSAPublicKey, *, reason: str, source: str
) -> bytes:
    """Return the key of an issued encryption credential in CMS to the transport key; its owner is told."""
    if credential.escrowed_key is None:
        raise issuance_unfinished()
    return deposit.release_to_transport_key(
        deps.escrow,
        credential.escrowed_key,
        transport,
        owner=credential.person,
        reason=reason,
        actor=f"person:{credential.person}",
        source=source,
    )
