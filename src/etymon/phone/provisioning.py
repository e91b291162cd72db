# SPDX-License-Identifier: Apache-2.0
"""Provisioning: what a factory-new phone is given to enroll with (docs/protocols/enrollment.md)."""

import base64
import re
from typing import Final
from urllib.parse import urlsplit

from etymon.kernel.errors import Conflict, Malformed
from etymon.kernel.secret import Secret
from etymon.phone import qr_image
from etymon.phone.device import Device
from etymon.phone.state import DeviceState, Invitation
from etymon.wire import enrollment_qr

_SEPARATORS: Final = re.compile(r"[\s-]+")


def provision_by_image(device: Device, image: bytes) -> None:
    """Take server, token and pin from a picture of the enrollment code; `Conflict` unless the phone is factory-new."""
    invitation = enrollment_qr.decode(qr_image.read(image).reveal()).invitation
    pin = base64.urlsafe_b64decode(invitation.pin + "=")
    _accept(device, Invitation(invitation.server, invitation.token, pin))


def provision_by_token(device: Device, server: str, token: Secret[str]) -> None:
    """Take a token typed by hand; the server must have a certificate the phone trusts already."""
    typed = _SEPARATORS.sub("", token.reveal()).upper()
    address = urlsplit(server)
    if address.scheme != "https" or not address.hostname or address.query or address.fragment:
        raise Malformed("server_malformed", "The server is an https address, such as https://host:8443/mdm.")
    if not enrollment_qr.TOKEN.fullmatch(typed):
        raise Malformed("token_malformed", "The enrollment token has 20 to 64 letters and digits 2 to 7.")
    _accept(device, Invitation(server.rstrip("/"), Secret(typed)))


def _accept(device: Device, invitation: Invitation) -> None:
    if device.state.derivation or device.state.credentials:
        raise Conflict(
            "not_factory_new",
            "This phone has a credential of its own. It goes back to the factory before it is managed.",
        )
    if device.state.invitation == invitation and device.state.device is DeviceState.PROVISIONING:
        return
    host = urlsplit(invitation.server).hostname or ""
    pins = {host: invitation.pin} if invitation.pin else {}
    device.move(DeviceState.PROVISIONING, invitation=invitation, pins=pins, session=None, grant=None, access_token=None)
