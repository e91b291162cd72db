# SPDX-License-Identifier: Apache-2.0
"""The link between a card session and a phone: what the QR code says, the six digits, what the link key signs.

Issuer and phone both compute with this module; `docs/protocols/link.md` and `est.md` are its source. The fragment of
the address carries the secret, so that no browser sends it to a server (RFC 3986 §3.5).
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from etymon.kernel.errors import DecodeError
from etymon.kernel.secret import Secret

VERSION: Final = "1"
SECRET_BYTES: Final = 16
PIN_BYTES: Final = 32
THUMBPRINT_BYTES: Final = 32
MOST_PASSWORD_DIGITS: Final = 16
LONGEST_TEXT: Final = 600
"""Far more than any host name needs, and still a QR code a phone reads from a screen."""

DIGITS_CONTEXT: Final = b"etymon-link-digits/1"
AUTHORIZATION_CONTEXT: Final = b"etymon-link-authorization/1"
REQUEST_CONTEXT: Final = b"etymon-link-request/1"
LINK_ATTESTATION_CONTEXT: Final = b"etymon-link-attestation/1"
REQUEST_ATTESTATION_CONTEXT: Final = b"etymon-request-attestation/1"


@dataclass(frozen=True, slots=True)
class LinkQR:
    """What a QR code of the issuer says. `pin` is the SHA-256 of the TLS CA's SubjectPublicKeyInfo.

    `password_digits` is how many digits the password has that stands beside the code; 0 where there is none.
    """

    issuer_url: str
    link: UUID
    secret: Secret[bytes]
    pin: bytes
    password_digits: int = 0

    def __post_init__(self) -> None:
        if len(self.secret.reveal()) != SECRET_BYTES or len(self.pin) != PIN_BYTES:
            raise DecodeError("malformed_link", "The link's secret has 16 bytes and its pin 32.")
        if not 0 <= self.password_digits <= MOST_PASSWORD_DIGITS:
            raise DecodeError("malformed_link", f"A password has 1 to {MOST_PASSWORD_DIGITS} digits.")


def encode(qr: LinkQR) -> Secret[str]:
    """Return the text of the QR code; the only address that carries a secret."""
    secret, pin = _unpadded(qr.secret.reveal()), _unpadded(qr.pin)
    password = f"&n={qr.password_digits}" if qr.password_digits else ""
    return Secret(f"{qr.issuer_url}/link#v={VERSION}&l={qr.link}&s={secret}&p={pin}{password}")


def decode(text: str) -> LinkQR:
    """Read the text of a QR code; members that are not known are ignored, another version is refused."""
    if len(text) > LONGEST_TEXT or not text.isascii() or not text.isprintable():
        raise _malformed()
    try:
        address = urlsplit(text)
        port = address.port
        pairs = parse_qsl(address.fragment, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError as exc:
        raise _malformed() from exc
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _malformed()
    if "v" not in fields:  # somebody else's code, or an enrollment code
        raise _malformed()
    if fields["v"] != VERSION:
        raise DecodeError("unsupported_version", "This code is for another version of the app. Update the app.")
    host = address.hostname
    if address.scheme != "https" or not host or "@" in address.netloc or address.query or port == 0:
        raise _malformed()
    if not address.path.endswith("/link"):
        raise _malformed()
    return LinkQR(
        issuer_url=f"https://{address.netloc}{address.path.removesuffix('/link')}",
        link=_link(fields.get("l", "")),
        secret=Secret(_octets(fields.get("s", ""))),
        pin=_octets(fields.get("p", "")),
        password_digits=_number(fields["n"]) if "n" in fields else 0,
    )


def pin_octets(pin: str) -> bytes:
    """Return the 32 bytes of a pin written as unpadded base64url."""
    return _octets(pin)


def six_digits(secret: Secret[bytes], link: UUID, key_thumbprint: bytes) -> str:
    """Return what both screens show before the person confirms.

    The secret keys the computation and the phone's key enters it: a phone that did not scan this code, or whose key was
    exchanged on the way, shows other digits.
    """
    if len(key_thumbprint) != THUMBPRINT_BYTES:
        raise DecodeError("malformed_thumbprint", "A key thumbprint has 32 bytes.")
    message = b"\x00".join((DIGITS_CONTEXT, str(link).encode("ascii"), key_thumbprint))
    mac = hmac.digest(secret.reveal(), message, hashlib.sha256)
    return f"{int.from_bytes(mac[:8], 'big') % 1_000_000:06d}"


def authorization_message(link: UUID) -> bytes:
    """Return what the link key signs when the phone asks for its enrollment authorization."""
    return AUTHORIZATION_CONTEXT + b"\x00" + str(link).encode("ascii")


def request_message(purpose: str, body: bytes) -> bytes:
    """Return what the link key signs over one EST request; `body` is the bytes as sent."""
    return b"\x00".join((REQUEST_CONTEXT, purpose.encode("ascii"), hashlib.sha256(body).digest()))


def link_attestation_challenge(secret: Secret[bytes], link: UUID) -> bytes:
    """Return what the link key is attested for: nobody knew it before the code was shown."""
    message = b"\x00".join((LINK_ATTESTATION_CONTEXT, str(link).encode("ascii")))
    return hmac.digest(secret.reveal(), message, hashlib.sha256)


def request_attestation_challenge(authorization: Secret[str], purpose: str) -> bytes:
    """Return what the key of an EST request is attested for: nobody knew it before the PC confirmed."""
    message = b"\x00".join((REQUEST_ATTESTATION_CONTEXT, purpose.encode("ascii")))
    return hmac.digest(authorization.reveal().encode("utf-8"), message, hashlib.sha256)


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _octets(text: str) -> bytes:
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _malformed() from exc
    if _unpadded(octets) != text:
        raise _malformed()
    return octets


def _number(text: str) -> int:
    if not text.isdecimal() or text != str(int(text)) or text == "0":
        raise _malformed()
    return int(text)


def _link(text: str) -> UUID:
    try:
        link = UUID(text)
    except ValueError as exc:
        raise _malformed() from exc
    if str(link) != text:
        raise _malformed()
    return link


def _malformed() -> DecodeError:
    return DecodeError("malformed_link", "This is not a code of the credential issuer. Scan the code on its page.")
