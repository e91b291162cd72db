# SPDX-License-Identifier: Apache-2.0
"""Which app gets the authentication certificate: what policy says, and where it leaves it to the user, the user."""

from collections.abc import Callable

from etymon.card.tls import TLSIdentity
from etymon.kernel.errors import NotFound, NotPermitted
from etymon.phone.certificate_chain import without_roots
from etymon.phone.device import Device
from etymon.phone.profiles import certificate_access
from etymon.phone.profiles.certificate_access import Access
from etymon.phone.profiles.desired_state import credential_entry
from etymon.phone.state import Purpose

Approve = Callable[[str], bool]
"""Asks the user whether the app with this package id may use the credential."""


def identity(device: Device, package: str, approve: Approve) -> TLSIdentity:
    """Return the authentication certificate and its key for an app's TLS.

    On a phone that nobody manages there is no policy, and its person decides about each app.
    `NotPermitted` `access_denied` where policy or user say no, `NotFound` `no_credential` before there is one.
    """
    managed = device.state.membership is not None
    access = certificate_access.decide(device.state.management.policies, package) if managed else Access.ASK_USER
    if access is Access.DENIED:
        raise NotPermitted("access_denied", "No policy gives apps on this phone the derived credential.")
    entry = credential_entry(device, Purpose.AUTHENTICATION)
    if entry is None or entry.certificate is None:
        raise NotFound("no_credential", "The derived credential is not set up yet.")
    if access is Access.ASK_USER and not approve(package):
        raise NotPermitted("access_denied", f"You did not let {package} use your credential.")
    return TLSIdentity(entry.certificate, device.keys.handle(entry.alias), without_roots(entry.chain))
