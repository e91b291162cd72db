# SPDX-License-Identifier: Apache-2.0
"""Setting up the derived credential: the guided flow from the scanned code to installed certificates.

Each step writes down what it will send before it sends it and what it got before it goes on, so that a phone that stops
anywhere goes on from there. Activated keys work in a use session only: the flow opens one and ends it.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotPermitted
from etymon.phone import certificate_chain, est, generated_key, key_history, link, qr_image, redemption, under_way
from etymon.phone.certification_request import certification_request
from etymon.phone.connection import Connection
from etymon.phone.device import Device
from etymon.phone.key_store.activation import ActivationState, WrongActivationSecret
from etymon.phone.key_store.store import UseSession
from etymon.phone.profiles import desired_state
from etymon.phone.screen import Comparison, Installing, Instructions, Ready, Screen, SecretRequest, SecretUse, Welcome
from etymon.phone.state import STANDING, Credential, Derivation, DerivationStep, DeviceState, Purpose
from etymon.wire import est as est_codec
from etymon.wire import link_qr

ENDED: Final = frozenset(
    {
        "device_identity_required",
        "digits_mismatch",
        "link_already_redeemed",
        "link_denied",
        "link_expired",
        "link_key_lost",
        "link_secret_wrong",
        "link_unknown",
    }
)
"""Refusals after which a link is of no use any more."""


def scan(device: Device, image: bytes) -> None:
    """Take the issuer's code from a picture. The same code again goes on; another begins anew.

    A phone that nobody manages takes one too: whether the issuer links it is the issuer's rule. `Conflict`
    `enrollment_unfinished` in the middle of an enrollment, `Malformed` for another kind of code, `NotPermitted`
    `wrong_issuer` for one of an issuer that is not the organisation's.
    """
    if device.state.device is DeviceState.PROVISIONING:
        raise Conflict("enrollment_unfinished", "The phone is being enrolled. Finish that first.")
    code = link_qr.decode(qr_image.read(image).reveal())
    requirement = device.state.management.requirement
    if requirement is not None and requirement.self_service and not _same_host(requirement.self_service, code):
        raise NotPermitted("wrong_issuer", "This code is not from your organisation's credential issuer.")
    if device.state.derivation is None or device.state.derivation.link != code.link:
        derivation = Derivation(
            DerivationStep.SCANNED, code.link, code.secret, code.issuer_url, code.pin, code.password_digits
        )
        device.change(derivation=derivation)
        device.remove_unnamed_keys()


def guide(device: Device, screen: Screen) -> None:
    """Show what comes before the scan: the organisation's welcome, and where to go."""
    membership, requirement = device.state.membership, device.state.management.requirement
    if membership is None:
        raise Conflict("not_enrolled", "The phone is not enrolled. Scan an enrollment code first.")
    screen.show(Welcome(membership.organization))
    if requirement is not None:
        screen.show(Instructions(requirement.issuer_name, requirement.self_service, requirement.instructions))


def set_up(device: Device, screen: Screen) -> None:
    """Go on from wherever the flow stands to installed certificates.

    `Conflict` `no_link_code` before a code was scanned; what the issuer refuses, after which the flow has either ended
    or can be gone on with by calling again.
    """
    if device.state.derivation is None:
        raise Conflict("no_link_code", "Scan the code on the issuer's page first.")
    with use_session(device, screen):
        try:
            _require_link_key(device)
            redemption.redeem(device, screen)
            _await_confirmation(device, screen)
            _choose_secret(device, screen)
            _install_all(device, screen)
        except EtymonError as refused:
            if refused.code in ENDED or refused.code.startswith(link.NOT_ATTESTED):
                abandon(device)
            raise
        _fetch_history(device)
    _finish(device, screen)


def abandon(device: Device) -> None:
    """Give the derivation under way up, with the keys made for it."""
    device.change(derivation=None)
    device.remove_unnamed_keys()


def use_session(device: Device, screen: Screen) -> UseSession:
    """Open a use session, asking for the activation secret until it is right; the tries are counted.

    While none is chosen the keys need none yet. Keys that too many wrong tries destroyed make room for new ones.
    """
    keys = device.keys
    if keys.activation().state is ActivationState.DESTROYED:
        keys.reset_activation()
    if keys.activation().state is ActivationState.UNSET:
        return keys.activate(None)
    problem = ""
    while True:
        try:
            return keys.activate(screen.ask_secret(SecretRequest(SecretUse.ENTER, problem)))
        except WrongActivationSecret as wrong:
            problem = wrong.detail


def _require_link_key(device: Device) -> None:
    derivation = under_way.derivation(device)
    if derivation.step is not DerivationStep.SCANNED and not device.keys.entry(
        derivation.alias(Purpose.AUTHENTICATION)
    ):
        raise Conflict("link_key_lost", "The keys made for this code are gone. Begin again on the PC.")


def _await_confirmation(device: Device, screen: Screen) -> None:
    derivation = under_way.derivation(device)
    if derivation.step is not DerivationStep.COMPARING:
        return
    told = under_way.redemption(derivation)
    screen.show(Comparison(told.person, told.mail, told.issuer, told.digits, told.expires_at))
    answer = link.authorization(device, derivation, told, under_way.link_key(device, derivation))
    under_way.change(
        device,
        step=DerivationStep.CONFIRMED,
        authorization=link.bearer(answer),
        redemption=replace(told, purposes=link.purposes(answer) or told.purposes),
    )


def _choose_secret(device: Device, screen: Screen) -> None:
    if under_way.derivation(device).step is not DerivationStep.CONFIRMED:
        return
    problem = ""
    while device.keys.activation().state is ActivationState.UNSET:
        try:
            device.keys.choose_activation_secret(screen.ask_secret(SecretRequest(SecretUse.CHOOSE, problem)))
        except Malformed as refused:
            problem = refused.detail
    under_way.change(device, step=DerivationStep.INSTALLING)


def _install_all(device: Device, screen: Screen) -> None:
    derivation = under_way.derivation(device)
    connection = link.connection(device, derivation, as_device=True)
    known = est.authorities(connection, under_way.service(derivation).est)
    for purpose in under_way.redemption(derivation).purposes:
        if purpose in under_way.derivation(device).installed:
            continue
        screen.show(Installing(purpose))
        if purpose is Purpose.ENCRYPTION:
            _install_server_generated(device, connection, purpose, known)
        else:
            _install(device, connection, purpose, known)
        under_way.change(device, installed=(*under_way.derivation(device).installed, purpose))


def _install(device: Device, connection: Connection, purpose: Purpose, known: tuple[x509.Certificate, ...]) -> None:
    derivation = under_way.derivation(device)
    key = under_way.key(device, purpose)
    proof = () if purpose is Purpose.AUTHENTICATION else generated_key.attestation(device, key.alias)
    name = device.state.hardware.serial_number
    body = _request(device, purpose, lambda: certification_request(key, name, *proof))
    certificate = est.enroll(
        connection,
        under_way.service(derivation).est,
        purpose,
        body,
        _authorization(device, derivation, purpose, body),
    )
    device.keys.set_certificate(derivation.alias(purpose), certificate, certificate_chain.chain(certificate, known))


def _install_server_generated(
    device: Device, connection: Connection, purpose: Purpose, known: tuple[x509.Certificate, ...]
) -> None:
    derivation = under_way.derivation(device)
    alias = derivation.alias(purpose)
    transport = under_way.transport_key(device)
    body = _request(device, purpose, lambda: generated_key.request(device, transport))
    envelope, certificate = est.server_generated(
        connection,
        under_way.service(derivation).est,
        purpose,
        body,
        _authorization(device, derivation, purpose, body),
    )
    generated_key.keep(device, alias, derivation.transport_alias, envelope, certificate, known)


def _fetch_history(device: Device) -> None:
    """Fetch the person's other encryption keys; the credential is ready without them, and they are asked for again."""
    derivation = under_way.derivation(device)
    if {Purpose.AUTHENTICATION, Purpose.ENCRYPTION} <= set(derivation.installed):
        alias = derivation.alias(Purpose.AUTHENTICATION)
        with contextlib.suppress(EtymonError):
            key_history.fetch(device, derivation.address, under_way.service(derivation), alias)


def _finish(device: Device, screen: Screen) -> None:
    derivation = under_way.derivation(device)
    purposes = derivation.installed
    before = [credential for credential in device.state.credentials if _outlives(credential, purposes)]
    retired = [replace(item, retired=item.retired or item.purpose in purposes) for item in before]
    fresh = [Credential(purpose, derivation.alias(purpose)) for purpose in purposes]
    management = device.state.management.without(STANDING)
    device.change(
        credentials=(*fresh, *retired), derivation=None, issuer=derivation.address, rekeys=(), management=management
    )
    device.remove_unnamed_keys()
    desired_state.apply(device)
    screen.show(Ready(purposes))


def _outlives(credential: Credential, replaced: tuple[Purpose, ...]) -> bool:
    """Say whether a certificate is kept: one that was not replaced, and any that opens older mail."""
    return credential.purpose is Purpose.ENCRYPTION or credential.purpose not in replaced


def _authorization(device: Device, derivation: Derivation, purpose: Purpose, body: bytes) -> est.Authorization:
    proof = link.request_proof(under_way.link_key(device, derivation), purpose, body)
    return est.Authorization(under_way.authorization(derivation), proof)


def _request(device: Device, purpose: Purpose, make: Callable[[], bytes]) -> bytes:
    """Return the request body for `purpose`, made once and then sent as it is."""
    requests = under_way.derivation(device).requests
    if purpose.value not in requests:
        requests = {**requests, purpose.value: est_codec.encode_body(make())}
        under_way.change(device, requests=requests)
    return requests[purpose.value]


def _same_host(url: str, code: link_qr.LinkQR) -> bool:
    return urlsplit(url).hostname == urlsplit(code.issuer_url).hostname
