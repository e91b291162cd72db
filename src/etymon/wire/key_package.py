# SPDX-License-Identifier: Apache-2.0
"""A private key on its way: AsymmetricKeyPackage, signed, enveloped (RFC 5958; RFC 7030 §4.4.2; RFC 5652).

Pure: who signs, enciphers and verifies hands the results in, or takes what they are made over from here. One form is
written, and on reading only what a receiver of it needs is accepted: RSAES-OAEP with SHA-256 to a subject key
identifier, AES-256-CBC, one signer with signed attributes. What is enveloped is a whole ContentInfo, so that one CMS
tool reads what another has deciphered; a bare SignedData is read as well (RFC 5652 §6.1 can be taken either way).
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import der
from etymon.wire.der import Element

LIMIT_BYTES: Final = 64 * 1024

DATA: Final = "1.2.840.113549.1.7.1"
SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
ENVELOPED_DATA: Final = "1.2.840.113549.1.7.3"
KEY_PACKAGE: Final = "2.16.840.1.101.2.1.2.78.5"
"""id-ct-KP-aKeyPackage (RFC 5958 §2)."""

CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"

RSAES_OAEP: Final = "1.2.840.113549.1.1.7"
MGF1: Final = "1.2.840.113549.1.1.8"
AES_256_CBC: Final = "2.16.840.1.101.3.4.1.42"
SHA256: Final = "2.16.840.1.101.3.4.2.1"
SHA384: Final = "2.16.840.1.101.3.4.2.2"
DIGESTS: Final = {SHA256: "sha256", SHA384: "sha384"}

_CONTEXT_0: Final = 0xA0
_CONTEXT_1: Final = 0xA1
_CONTEXT_0_PRIMITIVE: Final = 0x80
_OAEP_SHA256: Final = der.sequence(
    der.explicit(0, der.sequence(der.object_identifier(SHA256), der.null())),
    der.explicit(
        1,
        der.sequence(der.object_identifier(MGF1), der.sequence(der.object_identifier(SHA256), der.null())),
    ),
)
"""RSAES-OAEP-params with SHA-256 in both places and no label (RFC 4055 §4.1)."""
_BARE_SHA256: Final = der.sequence(der.object_identifier(SHA256))
_OAEP_SHA256_WITHOUT_NULL: Final = der.sequence(
    der.explicit(0, _BARE_SHA256), der.explicit(1, der.sequence(der.object_identifier(MGF1), _BARE_SHA256))
)


@dataclass(frozen=True, slots=True)
class Enveloped:
    """Content for the holder of one RSA key; `ciphertext` is AES-256-CBC with PKCS #7 padding."""

    recipient: bytes
    """The RSA key's subject key identifier."""
    encrypted_key: bytes
    initialization_vector: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A package under one signature, which is over `attributes`; those hold the package's digest, already compared."""

    package: bytes
    digest: str
    """OID of the hash function, one of `DIGESTS`."""
    attributes: bytes
    """The signed attributes as they are signed: a SET OF (RFC 5652 §5.4)."""
    algorithm: str
    """OID of the signature algorithm; `rsaEncryption` leaves the hash function to `digest` (RFC 5754 §3.2)."""
    signature: bytes
    signer: bytes
    """The encoded SignerIdentifier."""
    certificates: tuple[bytes, ...]


def encode_package(keys: Sequence[bytes]) -> bytes:
    """Return an AsymmetricKeyPackage of OneAsymmetricKey values; a PKCS #8 PrivateKeyInfo is one of version 1."""
    if not keys:
        message = "a key package holds at least one key"
        raise ValueError(message)
    return der.sequence(*keys)


def decode_package(package: bytes) -> tuple[bytes, ...]:
    """Read the OneAsymmetricKey values of a package."""
    _check_size(package)
    keys = der.elements(der.only(package, der.SEQUENCE).content)
    for key in keys:
        parts = der.elements(der.expect(key, der.SEQUENCE).content)
        if len(parts) < 3 or der.to_integer(parts[0]) not in {0, 1} or parts[2].tag != der.OCTET_STRING:
            raise _malformed()
    if not keys:
        raise _malformed()
    return tuple(key.encoded for key in keys)


def signed_attributes(package: bytes, digest: str, signed_at: datetime) -> bytes:
    """Return what is signed: the SET OF content type, message digest and signing time (RFC 5652 §5.3)."""
    hashed = hashlib.new(DIGESTS[digest], package).digest()
    return _set_of(
        _attribute(CONTENT_TYPE, der.object_identifier(KEY_PACKAGE)),
        _attribute(MESSAGE_DIGEST, der.octet_string(hashed)),
        _attribute(SIGNING_TIME, der.time(signed_at)),
    )


def issuer_and_serial_number(issuer: bytes, serial_number: int) -> bytes:
    """Return the SignerIdentifier of a certificate by the DER of its issuer's name and its number."""
    return der.sequence(issuer, der.integer(serial_number))


def encode_signed(signed: Signed, *, algorithm: bytes) -> bytes:
    """Return the ContentInfo of SignedData; `algorithm` is the encoded AlgorithmIdentifier of the signature."""
    digest = der.sequence(der.object_identifier(signed.digest))
    signer_info = der.sequence(
        der.integer(1),
        signed.signer,
        digest,
        der.encode(_CONTEXT_0, der.only(signed.attributes, der.SET).content),
        algorithm,
        der.octet_string(signed.signature),
    )
    content = der.sequence(der.object_identifier(KEY_PACKAGE), der.explicit(0, der.octet_string(signed.package)))
    certificates = der.encode(_CONTEXT_0, b"".join(sorted(signed.certificates)))
    signed_data = der.sequence(der.integer(3), _set_of(digest), content, certificates, _set_of(signer_info))
    return der.sequence(der.object_identifier(SIGNED_DATA), der.explicit(0, signed_data))


def decode_signed(data: bytes) -> Signed:
    """Read SignedData over a key package by one signer; its signature is left to be verified."""
    _check_size(data)
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if parts and parts[0].tag == der.OBJECT_IDENTIFIER:
        parts = der.elements(_explicit_sequence(_content(parts, {SIGNED_DATA}), _CONTEXT_0))
    if len(parts) < 4 or der.to_integer(parts[0]) not in {1, 3}:
        raise _malformed()
    _, _, encapsulated, *rest = parts
    package = der.only(
        _explicit(_content(der.elements(der.expect(encapsulated, der.SEQUENCE).content), {KEY_PACKAGE}), _CONTEXT_0),
        der.OCTET_STRING,
    )
    certificates: tuple[bytes, ...] = ()
    if rest[0].tag == _CONTEXT_0:
        certificates = tuple(der.expect(element, der.SEQUENCE).encoded for element in der.elements(rest.pop(0).content))
    if rest and rest[0].tag == _CONTEXT_1:  # CRLs, which nobody asked for
        rest.pop(0)
    if len(rest) != 1:
        raise _malformed()
    signers = der.elements(der.expect(rest[0], der.SET).content)
    if len(signers) != 1:
        raise _malformed()
    return _signed(signers[0], package.content, certificates)


def encode_enveloped(enveloped: Enveloped) -> bytes:
    """Return the ContentInfo of EnvelopedData around SignedData."""
    recipient = der.sequence(
        der.integer(2),
        der.encode(_CONTEXT_0_PRIMITIVE, enveloped.recipient),
        der.sequence(der.object_identifier(RSAES_OAEP), _OAEP_SHA256),
        der.octet_string(enveloped.encrypted_key),
    )
    content = der.sequence(
        der.object_identifier(SIGNED_DATA),
        der.sequence(der.object_identifier(AES_256_CBC), der.octet_string(enveloped.initialization_vector)),
        der.encode(_CONTEXT_0_PRIMITIVE, enveloped.ciphertext),
    )
    enveloped_data = der.sequence(der.integer(2), _set_of(recipient), content)
    return der.sequence(der.object_identifier(ENVELOPED_DATA), der.explicit(0, enveloped_data))


def decode_enveloped(data: bytes) -> Enveloped:
    """Read EnvelopedData for one RSA key named by its subject key identifier."""
    _check_size(data)
    content_info = der.elements(der.only(data, der.SEQUENCE).content)
    parts = der.elements(_explicit_sequence(_content(content_info, {ENVELOPED_DATA}), _CONTEXT_0))
    if len(parts) != 3 or der.to_integer(parts[0]) != 2:
        raise _malformed()
    recipients = der.elements(der.expect(parts[1], der.SET).content)
    if len(recipients) != 1:
        raise _malformed()
    recipient = der.elements(der.expect(recipients[0], der.SEQUENCE).content)
    content = der.elements(der.expect(parts[2], der.SEQUENCE).content)
    if len(recipient) != 4 or der.to_integer(recipient[0]) != 2 or len(content) != 3:
        raise _malformed()
    if recipient[2].encoded not in {
        der.sequence(der.object_identifier(RSAES_OAEP), _OAEP_SHA256),
        der.sequence(der.object_identifier(RSAES_OAEP), _OAEP_SHA256_WITHOUT_NULL),
    }:
        raise _unsupported("the key is not enciphered with RSAES-OAEP and SHA-256")
    if der.to_object_identifier(content[0]) not in {SIGNED_DATA, DATA}:
        raise _malformed()
    cipher = der.elements(der.expect(content[1], der.SEQUENCE).content)
    if len(cipher) != 2 or der.to_object_identifier(cipher[0]) != AES_256_CBC:
        raise _unsupported("the content is not enciphered with AES-256-CBC")
    vector = der.expect(cipher[1], der.OCTET_STRING).content
    ciphertext = der.expect(content[2], _CONTEXT_0_PRIMITIVE).content
    if len(vector) != 16 or not ciphertext or len(ciphertext) % 16:
        raise _malformed()
    return Enveloped(
        recipient=der.expect(recipient[1], _CONTEXT_0_PRIMITIVE).content,
        encrypted_key=der.expect(recipient[3], der.OCTET_STRING).content,
        initialization_vector=vector,
        ciphertext=ciphertext,
    )


def _signed(signer_info: Element, package: bytes, certificates: tuple[bytes, ...]) -> Signed:
    parts = der.elements(der.expect(signer_info, der.SEQUENCE).content)
    if not 6 <= len(parts) <= 7 or der.to_integer(parts[0]) not in {1, 3}:
        raise _malformed()
    _, signer, digest_algorithm, attributes, algorithm, signature, *unsigned = parts
    if signer.tag not in {der.SEQUENCE, _CONTEXT_0_PRIMITIVE} or any(each.tag != _CONTEXT_1 for each in unsigned):
        raise _malformed()
    digest = _algorithm(digest_algorithm)
    if digest not in DIGESTS:
        raise _unsupported("the package is not digested with SHA-256 or SHA-384")
    known = _attributes(der.expect(attributes, _CONTEXT_0).content)
    if known.get(CONTENT_TYPE) != der.object_identifier(KEY_PACKAGE):
        raise _malformed()
    hashed = der.octet_string(hashlib.new(DIGESTS[digest], package).digest())
    if not hmac.compare_digest(known.get(MESSAGE_DIGEST, b""), hashed):
        raise DecodeError("key_package_altered", "The key package is not the one that was signed.")
    return Signed(
        package=package,
        digest=digest,
        attributes=der.encode(der.SET, attributes.content),
        algorithm=_algorithm(algorithm),
        signature=der.expect(signature, der.OCTET_STRING).content,
        signer=signer.encoded,
        certificates=certificates,
    )


def _attributes(content: bytes) -> dict[str, bytes]:
    known: dict[str, bytes] = {}
    for element in der.elements(content):
        parts = der.elements(der.expect(element, der.SEQUENCE).content)
        if len(parts) != 2:
            raise _malformed()
        name = der.to_object_identifier(parts[0])
        if name in known:
            raise _malformed()
        known[name] = der.expect(parts[1], der.SET).content
    return known


def _content(parts: Sequence[Element], types: set[str]) -> Element:
    if len(parts) != 2 or der.to_object_identifier(parts[0]) not in types:
        raise _malformed()
    return parts[1]


def _explicit(element: Element, tag: int) -> bytes:
    return der.expect(element, tag).content


def _explicit_sequence(element: Element, tag: int) -> bytes:
    return der.only(_explicit(element, tag), der.SEQUENCE).content


def _algorithm(element: Element) -> str:
    parts = der.elements(der.expect(element, der.SEQUENCE).content)
    if not 1 <= len(parts) <= 2:
        raise _malformed()
    return der.to_object_identifier(parts[0])


def _attribute(name: str, value: bytes) -> bytes:
    return der.sequence(der.object_identifier(name), der.encode(der.SET, value))


def _set_of(*encoded: bytes) -> bytes:
    return der.encode(der.SET, b"".join(sorted(encoded)))


def _check_size(data: bytes) -> None:
    if len(data) > LIMIT_BYTES:
        raise DecodeError("key_package_too_large", f"A key package has at most {LIMIT_BYTES} bytes.")


def _malformed() -> DecodeError:
    return DecodeError("key_package_malformed", "The key package is not built as RFC 5958 and RFC 5652 say.")


def _unsupported(what: str) -> DecodeError:
    return DecodeError("key_package_unsupported", f"The key package cannot be used: {what}.")
