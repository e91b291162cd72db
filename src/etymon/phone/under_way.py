# SPDX-License-Identifier: Apache-2.0
"""The derivation under way: what the phone wrote down of it, and the keys made for it."""

from dataclasses import replace

from etymon.kernel.errors import Conflict
from etymon.kernel.secret import Secret
from etymon.phone import est, link
from etymon.phone.device import Device
from etymon.phone.key_store.contract import KeyHandle
from etymon.phone.state import Derivation, LinkService, Purpose, Redemption
from etymon.pki.algorithms import KeyType
from etymon.wire import link_qr


def derivation(device: Device) -> Derivation:
    """Return what is written down; `Conflict` `no_link_code` before a code was scanned."""
    if device.state.derivation is None:
        raise Conflict("no_link_code", "Scan the code on the issuer's page first.")
    return device.state.derivation


def change(device: Device, **changes: object) -> Derivation:
    """Replace members of the derivation and return it when it is written."""
    changed = replace(derivation(device), **changes)  # type: ignore[arg-type]  # members are named at each call
    device.change(derivation=changed)
    return changed


def service(derivation: Derivation) -> LinkService:
    """Return where the issuer's operations are."""
    if derivation.service is None:
        raise Conflict("wrong_step", "The link was not redeemed yet.")
    return derivation.service


def redemption(derivation: Derivation) -> Redemption:
    """Return what the issuer told at redemption."""
    if derivation.redemption is None:
        raise Conflict("wrong_step", "The link was not redeemed yet.")
    return derivation.redemption


def authorization(derivation: Derivation) -> Secret[str]:
    """Return the enrollment authorization."""
    if derivation.authorization is None:
        raise Conflict("wrong_step", "The link is not confirmed yet.")
    return derivation.authorization


def link_key(device: Device, derivation: Derivation) -> KeyHandle:
    """Return the key the link was redeemed with."""
    return device.keys.handle(derivation.alias(Purpose.AUTHENTICATION))


def key(device: Device, purpose: Purpose) -> KeyHandle:
    """Return the key for `purpose`; the first time it is made, of the kind the issuer wants."""
    present = derivation(device)
    alias = present.alias(purpose)
    if device.keys.entry(alias) is None:
        kind = _wanted(device, present, purpose)
        challenge = _challenge(present, purpose)
        return device.keys.generate(alias, kind, requires_activation=True, challenge=challenge)
    return device.keys.handle(alias)


def transport_key(device: Device) -> KeyHandle:
    """Return the key that a server-made key is enveloped to, made the first time."""
    present = derivation(device)
    alias = present.transport_alias
    if device.keys.entry(alias) is None:
        kind = _wanted(device, present, Purpose.ENCRYPTION)
        challenge = _challenge(present, Purpose.ENCRYPTION)
        return device.keys.generate(alias, kind, requires_activation=True, challenge=challenge, decrypts=True)
    return device.keys.handle(alias)


def _challenge(derivation: Derivation, purpose: Purpose) -> bytes:
    """Return what a key is attested for: the link's secret for the link key, the authorization for the others."""
    if purpose is Purpose.AUTHENTICATION:
        return link_qr.link_attestation_challenge(derivation.secret, derivation.link)
    return link_qr.request_attestation_challenge(authorization(derivation), purpose.value)


def _wanted(device: Device, derivation: Derivation, purpose: Purpose) -> KeyType:
    asked = link.connection(device, derivation, as_device=True)
    return est.key_type(asked, service(derivation).est, purpose)
