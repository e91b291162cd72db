# SPDX-License-Identifier: Apache-2.0
"""pkiMessage: SignedData with SCEP's attributes around an envelope (RFC 8894 §3.2, RFC 5652 §5).

Pure: the signature over `attributes` is made and verified elsewhere. What outside programs send is read leniently: BER,
a signer named by issuer and number or by key identifier, a signer's certificate that strict readers would refuse.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from etymon.kernel.errors import DecodeError, TooLarge
from etymon.wire import ber, cms, der, pkcs10
from etymon.wire.der import Element
from etymon.wire.scep import MESSAGE_LIMIT_BYTES, FailInfo, MessageType, PKIStatus

MESSAGE_TYPE: Final = "2.16.840.1.113733.1.9.2"
PKI_STATUS: Final = "2.16.840.1.113733.1.9.3"
FAIL_INFO: Final = "2.16.840.1.113733.1.9.4"
SENDER_NONCE: Final = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE: Final = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID: Final = "2.16.840.1.113733.1.9.7"
FAIL_INFO_TEXT: Final = "1.3.6.1.5.5.7.24.1"
CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"

RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
MD5: Final = "1.2.840.113549.2.5"
SHA1: Final = "1.3.14.3.2.26"
SHA256: Final = "2.16.840.1.101.3.4.2.1"
SHA384: Final = "2.16.840.1.101.3.4.2.2"
SHA512: Final = "2.16.840.1.101.3.4.2.3"
DIGESTS: Final = {SHA1: "sha1", SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
"""Hash functions whose digests are compared; which of them count is decided elsewhere."""

LONGEST_TRANSACTION_ID: Final = 255
LONGEST_NONCE: Final = 64
"""RFC 8894 §3.2.1.5 says 16; a client in use sends 32."""
MOST_ATTRIBUTES: Final = 32
MOST_CERTIFICATES: Final = 8

_PRINTABLE_STRING: Final = 0x13
_UTF8_STRING: Final = 0x0C
_CONTEXT_0: Final = 0xA0
_CONTEXT_1: Final = 0xA1
_KEY_IDENTIFIER: Final = 0x80
_SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"


@dataclass(frozen=True, slots=True)
class SignerCertificate:
    """The certificate a message was signed with, as far as it is needed; strict readers may refuse `der`."""

    der: bytes = field(repr=False)
    issuer: bytes
    """The issuer's name as DER."""
    serial_number: bytes
    """The encoded INTEGER, as it was written."""
    public_key: bytes = field(repr=False)
    """The SubjectPublicKeyInfo."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """SCEP's signed attributes. `transaction_id` travels back byte for byte; it is no number and no key."""

    message_type: str
    transaction_id: bytes
    sender_nonce: bytes = b""
    recipient_nonce: bytes = b""
    status: PKIStatus | None = None
    fail_info: FailInfo | None = None
    fail_info_text: str = ""


@dataclass(frozen=True, slots=True)
class PKIMessage:
    """One message as it was read; `content` is the envelope, empty where there is none.

    Nothing was verified: not the signature over `signed`, and `is_whole` says whether the signed digest is the
    content's. A digest function that is not in `DIGESTS` is never whole.
    """

    attributes: Attributes
    content: bytes = field(repr=False)
    digest: str
    algorithm: str
    signed: bytes = field(repr=False)
    """The signed attributes as they are signed: a SET OF (RFC 5652 §5.4)."""
    signature: bytes = field(repr=False)
    signer: SignerCertificate
    is_whole: bool


def signed_attributes(attributes: Attributes, content: bytes, digest: str) -> bytes:
    """Return what is signed: the SET OF content type, digest and SCEP's attributes."""
    hashed = hashlib.new(DIGESTS[digest], content).digest()
    values = {
        CONTENT_TYPE: der.object_identifier(cms.DATA),
        MESSAGE_DIGEST: der.octet_string(hashed),
        MESSAGE_TYPE: _printable(attributes.message_type),
        TRANSACTION_ID: der.encode(_PRINTABLE_STRING, attributes.transaction_id),
    }
    if attributes.status is not None:
        values[PKI_STATUS] = _printable(attributes.status)
    if attributes.fail_info is not None:
        values[FAIL_INFO] = _printable(attributes.fail_info)
    if attributes.fail_info_text:
        values[FAIL_INFO_TEXT] = der.encode(_UTF8_STRING, attributes.fail_info_text.encode())
    if attributes.sender_nonce:
        values[SENDER_NONCE] = der.octet_string(attributes.sender_nonce)
    if attributes.recipient_nonce:
        values[RECIPIENT_NONCE] = der.octet_string(attributes.recipient_nonce)
    encoded = (der.sequence(der.object_identifier(name), der.encode(der.SET, value)) for name, value in values.items())
    return der.encode(der.SET, b"".join(sorted(encoded)))


def encode(signed: bytes, content: bytes, *, digest: str, signature: bytes, signer: bytes, carried: bytes) -> bytes:
    """Return a message; `signer` is an encoded IssuerAndSerialNumber, `carried` the signer's certificate.

    The signature's algorithm is written as rsaEncryption: a client in use refuses the other name (RFC 5754 §3.2).
    """
    algorithm = der.sequence(der.object_identifier(digest), der.null())
    signer_info = der.sequence(
        der.integer(1),
        signer,
        algorithm,
        der.encode(_CONTEXT_0, der.only(signed, der.SET).content),
        der.sequence(der.object_identifier(RSA_ENCRYPTION), der.null()),
        der.octet_string(signature),
    )
    carries = der.explicit(0, der.octet_string(content)) if content else b""
    signed_data = der.sequence(
        der.integer(1),
        der.encode(der.SET, algorithm),
        der.sequence(der.object_identifier(cms.DATA), carries),
        der.encode(_CONTEXT_0, carried),
        der.encode(der.SET, signer_info),
    )
    return der.sequence(der.object_identifier(cms.SIGNED_DATA), der.explicit(0, signed_data))


def decode(data: bytes) -> PKIMessage:
    """Read a message. Without type, transaction and nonce it cannot be answered as SCEP: `DecodeError`."""
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise TooLarge("message_too_large", f"A message has at most {MESSAGE_LIMIT_BYTES} bytes.")
    version, _, encapsulated, *rest = _signed_data(ber.definite(data))
    if der.to_integer(version) not in {1, 3}:
        raise _malformed()
    certificates: tuple[Element, ...] = ()
    if rest and rest[0].tag == _CONTEXT_0:
        certificates = der.elements(rest.pop(0).content)
    if rest and rest[0].tag == _CONTEXT_1:  # CRLs, which nobody asked for
        rest.pop(0)
    signers = der.elements(der.expect(rest[0], der.SET).content) if len(rest) == 1 else ()
    if len(signers) != 1 or not 1 <= len(certificates) <= MOST_CERTIFICATES:
        raise _malformed()
    return _message(signers[0], _content(encapsulated), [signer_certificate(each.encoded) for each in certificates])


def signer_certificate(encoded: bytes) -> SignerCertificate:
    """Read what is needed of a certificate, whatever its extensions say."""
    parts = der.elements(der.only(encoded, der.SEQUENCE).content)
    fields = list(der.elements(der.expect(parts[0], der.SEQUENCE).content)) if len(parts) == 3 else []
    if fields and fields[0].tag == _CONTEXT_0:
        fields.pop(0)
    if len(fields) < 6:
        raise _malformed()
    return SignerCertificate(
        der=encoded,
        issuer=der.expect(fields[2], der.SEQUENCE).encoded,
        serial_number=der.expect(fields[0], der.INTEGER).encoded,
        public_key=der.expect(fields[5], der.SEQUENCE).encoded,
    )


def _signed_data(data: bytes) -> tuple[Element, ...]:
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 2 or der.to_object_identifier(parts[0]) != cms.SIGNED_DATA:
        raise _malformed()
    members = der.elements(der.only(der.expect(parts[1], _CONTEXT_0).content, der.SEQUENCE).content)
    if len(members) < 4:
        raise _malformed()
    return members


def _content(encapsulated: Element) -> bytes:
    parts = der.elements(der.expect(encapsulated, der.SEQUENCE).content)
    if not 1 <= len(parts) <= 2 or der.to_object_identifier(parts[0]) != cms.DATA:
        raise _malformed()
    return der.only(der.expect(parts[1], _CONTEXT_0).content, der.OCTET_STRING).content if len(parts) == 2 else b""


def _message(signer_info: Element, content: bytes, certificates: list[SignerCertificate]) -> PKIMessage:
    parts = der.elements(der.expect(signer_info, der.SEQUENCE).content)
    if not 6 <= len(parts) <= 7 or der.to_integer(parts[0]) not in {1, 3}:
        raise _malformed()
    digest = _algorithm(parts[2])
    signed = der.expect(parts[3], _CONTEXT_0).content
    values = _values(signed)
    if values.get(CONTENT_TYPE) is None or values[CONTENT_TYPE].encoded != der.object_identifier(cms.DATA):
        raise _malformed()
    hashed = hashlib.new(DIGESTS[digest], content).digest() if digest in DIGESTS else None
    claimed = values.get(MESSAGE_DIGEST)
    return PKIMessage(
        attributes=_attributes(values),
        content=content,
        digest=digest,
        algorithm=_algorithm(parts[4]),
        signed=der.encode(der.SET, signed),
        signature=der.expect(parts[5], der.OCTET_STRING).content,
        signer=_signer(parts[1], certificates),
        is_whole=hashed is not None and claimed is not None and hmac.compare_digest(claimed.content, hashed),
    )


def _signer(identifier: Element, certificates: list[SignerCertificate]) -> SignerCertificate:
    """Return the certificate that a SignerIdentifier names; whether it signed shows when the signature is verified."""
    if identifier.tag == _KEY_IDENTIFIER:
        if len(certificates) == 1:  # its identifier may be a hash of the client's own choice
            return certificates[0]
        wanted = der.sequence(
            der.object_identifier(_SUBJECT_KEY_IDENTIFIER), der.octet_string(der.octet_string(identifier.content))
        )
        named = [certificate for certificate in certificates if wanted in certificate.der]
    else:
        parts = der.elements(der.expect(identifier, der.SEQUENCE).content)
        named = [
            certificate
            for certificate in certificates
            if len(parts) == 2
            and (certificate.issuer, certificate.serial_number) == (parts[0].encoded, parts[1].encoded)
        ]
    if len(named) != 1:
        raise _malformed()
    return named[0]


def _attributes(values: dict[str, Element]) -> Attributes:
    try:
        transaction, nonce = values[TRANSACTION_ID].content, values[SENDER_NONCE].content
        message_type = pkcs10.text(values[MESSAGE_TYPE])
        status = PKIStatus(pkcs10.text(values[PKI_STATUS])) if PKI_STATUS in values else None
        fail_info = FailInfo(pkcs10.text(values[FAIL_INFO])) if FAIL_INFO in values else None
    except (KeyError, ValueError) as exc:
        raise _malformed() from exc
    recipient = values[RECIPIENT_NONCE].content if RECIPIENT_NONCE in values else b""
    if not 0 < len(transaction) <= LONGEST_TRANSACTION_ID or not 0 < len(nonce) <= LONGEST_NONCE:
        raise _malformed()
    if len(recipient) > LONGEST_NONCE or len(message_type) > len(MessageType.PKCS_REQ):
        raise _malformed()
    told = pkcs10.text(values[FAIL_INFO_TEXT]) if FAIL_INFO_TEXT in values else ""
    return Attributes(message_type, transaction, nonce, recipient, status, fail_info, told)


def _values(signed: bytes) -> dict[str, Element]:
    found: dict[str, Element] = {}
    elements = der.elements(signed)
    if len(elements) > MOST_ATTRIBUTES:
        raise _malformed()
    for element in elements:
        parts = der.elements(der.expect(element, der.SEQUENCE).content)
        if len(parts) != 2:
            raise _malformed()
        name, values = der.to_object_identifier(parts[0]), der.elements(der.expect(parts[1], der.SET).content)
        if name in found or not values:
            raise _malformed()
        found[name] = values[0]
    return found


def _algorithm(element: Element) -> str:
    parts = der.elements(der.expect(element, der.SEQUENCE).content)
    if not parts:
        raise _malformed()
    return der.to_object_identifier(parts[0])


def _printable(value: str) -> bytes:
    return der.encode(_PRINTABLE_STRING, value.encode("ascii"))


def _malformed() -> DecodeError:
    return DecodeError("pki_message_malformed", "The message is not a pkiMessage of SCEP (RFC 8894).")
