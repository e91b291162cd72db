# SPDX-License-Identifier: Apache-2.0
"""What an enrollment QR code says: Android's provisioning JSON with our agent's extras (docs/protocols/enrollment.md).

The keys are Android's `DevicePolicyManager.EXTRA_PROVISIONING_*` constants. Endpoint manager and phone share this
module: one writes the text, the other reads it.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from etymon.kernel.errors import DecodeError
from etymon.kernel.secret import Secret

PROTOCOL: Final = 1
PREFIX: Final = "android.app.extra.PROVISIONING_"
EXTRAS: Final = PREFIX + "ADMIN_EXTRAS_BUNDLE"

LARGEST_TEXT_BYTES: Final = 1536
"""A code with more is hard to read from a screen with a phone's camera."""

TOKEN: Final = re.compile(r"[A-Z2-7]{20,64}")
"""Base32 without padding (RFC 4648 §6): what a person can type."""

CHECKSUM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
COMPONENT: Final = re.compile(r"[A-Za-z]\w*(\.\w+)+/\.?\w+(\.\w+)*", re.ASCII)

WiFiSecurity: TypeAlias = Literal["NONE", "WPA", "WEP"]
SECURITY_TYPES: Final[tuple[WiFiSecurity, ...]] = ("NONE", "WPA", "WEP")


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where to enroll and with what. `pin` is the SHA-256 of the TLS CA's SubjectPublicKeyInfo, base64url unpadded."""

    server: str
    token: Secret[str]
    pin: str

    def __post_init__(self) -> None:
        address = _split(self.server)
        if address is None or self.server.endswith("/"):
            raise _malformed("the server's address is not an https address")
        if not TOKEN.fullmatch(self.token.reveal()):
            raise _malformed("the enrollment token is not 20 to 64 base32 characters")
        if not _is_sha256(self.pin):
            raise _malformed("the pin is not a base64url SHA-256")


@dataclass(frozen=True, slots=True)
class DevicePolicyController:
    """The agent that the phone's setup wizard installs. `signature_checksum` is its signing certificate's SHA-256."""

    component: str
    download_location: str
    signature_checksum: str

    def __post_init__(self) -> None:
        if not COMPONENT.fullmatch(self.component):
            raise _malformed("the component is not package/receiver")
        if _split(self.download_location, query=True) is None:
            raise _malformed("the package is not downloaded over https")
        if not _is_sha256(self.signature_checksum):
            raise _malformed("the checksum is not a base64url SHA-256")


@dataclass(frozen=True, slots=True)
class SetupNetwork:
    """The Wi-Fi network that a phone fresh from the factory joins first."""

    ssid: str
    security: WiFiSecurity
    password: Secret[str] | None = None
    hidden: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.ssid.encode()) <= 32:
            raise _malformed("a network name has 1 to 32 bytes")
        if self.security not in SECURITY_TYPES:
            raise _malformed("the network's security is not NONE, WPA or WEP")
        if (self.security == "NONE") != (self.password is None):
            raise _malformed("a network has a password exactly when its security is WPA or WEP")
        if self.password is not None and not 1 <= len(self.password.reveal()) <= 64:
            raise _malformed("a network password has 1 to 64 characters")


@dataclass(frozen=True, slots=True)
class Provisioning:
    """The whole code. Without a controller only the simulated phone can use it."""

    invitation: Invitation
    controller: DevicePolicyController | None = None
    network: SetupNetwork | None = None


def encode(provisioning: Provisioning) -> Secret[str]:
    """Return the text of the code; the token in it admits phones, so that the text is a secret."""
    document: dict[str, object] = {}
    if controller := provisioning.controller:
        document[PREFIX + "DEVICE_ADMIN_COMPONENT_NAME"] = controller.component
        document[PREFIX + "DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION"] = controller.download_location
        document[PREFIX + "DEVICE_ADMIN_SIGNATURE_CHECKSUM"] = controller.signature_checksum
    if network := provisioning.network:
        document[PREFIX + "WIFI_SSID"] = network.ssid
        document[PREFIX + "WIFI_SECURITY_TYPE"] = network.security
        if network.password is not None:
            document[PREFIX + "WIFI_PASSWORD"] = network.password.reveal()
        if network.hidden:
            document[PREFIX + "WIFI_HIDDEN"] = True
    document[EXTRAS] = {
        "etymon.protocol": PROTOCOL,
        "etymon.server": provisioning.invitation.server,
        "etymon.token": provisioning.invitation.token.reveal(),
        "etymon.pin": provisioning.invitation.pin,
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > LARGEST_TEXT_BYTES:
        raise _malformed("it says more than a camera can read")
    return Secret(text)


def decode(text: str) -> Provisioning:
    """Read the text of a code; members that are not known are ignored, another protocol is refused."""
    try:
        if len(text.encode()) > LARGEST_TEXT_BYTES:
            raise _malformed("it says more than a camera can read")
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:  # broken JSON and lone surrogates are ValueErrors
        raise _malformed("it is not JSON") from exc
    if not isinstance(document, dict):
        raise _malformed("it is not a JSON object")
    extras = document.get(EXTRAS)
    if not isinstance(extras, dict):
        raise _malformed("it has no extras for the agent")
    protocol = extras.get("etymon.protocol")
    if type(protocol) is not int:
        raise _malformed("it has no extras for this agent")
    if protocol != PROTOCOL:
        raise DecodeError("unsupported_version", "This code is for another version of the agent. Update the agent.")
    invitation = Invitation(
        server=_text(extras, "etymon.server"),
        token=Secret(_text(extras, "etymon.token")),
        pin=_text(extras, "etymon.pin"),
    )
    return Provisioning(invitation, _controller(document), _network(document))


def _controller(document: dict[str, object]) -> DevicePolicyController | None:
    if PREFIX + "DEVICE_ADMIN_COMPONENT_NAME" not in document:
        return None
    return DevicePolicyController(
        component=_text(document, PREFIX + "DEVICE_ADMIN_COMPONENT_NAME"),
        download_location=_text(document, PREFIX + "DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION"),
        signature_checksum=_text(document, PREFIX + "DEVICE_ADMIN_SIGNATURE_CHECKSUM").rstrip("="),
    )


def _network(document: dict[str, object]) -> SetupNetwork | None:
    if PREFIX + "WIFI_SSID" not in document:
        return None
    password = PREFIX + "WIFI_PASSWORD"
    hidden = document.get(PREFIX + "WIFI_HIDDEN", False)
    security = document.get(PREFIX + "WIFI_SECURITY_TYPE", "NONE")
    known = next((kind for kind in SECURITY_TYPES if kind == security), None)
    if not isinstance(hidden, bool) or known is None:
        raise _malformed("its network cannot be read")
    return SetupNetwork(
        ssid=_text(document, PREFIX + "WIFI_SSID"),
        security=known,
        password=Secret(_text(document, password)) if password in document else None,
        hidden=hidden,
    )


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise _malformed(f"{name} is missing")
    return value


def _split(address: str, *, query: bool = False) -> str | None:
    """Return the host of an https address without user name and fragment, or None."""
    if not address.isascii() or not address.isprintable() or " " in address:
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or "@" in parts.netloc or port == 0 or parts.fragment or (parts.query and not query):
        return None
    return parts.hostname or None


def _is_sha256(text: str) -> bool:
    if not CHECKSUM.fullmatch(text):
        return False
    try:
        octets = base64.urlsafe_b64decode(text + "=")
    except binascii.Error:
        return False
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii") == text


def _malformed(why: str) -> DecodeError:
    return DecodeError("malformed_enrollment_code", f"This is not an enrollment code of ours: {why}.")
