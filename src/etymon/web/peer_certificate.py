# SPDX-License-Identifier: Apache-2.0
"""The certificate the other side of TLS showed: from our own listener, or from a configured proxy.

A proxy in front of a listener tells the certificate by header: `Client-Cert` (RFC 9440 §2.2, a byte sequence in
colons) or nginx's escaped PEM in `X-SSL-Client-Cert`. A header counts only when the TCP peer is a configured proxy.
"""

import base64
import binascii
import urllib.parse
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import DecodeError

LARGEST_CERTIFICATE_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The DER certificate whose key the TLS peer has proved to hold. Nothing else of it has been judged."""

    der: bytes


def from_proxy(headers: Mapping[str, str], peer_address: str, proxies: Collection[str]) -> PeerCertificate | None:
    """Return the certificate a configured proxy hands on; None where there is none or the peer is no proxy."""
    if peer_address not in proxies:
        return None
    if value := headers.get("client-cert"):
        if not (value.startswith(":") and value.endswith(":")):
            raise DecodeError("client_cert_header", "Client-Cert is not a byte sequence (RFC 9440 §2.2).")
        return PeerCertificate(_decode(value.strip(":")))
    if value := headers.get("x-ssl-client-cert"):
        pem = urllib.parse.unquote(value)
        body = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
        return PeerCertificate(_decode(body))
    return None


def _decode(text: str) -> bytes:
    if len(text) > LARGEST_CERTIFICATE_BYTES * 4 // 3 + 4:
        raise DecodeError("client_cert_header", "The client certificate is larger than 16 kB.")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise DecodeError("client_cert_header", "The client certificate header is not base64.") from exc
