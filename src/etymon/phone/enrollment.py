# SPDX-License-Identifier: Apache-2.0
"""Enrollment: from the code's token to a device identity (docs/protocols/enrollment.md).

Begin at the endpoint manager, sign the user in from another device (RFC 8628), complete with a certification request.
What was received is written down before the next step: a phone that stops anywhere goes on from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

import httpx
from cryptography import x509

from etymon.kernel.errors import (
    Conflict,
    Expired,
    NotAuthenticated,
    NotPermitted,
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.phone import document
from etymon.phone.certification_request import certification_request
from etymon.phone.connection import Connection, https_address
from etymon.phone.device import DEVICE_IDENTITY, Device
from etymon.phone.document import Document
from etymon.phone.screen import UserCode
from etymon.phone.state import (
    DeviceGrant,
    DeviceState,
    EnrollmentSession,
    Hardware,
    Invitation,
    Membership,
    Organization,
)
from etymon.pki import certificate as certificates
from etymon.pki.algorithms import KeyType

PROTOCOL: Final = 1
DEVICE_CODE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOW_DOWN_SECONDS: Final = 5
"""Added to the interval at each `slow_down` (RFC 8628 §3.5)."""
LONGEST_INTERVAL_SECONDS: Final = 60


class SignInRefused(NotPermitted):
    """The sign-in did not happen; the code says why (`access_denied`, `expired_token`). Enrolling again starts anew."""

    default_code = "sign_in_refused"


def enroll(device: Device, show: Callable[[UserCode], None]) -> Membership:
    """Bring the phone from provisioned to enrolled; `show` is given each code the user has to type.

    Doing it again on an enrolled phone returns its membership. Raises `Conflict` `not_provisioned`, what the servers
    refuse, and `SignInRefused`.
    """
    if device.state.membership is not None:
        return device.state.membership
    if device.state.device is not DeviceState.PROVISIONING or device.state.invitation is None:
        raise Conflict("not_provisioned", "Scan an enrollment code or type a token first.")
    connection = Connection(device)
    session = _session(device, connection, device.state.invitation)
    token = device.state.access_token or _signed_in(device, connection, session, show)
    return _complete(device, connection, session, token)


def _session(device: Device, connection: Connection, invitation: Invitation) -> EnrollmentSession:
    present = device.state.session
    if present is not None and present.expires_at > device.surroundings.clock.now():
        return present
    answer = connection.ask(
        "POST",
        f"{invitation.server}/enrollment/v1/sessions",
        {
            "protocol": PROTOCOL,
            "token": invitation.token.reveal(),
            "device": device_description(device.state.hardware),
        },
    )
    provider = answer.document("identityProvider")
    session = EnrollmentSession(
        session=answer.uuid("session"),
        secret=Secret(answer.text("sessionSecret")),
        expires_at=answer.moment("expiresAt"),
        organization=organization(answer.document("organization")),
        oidc_issuer=https_address(provider.text("issuer")),
        client_id=provider.text("clientId"),
        scope=provider.text("scope"),
        assertion=Secret(provider.text("enrollmentAssertion")),
    )
    device.change(session=session, grant=None, access_token=None)
    return session


def _signed_in(
    device: Device, connection: Connection, session: EnrollmentSession, show: Callable[[UserCode], None]
) -> Secret[str]:
    grant = device.state.grant
    if grant is None or grant.expires_at <= device.surroundings.clock.now():
        grant = _authorize_device(device, connection, session)
    show(UserCode(grant.user_code, grant.verification_uri, grant.expires_at))
    token = _poll(device, connection, session.client_id, grant)
    device.change(access_token=token, grant=None)
    return token


def _authorize_device(device: Device, connection: Connection, session: EnrollmentSession) -> DeviceGrant:
    metadata = _discover(connection, session.oidc_issuer)
    assertion = session.assertion or _fresh_assertion(device, connection, session)
    device.change(session=replace(session, assertion=None))  # good for one authorization, answered or not
    form = {
        "client_id": session.client_id,
        "scope": session.scope,
        "enrollment_assertion": assertion.reveal(),
    }
    endpoint = https_address(metadata.text("device_authorization_endpoint"))
    answer = _oauth(connection.send("POST", endpoint, form=form))
    grant = DeviceGrant(
        device_code=Secret(answer.text("device_code")),
        user_code=answer.text("user_code"),
        verification_uri=https_address(answer.text("verification_uri")),
        token_endpoint=https_address(metadata.text("token_endpoint")),
        expires_at=device.surroundings.clock.now() + timedelta(seconds=answer.whole_number("expires_in")),
        interval_seconds=answer.whole_number("interval", 5),  # RFC 8628 §3.2
    )
    device.change(grant=grant)
    return grant


def _discover(connection: Connection, issuer: str) -> Document:
    """Return the provider's metadata (OpenID Connect Discovery §4); it must be the issuer's that was named."""
    metadata = connection.ask("GET", f"{issuer}/.well-known/openid-configuration")
    if metadata.text("issuer") != issuer:
        raise NotPermitted("wrong_issuer", "The identity provider does not go by the name the phone was given.")
    return metadata


def _fresh_assertion(device: Device, connection: Connection, session: EnrollmentSession) -> Secret[str]:
    server = _server(device)
    answer = connection.ask(
        "POST",
        f"{server}/enrollment/v1/sessions/{session.session}/assertion",
        {"protocol": PROTOCOL, "sessionSecret": session.secret.reveal()},
    )
    return Secret(answer.text("enrollmentAssertion"))


def _poll(device: Device, connection: Connection, client_id: str, grant: DeviceGrant) -> Secret[str]:
    form = {
        "grant_type": DEVICE_CODE_GRANT,
        "device_code": grant.device_code.reveal(),
        "client_id": client_id,
    }
    pause, clock = device.surroundings.pause, device.surroundings.clock
    backoff = grant.interval_seconds
    while grant.expires_at > clock.now():
        pause.wait(backoff)
        try:
            answer = _oauth(connection.send("POST", grant.token_endpoint, form=form))
        except Unavailable:
            backoff = min(backoff * 2, LONGEST_INTERVAL_SECONDS)  # RFC 8628 §3.5: time-outs double the interval
            continue
        except SignInRefused as refused:
            if refused.code == "slow_down":
                grant = replace(grant, interval_seconds=grant.interval_seconds + SLOW_DOWN_SECONDS)
                device.change(grant=grant)
            elif refused.code != "authorization_pending":
                device.change(grant=None)
                raise
            backoff = grant.interval_seconds
            continue
        return Secret(answer.text("access_token"))
    device.change(grant=None)
    raise SignInRefused("expired_token", "Nobody approved the phone in time. Try again for a new code.")


def _complete(device: Device, connection: Connection, session: EnrollmentSession, token: Secret[str]) -> Membership:
    keys = device.keys
    if keys.entry(DEVICE_IDENTITY) is None:
        keys.generate(DEVICE_IDENTITY, KeyType.P256, requires_activation=False)
        device.change(identity_request=None)
    request = device.state.identity_request
    if request is None:
        request = certification_request(keys.handle(DEVICE_IDENTITY), device.state.hardware.serial_number)
        device.change(identity_request=request)
    try:
        answer = connection.ask(
            "POST",
            f"{_server(device)}/enrollment/v1/sessions/{session.session}/complete",
            {
                "protocol": PROTOCOL,
                "sessionSecret": session.secret.reveal(),
                "csr": document.base64_text(request),
            },
            bearer=token,
        )
    except (NotAuthenticated, NotPermitted):
        device.change(access_token=None)
        raise
    except (Conflict, Expired):
        device.change(access_token=None, session=None)
        raise
    membership = Membership(
        device=answer.uuid("device"),
        check_in=https_address(answer.text("checkIn")),
        organization=organization(answer.document("organization")),
    )
    certificate = certificates.load(answer.octets("certificate"))
    keys.set_certificate(DEVICE_IDENTITY, certificate, _chain(answer))
    device.move(
        DeviceState.ENROLLED,
        membership=membership,
        invitation=None,
        session=None,
        grant=None,
        access_token=None,
        identity_request=None,
    )
    return membership


def _chain(answer: Document) -> tuple[x509.Certificate, ...]:
    return tuple(certificates.load(issuer) for issuer in answer.octet_list("chain"))


def _oauth(answer: httpx.Response) -> Document:
    """Read an OAuth answer; an error answer (RFC 6749 §5.2) is a `SignInRefused` with its code."""
    if answer.is_server_error:
        raise Unavailable("server_unreachable", "The identity provider does not answer.")
    members = Document.parse(answer.content)
    if not answer.is_success:
        code = members.text("error", "invalid_request")
        raise SignInRefused(code, members.text("error_description", "The sign-in was refused."))
    return members


def device_description(hardware: Hardware) -> Mapping[str, str]:
    """Return what the phone says about itself when it is enrolled or linked."""
    return {
        "manufacturer": hardware.manufacturer,
        "model": hardware.model,
        "serialNumber": hardware.serial_number,
        "osVersion": hardware.os_version,
        "securityPatch": hardware.security_patch,
    }


def organization(members: Document) -> Organization:
    """Read the organisation's branding."""
    logo = members.document("logo") if "logo" in members else None
    return Organization(
        display_name=members.text("displayName"),
        theme_color=members.text("themeColor", ""),
        logo_type=logo.text("type", "") if logo else "",
        logo=logo.octets("value") if logo else b"",
    )


def _server(device: Device) -> str:
    invitation = device.state.invitation
    if invitation is None:
        raise Conflict("not_provisioned", "Scan an enrollment code or type a token first.")
    return invitation.server
