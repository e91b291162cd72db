# SPDX-License-Identifier: Apache-2.0
"""The certificate the other side of TLS showed: from our own listener, or from a configured proxy.

A proxy in front of a listener tells the certificate in the header `Client-Cert`: as a byte sequence in colons (RFC 9440
§2.2), or as nginx escapes a PEM file (`proxy_set_header Client-Cert $ssl_client_escaped_cert`). It counts only when the
TCP peer is a configured proxy. There is one header and no other: a proxy that sets it replaces what its client sent
under this name, and would hand on what its client sent under a second one.
"""

import base64
import binascii
import urllib.parse
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import DecodeError

LARGEST_CERTIFICATE_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The DER certificate whose key the TLS peer has proved to hold. Nothing else of it has been judged."""

    der: bytes


def from_proxy(values: Sequence[str], peer_address: str, proxies: Collection[str]) -> PeerCertificate | None:
    """Return the certificate a configured proxy hands on in `values` of `Client-Cert`; None where there is none.

    None too where the peer is no proxy. Raises DecodeError `client_cert_header`, also for a header that came twice:
    one of the two would be the proxy's client's own.
    """
    if peer_address not in proxies or not any(values):
        return None
    if len(values) != 1:
        raise DecodeError("client_cert_header", "Client-Cert came twice.")
    (value,) = values
    if value.startswith(":") and value.endswith(":"):
        return PeerCertificate(_decode(value[1:-1]))
    if value.startswith("-----BEGIN"):
        pem = urllib.parse.unquote(value)
        return PeerCertificate(_decode("".join(line for line in pem.splitlines() if not line.startswith("-----"))))
    raise DecodeError("client_cert_header", "Client-Cert is neither a byte sequence (RFC 9440 §2.2) nor escaped PEM.")


def _decode(text: str) -> bytes:
    if len(text) > LARGEST_CERTIFICATE_BYTES * 4 // 3 + 4:
        raise DecodeError("client_cert_header", "The client certificate is larger than 16 kB.")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise DecodeError("client_cert_header", "The client certificate header is not base64.") from exc
