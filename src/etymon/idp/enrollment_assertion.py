# SPDX-License-Identifier: Apache-2.0
"""The endpoint manager's word that a phone is being enrolled: what lets its client start a device authorization."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from etymon.idp import signing_keys
from etymon.idp.dependencies import Dependencies
from etymon.idp.errors import invalid_request
from etymon.idp.model import Client, EnrollingDevice
from etymon.kernel.errors import NotAuthenticated

LIFETIME: Final = timedelta(minutes=10)
LONGEST_TEXT: Final = 100
"""Of what is shown of a device."""


def verify(deps: Dependencies, client: Client, assertion: str) -> EnrollingDevice:
    """Return the device that `assertion` vouches for. Raises Malformed `invalid_request`.

    Claims: `iss` (the endpoint manager of the registration), `aud` (our OIDC issuer), `iat`, `exp` (ten minutes at
    most), `jti`, `enrollment_session`, `device`.
    """
    try:
        claims = signing_keys.verify(assertion, client.assertion_keys, types=frozenset({"jwt", ""}))
        signing_keys.require_time(claims, deps.clock.now(), longest=LIFETIME)
    except NotAuthenticated as exc:
        raise _refusal() from exc
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    if claims.get("iss") != client.assertion_issuer or deps.issuer not in audiences or not claims.get("jti"):
        raise _refusal()
    device = claims.get("device")
    if not isinstance(device, Mapping):
        raise _refusal()
    session = claims.get("enrollment_session")
    if not isinstance(session, str) or not 0 < len(session) <= LONGEST_TEXT:
        raise _refusal()
    return EnrollingDevice(
        enrollment_session=session,
        manufacturer=_shown(device, "manufacturer"),
        model=_shown(device, "model"),
        serial_number=_shown(device, "serial_number"),
        os_version=_shown(device, "os_version"),
    )


def _shown(device: Mapping[Any, Any], name: str) -> str:
    value = device.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
        raise _refusal()
    return value


def _refusal() -> Exception:
    return invalid_request("enrollment_assertion is not one of the endpoint manager, or its time is over.")
