# SPDX-License-Identifier: Apache-2.0
"""pkcsPKIEnvelope: EnvelopedData for RSA keys as SCEP has it (RFC 8894 §3.1, RFC 5652 §6).

Pure: keys are wrapped and content is enciphered elsewhere. Recipients that are none for RSA keys are passed over.
"""

from dataclasses import dataclass, field
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import ber, cms, der
from etymon.wire.der import Element

ENVELOPED_DATA: Final = "1.2.840.113549.1.7.3"
RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"

MOST_RECIPIENTS: Final = 8

_CONTEXT_0: Final = 0xA0
_PRIMITIVE_0: Final = 0x80


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whose key the content key is wrapped to: by the number of a certificate, or by a subject key identifier."""

    serial_number: int | None
    key_identifier: bytes | None
    algorithm: str
    encrypted_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Enciphered content. `cipher` is its OID, which nobody has judged yet."""

    recipients: tuple[Recipient, ...]
    cipher: str
    initialization_vector: bytes
    ciphertext: bytes = field(repr=False)


def decode(data: bytes) -> Envelope:
    """Read an envelope; lengths of vector and ciphertext are for the cipher to judge."""
    content_info = der.elements(der.only(ber.definite(data), der.SEQUENCE).content)
    if len(content_info) != 2 or der.to_object_identifier(content_info[0]) != ENVELOPED_DATA:
        raise _malformed()
    parts = list(der.elements(der.only(der.expect(content_info[1], _CONTEXT_0).content, der.SEQUENCE).content))
    if len(parts) > 1 and parts[1].tag == _CONTEXT_0:  # originatorInfo, which no key transport needs
        parts.pop(1)
    if not 3 <= len(parts) <= 4:
        raise _malformed()
    recipients = der.elements(der.expect(parts[1], der.SET).content)
    content = der.elements(der.expect(parts[2], der.SEQUENCE).content)
    if not 1 <= len(recipients) <= MOST_RECIPIENTS or len(content) != 3:
        raise _malformed()
    cipher = der.elements(der.expect(content[1], der.SEQUENCE).content)
    if len(cipher) != 2:
        raise _malformed()
    return Envelope(
        recipients=tuple(_recipient(each) for each in recipients if each.tag == der.SEQUENCE),
        cipher=der.to_object_identifier(cipher[0]),
        initialization_vector=cipher[1].content,
        ciphertext=ber.chunks(content[2], primitive=_PRIMITIVE_0),
    )


def encode(*, recipient: bytes, encrypted_key: bytes, cipher: str, vector: bytes, ciphertext: bytes) -> bytes:
    """Return an envelope for one recipient, named by an encoded IssuerAndSerialNumber."""
    key_transport = der.sequence(
        der.integer(0),
        recipient,
        der.sequence(der.object_identifier(RSA_ENCRYPTION), der.null()),
        der.octet_string(encrypted_key),
    )
    content = der.sequence(
        der.object_identifier(cms.DATA),
        der.sequence(der.object_identifier(cipher), der.octet_string(vector)),
        der.encode(_PRIMITIVE_0, ciphertext),
    )
    enveloped_data = der.sequence(der.integer(0), der.encode(der.SET, key_transport), content)
    return der.sequence(der.object_identifier(ENVELOPED_DATA), der.explicit(0, enveloped_data))


def _recipient(element: Element) -> Recipient:
    parts = der.elements(element.content)
    if len(parts) != 4 or der.to_integer(parts[0]) not in {0, 2}:
        raise _malformed()
    algorithm = der.elements(der.expect(parts[2], der.SEQUENCE).content)
    if not algorithm:
        raise _malformed()
    serial_number, key_identifier = None, None
    if parts[1].tag == _PRIMITIVE_0:
        key_identifier = parts[1].content
    else:
        named = der.elements(der.expect(parts[1], der.SEQUENCE).content)
        if len(named) != 2:
            raise _malformed()
        serial_number = int.from_bytes(der.expect(named[1], der.INTEGER).content, "big", signed=True)
    return Recipient(
        serial_number,
        key_identifier,
        der.to_object_identifier(algorithm[0]),
        der.expect(parts[3], der.OCTET_STRING).content,
    )


def _malformed() -> DecodeError:
    return DecodeError("envelope_malformed", "The message's content is not an envelope (RFC 5652 §6).")
