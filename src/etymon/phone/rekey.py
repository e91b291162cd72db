# SPDX-License-Identifier: Apache-2.0
"""Rekey: a new key and certificate in place of each that is due, asked for with the present one (est.md).

The person enters the activation secret, as for any use, and needs no card. Each step is written down before it is
taken, so that a phone that stops anywhere goes on from there. The key before goes when the issuer has seen the new one.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from cryptography import x509

from etymon.card.tls import TLSIdentity
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, EtymonError
from etymon.phone import certificate_chain, derived_credential, est, generated_key, key_history, link
from etymon.phone.certificate_chain import without_roots
from etymon.phone.certification_request import certification_request
from etymon.phone.connection import Connection
from etymon.phone.device import Device
from etymon.phone.key_store.contract import KeyEntry, KeyHandle
from etymon.phone.profiles import desired_state
from etymon.phone.screen import Installing, Rekeyed, Screen
from etymon.phone.state import Credential, IssuerAddress, LinkService, Purpose, Rekey
from etymon.pki import certificate as certificates
from etymon.wire import est as est_codec

WINDOW: Final = timedelta(days=30)
SHARE_OF_LIFE: Final = 3
"""The window is 30 days, or the last third of a shorter life (docs/protocols/est.md)."""

GIVEN_UP: Final = frozenset(
    {"already_rekeyed", "credential_ended", "key_already_certified", "key_type_not_allowed", "rekey_not_due"}
)
"""Refusals after which this request is of no use any more."""


def due(device: Device) -> tuple[Purpose, ...]:
    """Return what is to be rekeyed: what the issuer asks for, what comes to its end, and what was begun."""
    asked = device.state.management.requirement.rekey if device.state.management.requirement else ()
    now, begun = device.surroundings.clock.now(), {rekey.purpose for rekey in device.state.rekeys}
    found: list[Purpose] = []
    for purpose in Purpose:
        entry = desired_state.credential_entry(device, purpose)
        if entry is None or entry.certificate is None:
            continue
        certificate = entry.certificate
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        ends_soon = now >= certificate.not_valid_after_utc - min(WINDOW, life / SHARE_OF_LIFE)
        if ends_soon or purpose in begun or certificates.thumbprint(certificate).hex() in asked:
            found.append(purpose)
    return tuple(found)


def rekey(device: Device, screen: Screen) -> tuple[Purpose, ...]:
    """Replace what is due and return it; what was begun before is finished first.

    `Conflict` `issuer_unknown` where the phone does not know where its credential came from; what the issuer refuses,
    after which calling again goes on, or begins anew where this request is of no use any more.
    """
    purposes = due(device)
    if not purposes:
        return ()
    address = device.state.issuer
    if address is None:
        raise Conflict("issuer_unknown", "Set the credential up again with your card: its issuer is not known here.")
    with derived_credential.use_session(device, screen):
        service = link.service(device, address)
        for purpose in purposes:  # authentication first: the new one asks for the others
            if not _is_installed(device, purpose):
                screen.show(Installing(purpose))
                _replace(device, address, service, purpose)
        desired_state.apply(device)
        _confirm(device, address, service)
        present = device.state.credential(Purpose.AUTHENTICATION)
        if present is not None and key_history.is_due(device):
            with contextlib.suppress(EtymonError):  # what was replaced is replaced; the phone asks again
                key_history.fetch(device, address, service, present.alias)
    desired_state.apply(device)
    screen.show(Rekeyed(purposes))
    return purposes


def _replace(device: Device, address: IssuerAddress, service: LinkService, purpose: Purpose) -> None:
    connection = link.connection_to(device, address, _identity(device))
    known = est.authorities(connection, service.est)
    begun = _begun(device, purpose)
    try:
        if purpose is Purpose.ENCRYPTION:
            _server_generated(device, connection, service, begun, known)
        else:
            _own(device, connection, service, begun, known)
    except EtymonError as refused:
        if refused.code in GIVEN_UP or refused.code.startswith(link.NOT_ATTESTED):
            _change(device, purpose, None)
            device.remove_unnamed_keys()
        raise
    old = [replace(item, retired=item.retired or item.alias == begun.replaces) for item in device.state.credentials]
    device.change(
        credentials=(Credential(purpose, begun.alias), *old),
        rekeys=tuple(
            replace(item, installed=True) if item.purpose is purpose else item for item in device.state.rekeys
        ),
    )


def _own(
    device: Device, connection: Connection, service: LinkService, begun: Rekey, known: Sequence[x509.Certificate]
) -> None:
    key = _key(device, connection, service, begun.alias, begun.purpose)
    name, proof = device.state.hardware.serial_number, generated_key.attestation(device, key.alias)
    body = begun.request or _kept_request(device, begun, certification_request(key, name, *proof))
    certificate = est.reenroll(connection, service.est, begun.purpose, body)
    device.keys.set_certificate(begun.alias, certificate, certificate_chain.chain(certificate, known))


def _server_generated(
    device: Device, connection: Connection, service: LinkService, begun: Rekey, known: Sequence[x509.Certificate]
) -> None:
    transport = _key(device, connection, service, begun.transport_alias, begun.purpose)
    body = begun.request or _kept_request(device, begun, generated_key.request(device, transport))
    envelope, certificate = est.server_generated(connection, service.est, begun.purpose, body)
    generated_key.keep(device, begun.alias, begun.transport_alias, envelope, certificate, known)


def _confirm(device: Device, address: IssuerAddress, service: LinkService) -> None:
    """Show the new credential to the issuer, which ends what was before; then the keys before go, but for mail's."""
    entries = [_entry(device, rekey.alias) for rekey in device.state.rekeys if rekey.installed]
    named = [certificates.thumbprint(entry.certificate).hex() for entry in entries if entry.certificate]
    if named and service.rekey_confirmation:
        asked = link.connection_to(device, address, _identity(device))
        asked.ask("POST", service.rekey_confirmation, {"protocol": link.PROTOCOL, "installed": named})
    replaced = {rekey.replaces for rekey in device.state.rekeys if rekey.installed}
    kept = [
        item for item in device.state.credentials if item.alias not in replaced or item.purpose is Purpose.ENCRYPTION
    ]
    left = tuple(rekey for rekey in device.state.rekeys if not rekey.installed)
    device.change(credentials=tuple(kept), rekeys=left)
    device.remove_unnamed_keys()


def _begun(device: Device, purpose: Purpose) -> Rekey:
    """Return the rekey that was begun for a purpose, or begin one: its key's name is written down before the key is."""
    for rekey in device.state.rekeys:
        if rekey.purpose is purpose:
            return rekey
    present = device.state.credential(purpose)
    if present is None:
        raise Conflict("no_credential", "There is nothing to replace. Set the credential up with your card.")
    name = random_id(device.surroundings.entropy).hex[:12]
    begun = Rekey(purpose, f"derived-{purpose.value}-{name}", present.alias)
    device.change(rekeys=(*device.state.rekeys, begun))
    return begun


def _kept_request(device: Device, begun: Rekey, request: bytes) -> bytes:
    body = est_codec.encode_body(request)
    _change(device, begun.purpose, replace(begun, request=body))
    return body


def _change(device: Device, purpose: Purpose, changed: Rekey | None) -> None:
    others = [rekey for rekey in device.state.rekeys if rekey.purpose is not purpose]
    device.change(rekeys=(*others, changed) if changed else tuple(others))


def _key(device: Device, connection: Connection, service: LinkService, alias: str, purpose: Purpose) -> KeyHandle:
    if device.keys.entry(alias) is None:
        kind = est.key_type(connection, service.est, purpose)
        challenge = link.attestation_challenge(device, connection, service, purpose.value)
        decrypts = purpose is Purpose.ENCRYPTION
        return device.keys.generate(alias, kind, requires_activation=True, challenge=challenge, decrypts=decrypts)
    return device.keys.handle(alias)


def _is_installed(device: Device, purpose: Purpose) -> bool:
    return any(rekey.purpose is purpose and rekey.installed for rekey in device.state.rekeys)


def _identity(device: Device) -> TLSIdentity:
    entry = desired_state.credential_entry(device, Purpose.AUTHENTICATION)
    if entry is None or entry.certificate is None:
        raise Conflict("no_credential", "There is nothing to replace. Set the credential up with your card.")
    return TLSIdentity(entry.certificate, device.keys.handle(entry.alias), without_roots(entry.chain))


def _entry(device: Device, alias: str) -> KeyEntry:
    entry = device.keys.entry(alias)
    if entry is None:
        raise Conflict("no_credential", "A new key is gone. Set the credential up with your card.")
    return entry
