# SPDX-License-Identifier: Apache-2.0
"""The card issuer's signatures on the CHUID and the security object, made and checked.

Source: SP 800-73-5 part 1 §3.1.2 and §3.1.7, SP 800-78-5 §5. Checking here says that the object is whole and
signed by the certificate in it; whether that certificate is to be trusted is path validation's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card import certificates
from etymon.card.external_key import ExternalKey, sign, usual_scheme
from etymon.kernel.errors import Malformed, NotPermitted
from etymon.kernel.secret import same
from etymon.wire import piv_signature
from etymon.wire.piv import CONTAINER_IDS
from etymon.wire.piv_objects import CHUID, SecurityObject, chuid_signed_content, decode_chuid
from etymon.wire.piv_signature import CHUID_CONTENT_TYPE, LDS_CONTENT_TYPE, ObjectSignature

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}


@dataclass(frozen=True, slots=True)
class ContentSigner:
    """The content signing certificate of a card issuer and its key."""

    certificate: x509.Certificate
    key: ExternalKey

    def __post_init__(self) -> None:
        if self.certificate.public_key() != self.key.public_key:
            raise Malformed("content_signer", "The content signing certificate is for another key.")


def sign_chuid(chuid: CHUID, signer: ContentSigner) -> CHUID:
    """Return the CHUID with its issuer's detached signature and the signer's certificate in it."""
    content = chuid.signed_content()
    return replace(chuid, signature=_sign(CHUID_CONTENT_TYPE, content, signer, detached=True))


def security_object(objects: Mapping[int, bytes], signer: ContentSigner) -> SecurityObject:
    """Return the signed hashes over the contents of data objects, given by tag, in that order.

    The signer's certificate is left out: it is in the CHUID.
    """
    containers = {number: CONTAINER_IDS[tag] for number, tag in enumerate(objects, start=1)}
    name = usual_scheme(signer.key.public_key).hash.name
    digests = {number: _digest(name, content) for number, content in enumerate(objects.values(), start=1)}
    lds = piv_signature.encode_lds_security_object(name, digests)
    return SecurityObject(containers, _sign(LDS_CONTENT_TYPE, lds, signer, detached=False))


def verify_chuid(content: bytes) -> x509.Certificate:
    """Check a CHUID's signature as read from a card; returns the content signer's certificate, not yet trusted."""
    signature = piv_signature.decode(decode_chuid(content).signature)
    if signature.content_type != CHUID_CONTENT_TYPE or signature.content is not None:
        raise Malformed("chuid_signature", "The CHUID's signature is not a detached one over a CHUID.")
    if signature.certificate is None:
        raise Malformed("chuid_signature", "The CHUID's signature brings no certificate.")
    certificate = certificates.read(signature.certificate)
    _verify(signature, chuid_signed_content(content), certificate)
    return certificate


def verify_security_object(
    security: SecurityObject, objects: Mapping[int, bytes], signer: x509.Certificate
) -> frozenset[int]:
    """Check a security object against data objects' contents by tag; returns the tags it covers.

    Raises when an object that it names is missing or was changed.
    """
    signature = piv_signature.decode(security.signature)
    if signature.content_type != LDS_CONTENT_TYPE or signature.content is None:
        raise Malformed("security_object", "The security object signs no hashes.")
    _verify(signature, signature.content, signer)
    name, digests = piv_signature.decode_lds_security_object(signature.content)
    tags = {container: tag for tag, container in CONTAINER_IDS.items()}
    covered: set[int] = set()
    for number, digest in digests.items():
        tag = tags.get(security.containers.get(number, -1))
        if tag is None or tag not in objects or not same(_digest(name, objects[tag]), digest):
            raise NotPermitted("object_changed", "A data object is not the one its issuer signed.", group=number)
        covered.add(tag)
    return frozenset(covered)


def _sign(content_type: str, content: bytes, signer: ContentSigner, *, detached: bool) -> bytes:
    scheme = usual_scheme(signer.key.public_key)
    is_rsa = isinstance(signer.key.public_key, rsa.RSAPublicKey)
    attributes = piv_signature.signed_attributes(
        content_type=content_type,
        message_digest=_digest(scheme.hash.name, content),
        signer_name=signer.certificate.subject.public_bytes(),
    )
    return piv_signature.signed_data(
        content_type=content_type,
        content=None if detached else content,
        attributes=attributes,
        signer_certificate=signer.certificate.public_bytes(Encoding.DER),
        with_certificate=detached,
        digest_algorithm=scheme.hash.name,
        signature_algorithm="rsassa_pkcs1v15" if is_rsa else f"{scheme.hash.name}_ecdsa",
        signature=sign(signer.key, attributes, scheme),
    )


def _verify(signature: ObjectSignature, content: bytes, certificate: x509.Certificate) -> None:
    refused = NotPermitted("object_signature", "The object's signature is not its issuer's.")
    if not same(signature.message_digest, _digest(signature.digest_algorithm, content)):
        raise refused
    names = (certificate.issuer.public_bytes(), certificate.serial_number)
    if (signature.issuer, signature.serial_number) != names:
        raise refused
    if signature.signer_name != certificate.subject.public_bytes():
        raise refused
    key, digest = certificate.public_key(), _HASHES[signature.digest_algorithm]
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    rsa_padding = pss if signature.signature_algorithm == "rsassa_pss" else padding.PKCS1v15()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.signature, signature.signed_attributes, rsa_padding, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature.signature, signature.signed_attributes, ec.ECDSA(digest))
        else:
            raise refused
    except InvalidSignature as exc:
        raise refused from exc


def _digest(name: str, content: bytes) -> bytes:
    digest = hashes.Hash(_HASHES[name])
    digest.update(content)
    return digest.finalize()
