# SPDX-License-Identifier: Apache-2.0
"""Key history: the person's other encryption keys come to this phone, for older mail (docs/protocols/key-history.md).

Asked for once with each authentication credential. Each step is written down before it is taken, so that a phone that
stops anywhere goes on from there.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.card.tls import TLSIdentity
from etymon.kernel.errors import Conflict, EtymonError
from etymon.phone import certificate_chain, document, est, generated_key, link
from etymon.phone.certificate_chain import without_roots
from etymon.phone.connection import Connection
from etymon.phone.device import Device
from etymon.phone.document import Document
from etymon.phone.key_store.contract import KeyEntry, KeyHandle
from etymon.phone.state import Credential, IssuerAddress, KeyHistory, LinkService, Purpose
from etymon.pki import certificate as certificates
from etymon.pki.algorithms import KeyType

MOST_KEYS: Final = 20
"""As many as a card holds retired keys (SP 800-73-5 part 1 §3.3.3)."""

A_DAY: Final = timedelta(days=1)
"""Who asks too early is told of by mail: not at every occasion."""

PURPOSE: Final = "keyHistory"
"""What the issuer calls the transport key's attestation for."""

OVER: Final = frozenset({"card_not_bound", "key_history_off", "key_history_used"})
"""Refusals after which there is nothing more to ask for with this credential."""
ASK_ANEW: Final = frozenset({"escrowed_key_destroyed", "escrowed_key_unknown", "transport_key_too_weak"})
"""Refusals after which this request is of no use any more, and another one may be."""


def is_due(device: Device) -> bool:
    """Say whether the phone has still to ask with its present credential, or may go on with what it asked for."""
    present = device.state.credential(Purpose.AUTHENTICATION)
    if present is None or device.state.credential(Purpose.ENCRYPTION) is None or device.state.issuer is None:
        return False
    history = device.state.history
    if history is None or history.asked_with != present.alias:
        return True
    return bool(history.keys) and waits_until(device) is None


def waits_until(device: Device) -> datetime | None:
    """Return when the issuer hands out what the phone has asked for, where that is to come."""
    history = device.state.history
    if history is None or history.not_before is None or device.surroundings.clock.now() >= history.not_before:
        return None
    return history.not_before


def entries(device: Device) -> tuple[KeyEntry, ...]:
    """Return the keys that only open older mail: fetched, or replaced on this phone."""
    retired = [item for item in device.state.credentials if item.retired and item.purpose is Purpose.ENCRYPTION]
    return tuple(entry for item in retired if (entry := device.keys.entry(item.alias)))


def fetch(device: Device, address: IssuerAddress, service: LinkService, alias: str) -> None:
    """Fetch what the phone does not have, in a use session, with the authentication credential called `alias`.

    What the issuer refuses is raised when asking again may help.
    """
    history = device.state.history
    try:
        if history is None or history.asked_with != alias:
            history = _begin(device, address, service, alias)
        if history.keys and waits_until(device) is None:
            _fetch(device, address, service, history)
    except EtymonError as refused:
        if refused.code in OVER:
            _save(device, KeyHistory(alias))
        elif refused.code == "recovery_too_early":
            _look_again(device, address, service, alias)
        elif refused.code in ASK_ANEW or refused.code.startswith(link.NOT_ATTESTED):
            _save(device, None)
        if refused.code not in OVER:
            raise


def _begin(device: Device, address: IssuerAddress, service: LinkService, alias: str) -> KeyHistory:
    """Write down which keys the issuer has for this person that the phone has not."""
    missing: tuple[UUID, ...] = ()
    not_before: datetime | None = None
    if service.key_history:
        answer = link.connection_to(device, address, _identity(device, alias)).ask("GET", service.key_history)
        held = {certificates.spki(entry.public_key) for entry in device.keys.entries()}
        missing = tuple(
            item.uuid("key")
            for item in answer.documents("keys")
            if certificates.spki(certificates.load(item.octets("certificate"))) not in held
        )
        not_before = answer.moment("notBefore") if "notBefore" in answer else None
    begun = KeyHistory(alias, missing[:MOST_KEYS], not_before=not_before if missing else None)
    _save(device, begun)
    return begun


def _look_again(device: Device, address: IssuerAddress, service: LinkService, alias: str) -> None:
    """Write down from when on the issuer hands the keys out now, and do not ask for a day whatever this clock says."""
    tomorrow = device.surroundings.clock.now() + A_DAY
    asked = device.state.history
    if asked is not None:  # where the list does not come
        _save(device, KeyHistory(alias, asked.keys, not_before=tomorrow))
    begun = _begin(device, address, service, alias)
    _save(device, replace(begun, not_before=max(tomorrow, begun.not_before or tomorrow)))


def _fetch(device: Device, address: IssuerAddress, service: LinkService, history: KeyHistory) -> None:
    connection = link.connection_to(device, address, _identity(device, history.asked_with))
    known = est.authorities(connection, service.est)
    for item in _released(device, connection, service, history).documents("keys"):
        certificate, alias = certificates.load(item.octets("certificate")), history.alias(item.uuid("key"))
        if item.uuid("key") in history.keys:
            generated_key.open_into_store(device, alias, history.transport_alias, item.octets("envelopedKey"), known)
            device.keys.set_certificate(alias, certificate, certificate_chain.known_issuers(certificate, known))
    kept = [name for name in map(history.alias, history.keys) if device.keys.entry(name)]
    added = [Credential(Purpose.ENCRYPTION, name, retired=True) for name in kept]
    before = [item for item in device.state.credentials if item not in added]
    device.change(credentials=(*before, *added), history=KeyHistory(history.asked_with))
    device.remove_unnamed_keys()


def _released(device: Device, connection: Connection, service: LinkService, history: KeyHistory) -> Document:
    request = history.request
    if request is None:
        request = generated_key.request(device, _transport(device, connection, service, history))
        _save(device, replace(history, request=request))
    asked = {
        "protocol": link.PROTOCOL,
        "keys": [str(key) for key in history.keys],
        "request": document.base64_text(request),
    }
    return connection.ask("POST", service.key_history, asked)


def _transport(device: Device, connection: Connection, service: LinkService, history: KeyHistory) -> KeyHandle:
    """Return the transport key: as long as the longest key that escrow makes, attested for this history."""
    alias = history.transport_alias
    if device.keys.entry(alias) is None:
        challenge = link.attestation_challenge(device, connection, service, PURPOSE)
        return device.keys.generate(
            alias, KeyType.RSA3072, requires_activation=True, challenge=challenge, decrypts=True
        )
    return device.keys.handle(alias)


def _save(device: Device, history: KeyHistory | None) -> None:
    device.change(history=history)
    device.remove_unnamed_keys()


def _identity(device: Device, alias: str) -> TLSIdentity:
    entry = device.keys.entry(alias)
    if entry is None or entry.certificate is None:
        raise Conflict("no_credential", "The phone has no certificate to ask with. Set it up with your card.")
    return TLSIdentity(entry.certificate, device.keys.handle(entry.alias), without_roots(entry.chain))
