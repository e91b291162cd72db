# SPDX-License-Identifier: Apache-2.0
"""Files of certificates that may be certs-only messages: the `.p7c` of information access (RFC 5280 §4.2.2.1)."""

import base64
import binascii
import re
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import cms

_MESSAGE: Final = re.compile(rb"-----BEGIN (PKCS7|CMS)-----([A-Za-z0-9+/=\s]+)-----END \1-----")


def opened(data: bytes) -> bytes:
    """Return a file with the certificates that its certs-only messages carry in their place, PEM or DER.

    What is no such message, or has more than `cms.LIMIT_BYTES`, stays as it is, to be read as certificates or refused.
    """
    if b"-----BEGIN" in data:
        return _MESSAGE.sub(_certificates_in_pem, data)
    try:
        return b"".join(cms.decode_certificates(data)) or data
    except DecodeError:
        return data


def _certificates_in_pem(found: re.Match[bytes]) -> bytes:
    try:
        carried = cms.decode_certificates(base64.b64decode(b"".join(found[2].split()), validate=True))
    except (binascii.Error, DecodeError):
        return found[0]
    return b"".join(map(_pem, carried))


def _pem(encoded: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(encoded) + b"-----END CERTIFICATE-----\n"
