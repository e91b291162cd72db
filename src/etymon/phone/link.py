# SPDX-License-Identifier: Apache-2.0
"""Linking: a scanned code becomes an enrollment authorization bound to a key of this phone (docs/protocols/link.md)."""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from etymon.card.external_key import sign, usual_scheme
from etymon.card.tls import TLSIdentity
from etymon.kernel.errors import Expired, NotPermitted, Unavailable
from etymon.kernel.secret import Secret, same
from etymon.phone import document
from etymon.phone.connection import Connection, https_address
from etymon.phone.device import Device
from etymon.phone.document import Document
from etymon.phone.enrollment import device_description
from etymon.phone.key_store.contract import KeyHandle
from etymon.phone.state import Derivation, IssuerAddress, LinkService, Purpose, Redemption
from etymon.pki.certificate import spki, spki_sha256
from etymon.wire import link_qr

PROTOCOL: Final = 1
NOT_ATTESTED: Final = "attestation_"
"""How codes begin of refusals after which a key is of no use: a new one has to be made, or another phone be taken."""

WAIT_SECONDS: Final = 20
BETWEEN_POLLS_SECONDS: Final = 1
LONGEST_BACKOFF_SECONDS: Final = 30


def connection(device: Device, derivation: Derivation, *, as_device: bool) -> Connection:
    """Return a connection for this derivation: the code's pin decides about the issuer's host.

    A phone that nobody manages has no device identity to show.
    """
    identity = device.identity() if as_device and device.state.membership else None
    return connection_to(device, derivation.address, identity)


def connection_to(device: Device, address: IssuerAddress, identity: TLSIdentity | None = None) -> Connection:
    """Return a connection to an issuer whose host is believed by the pin alone."""
    host = urlsplit(address.issuer_url).hostname or ""
    return Connection(device, identity=identity, pins={host: address.pin})


def service(device: Device, address: IssuerAddress) -> LinkService:
    """Ask the issuer where things are."""
    answer = connection_to(device, address).ask("GET", f"{address.issuer_url}/.well-known/etymon-issuer")
    return LinkService(
        name=answer.text("name"),
        redeem=https_address(answer.text("redeem")),
        authorization=https_address(answer.text("authorization")),
        est=https_address(answer.text("est")),
        rekey_confirmation=https_address(answer.text("rekeyConfirmation", "")) if "rekeyConfirmation" in answer else "",
        key_history=https_address(answer.text("keyHistory")) if "keyHistory" in answer else "",
        attestation_challenge=(
            https_address(answer.text("attestationChallenge")) if "attestationChallenge" in answer else ""
        ),
    )


def attestation_challenge(device: Device, asked: Connection, found: LinkService, purpose: str) -> bytes | None:
    """Return what the issuer wants a new key attested for, asked with the derived credential (est.md).

    None where nobody could attest or look.
    """
    if not device.keys.attests or not found.attestation_challenge:
        return None
    request = {"protocol": PROTOCOL, "purpose": purpose}
    return asked.ask("POST", found.attestation_challenge, request).octets("challenge")


def redeem(device: Device, derivation: Derivation, found: LinkService, link_key: KeyHandle) -> Redemption:
    """Redeem the link with the key that was made for it; the same key may ask again.

    Raises `NotPermitted` `digits_mismatch` if the issuer computed other digits: somebody stands in between, and
    `link_password_wrong` for a password, or a secret, that is not the link's.
    """
    secret = base64.urlsafe_b64encode(derivation.secret.reveal()).rstrip(b"=").decode("ascii")
    answer = connection(device, derivation, as_device=True).ask(
        "POST",
        found.redeem,
        {
            "protocol": PROTOCOL,
            "link": str(derivation.link),
            "secret": secret,
            **({"password": derivation.password.reveal()} if derivation.password else {}),
            "key": document.base64_text(spki(link_key.public_key)),
            "device": device_description(device.state.hardware),
            **_attestation(device, link_key),
        },
    )
    digits = link_qr.six_digits(derivation.secret, derivation.link, spki_sha256(link_key.public_key))
    if not same(answer.text("digits").encode(), digits.encode()):
        raise NotPermitted("digits_mismatch", "The issuer answered for another phone or code. Begin again on the PC.")
    person = answer.document("person")
    return Redemption(
        person=person.text("displayName"),
        mail=person.text("mail", ""),
        issuer=answer.text("issuer"),
        digits=digits,
        expires_at=answer.moment("expiresAt"),
        purposes=purposes(answer),
    )


def authorization(device: Device, derivation: Derivation, redemption: Redemption, link_key: KeyHandle) -> Document:
    """Wait until the person has confirmed on the PC; return the answer that carries the authorization.

    Raises `NotPermitted` `link_denied` and `Expired` `link_expired`.
    """
    asked = connection(device, derivation, as_device=True)
    request = _authorization_request(derivation, link_key)
    url = derivation.service.authorization if derivation.service else ""
    clock, pause = device.surroundings.clock, device.surroundings.pause
    backoff = BETWEEN_POLLS_SECONDS
    while redemption.expires_at > clock.now():
        try:
            answer = asked.ask("POST", url, request, wait_seconds=WAIT_SECONDS)
        except Unavailable:
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
        else:
            if answer.text("state") == "confirmed":
                return answer
            backoff = BETWEEN_POLLS_SECONDS
        pause.wait(backoff)
    raise Expired("link_expired", "Nobody confirmed on the PC in time. Begin again there.")


def _attestation(device: Device, key: KeyHandle) -> Mapping[str, object]:
    entry = device.keys.entry(key.alias)
    if entry is None or not entry.attestation:
        return {}
    return {"attestation": [document.base64_text(certificate) for certificate in entry.attestation]}


def purposes(answer: Document) -> tuple[Purpose, ...]:
    """Return the purposes this phone knows among those an answer names."""
    known = {purpose.value: purpose for purpose in Purpose}
    return tuple(known[name] for name in answer.texts("purposes") if name in known)


def request_proof(link_key: KeyHandle, purpose: Purpose, body: bytes) -> str:
    """Return the `Link-Proof` of an EST request."""
    message = link_qr.request_message(purpose.value, body)
    return document.base64_text(sign(link_key, message, usual_scheme(link_key.public_key)))


def _authorization_request(derivation: Derivation, link_key: KeyHandle) -> Mapping[str, object]:
    message = link_qr.authorization_message(derivation.link)
    proof = sign(link_key, message, usual_scheme(link_key.public_key))
    return {
        "protocol": PROTOCOL,
        "link": str(derivation.link),
        "wait": WAIT_SECONDS,
        "proof": document.base64_text(proof),
    }


def bearer(answer: Document) -> Secret[str]:
    """Return the enrollment authorization."""
    return Secret(answer.text("authorization"))
