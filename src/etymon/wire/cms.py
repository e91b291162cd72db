# SPDX-License-Identifier: Apache-2.0
"""Certs-only CMS: the degenerate SignedData that carries certificates (RFC 5652 §5.2, RFC 8551 §3.8, `.p7c`)."""

from collections.abc import Iterable
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import der

MEDIA_TYPE: Final = "application/pkcs7-mime"
LIMIT_BYTES: Final = 256 * 1024

SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
DATA: Final = "1.2.840.113549.1.7.1"

_VERSION_1: Final = 1
_CONTEXT_0: Final = 0xA0
_CONTEXT_1: Final = 0xA1


def encode_certificates(certificates: Iterable[bytes], *, revocation_list: bytes = b"") -> bytes:
    """Return the message that carries DER certificates, in the given order; with none it is still a message.

    A CRL that is given travels with them, or by itself (RFC 5652 §10.2.1).
    """
    carried = b"".join(certificates)
    return der.sequence(
        der.object_identifier(SIGNED_DATA),
        der.explicit(
            0,
            der.sequence(
                der.integer(_VERSION_1),
                der.encode(der.SET, b""),
                der.sequence(der.object_identifier(DATA)),
                der.encode(_CONTEXT_0, carried) if carried else b"",
                der.encode(_CONTEXT_1, revocation_list) if revocation_list else b"",
                der.encode(der.SET, b""),
            ),
        ),
    )


def decode_certificates(data: bytes) -> tuple[bytes, ...]:
    """Read the DER certificates of a certs-only message; signers, content and trailing bytes are refused."""
    if len(data) > LIMIT_BYTES:
        raise DecodeError("cms_too_large", f"A certs-only message has at most {LIMIT_BYTES} bytes.")
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 2 or der.to_object_identifier(parts[0]) != SIGNED_DATA:
        raise _not_certs_only()
    signed_data = der.elements(der.only(der.expect(parts[1], _CONTEXT_0).content, der.SEQUENCE).content)
    if len(signed_data) < 4 or der.to_integer(signed_data[0]) != _VERSION_1:
        raise _not_certs_only()
    _, digests, content, *rest = signed_data
    carried = rest.pop(0).content if rest[0].tag == _CONTEXT_0 else b""
    if rest and rest[0].tag == _CONTEXT_1:  # CRLs, which nobody asked for
        rest.pop(0)
    if len(rest) != 1 or der.expect(rest[0], der.SET).content or der.expect(digests, der.SET).content:
        raise _not_certs_only()
    if content.encoded != der.sequence(der.object_identifier(DATA)):
        raise _not_certs_only()
    return tuple(der.expect(element, der.SEQUENCE).encoded for element in der.elements(carried))


def _not_certs_only() -> DecodeError:
    return DecodeError("not_certs_only", "The message is not a certs-only CMS message.")
