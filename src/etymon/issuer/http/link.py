# SPDX-License-Identifier: Apache-2.0
"""The phone's side of linking: redemption and authorization at the device listener, discovery at the site."""

import base64
import binascii
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import device_identity, linking, redemption
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors, waiting
from etymon.issuer.http.attestation import CHALLENGE
from etymon.issuer.http.confirmation import CONFIRMATION
from etymon.issuer.http.key_history import KEY_HISTORY
from etymon.issuer.link_key import LARGEST_KEY_BYTES
from etymon.issuer.link_secret import PASSWORD_DIGITS
from etymon.issuer.model import DeviceDescription
from etymon.issuer.redemption import Redemption
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.pki.attestation_chain import LARGEST_CERTIFICATE_BYTES
from etymon.pki.attestation_chain import MOST as MOST_CERTIFICATES
from etymon.web import documents
from etymon.web.documents import Problems, shown_time
from etymon.web.exchange import Request, endpoint, json_response
from etymon.wire.link_qr import SECRET_BYTES

REDEEM: Final = "/issuer/link/v1/redeem"
AUTHORIZATION: Final = "/issuer/link/v1/authorization"
DISCOVERY: Final = "/issuer/.well-known/etymon-issuer"
EST: Final = "/.well-known/est"

LONGEST_WAIT_SECONDS: Final = 25
LONGEST_DESCRIPTION: Final = 100


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the route that tells a phone where things are."""

    def discover(_: Request) -> Response:
        return json_response(
            {
                "protocol": documents.PROTOCOL,
                "name": deps.branding.organization,
                "redeem": f"{deps.device_url}{REDEEM}",
                "authorization": f"{deps.device_url}{AUTHORIZATION}",
                "est": f"{deps.device_url}{EST}",
                "rekeyConfirmation": f"{deps.device_url}{CONFIRMATION}",
                "keyHistory": f"{deps.device_url}{KEY_HISTORY}",
                "attestationChallenge": f"{deps.device_url}{CHALLENGE}",
            }
        )

    return [endpoint(DISCOVERY, discover, methods=["GET"], errors=Problems())]


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def redeem(request: Request) -> Response:
        device = device_identity.judge(deps, request.peer, source=request.client_address)
        asked = _redemption(documents.read_versioned(request))
        linked = redemption.redeem(deps, asked, device, source=request.client_address)
        return json_response(
            {
                "person": {"displayName": linked.display_name, "mail": linked.mail},
                "issuer": deps.branding.organization,
                "digits": linked.digits,
                "expiresAt": shown_time(linked.expires_at),
                "purposes": [purpose.value for purpose in linked.purposes],
            }
        )

    return [
        endpoint(
            REDEEM,
            redeem,
            methods=["POST"],
            errors=Problems(),
            proxies=deps.proxies,
            refused=doors.recorder(deps, linking.REFUSED_EVENT),
        ),
        waiting.authorization_route(deps, AUTHORIZATION, LONGEST_WAIT_SECONDS),
    ]


def _redemption(document: documents.Document) -> Redemption:
    device = documents.member(document, "device") or {}
    return Redemption(
        link=documents.identifier(document.get("link"), "link"),
        secret=_secret(documents.text(document, "secret", limit=64)),
        key=documents.octets(document, "key", limit=LARGEST_KEY_BYTES),
        description=DeviceDescription(
            manufacturer=documents.line(device, "manufacturer", limit=LONGEST_DESCRIPTION, default=""),
            model=documents.line(device, "model", limit=LONGEST_DESCRIPTION, default=""),
            serial_number=documents.line(device, "serialNumber", limit=LONGEST_DESCRIPTION, default=""),
        ),
        password=_password(document),
        attestation=_attestation(document),
    )


def _attestation(document: documents.Document) -> tuple[bytes, ...] | None:
    """Return the certificates that say where the key is; whether they say so is judged later."""
    value = document.get("attestation")
    if value is None:
        return None
    if not isinstance(value, list) or not 0 < len(value) <= MOST_CERTIFICATES:
        raise Malformed("malformed", f"attestation lists 1 to {MOST_CERTIFICATES} certificates.")
    limit = LARGEST_CERTIFICATE_BYTES
    return tuple(documents.octets({"attestation": each}, "attestation", limit=limit) for each in value)


def _password(document: documents.Document) -> Secret[str] | None:
    if document.get("password") is None:
        return None
    text = documents.text(document, "password", limit=PASSWORD_DIGITS)
    if len(text) != PASSWORD_DIGITS or not (text.isascii() and text.isdecimal()):
        raise Malformed("malformed", f"password has {PASSWORD_DIGITS} digits.")
    return Secret(text)


def _secret(text: str) -> Secret[bytes]:
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Malformed("malformed", "secret is base64url.") from exc
    if len(octets) != SECRET_BYTES:
        raise Malformed("malformed", "secret has 16 bytes.")
    return Secret(octets)
