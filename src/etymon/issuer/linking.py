# SPDX-License-Identifier: Apache-2.0
"""Linking a phone to a card session (docs/protocols/link.md): redemption, six digits, confirmation, authorization."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from etymon.audit.model import Outcome
from etymon.directory.model import Person
from etymon.issuer import card_recheck, device_identity, eligibility, errors, link_key, notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import (
    AUTHORIZATION_LIFETIME,
    AUTHORIZING,
    PROOF_LIFETIME,
    WRONG_SECRETS_LIMIT,
    CardSession,
    Derivation,
    DerivationState,
    DeviceDescription,
    DeviceIdentity,
    EndReason,
    Purpose,
    RedeemedLink,
)
from etymon.issuer.store import derivations, rules
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret, same
from etymon.pki.algorithms import key_type
from etymon.pki.certificate import spki
from etymon.storage.database import Transaction
from etymon.wire import link_qr


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a phone sends after it scanned the code. `key` is the DER SubjectPublicKeyInfo of the link key."""

    link: UUID
    secret: Secret[bytes]
    key: bytes
    description: DeviceDescription


@dataclass(frozen=True, slots=True)
class Linked:
    """What the phone shows its person before the PC confirms."""

    display_name: str
    mail: str
    digits: str
    expires_at: datetime
    purposes: tuple[Purpose, ...]


@dataclass(frozen=True, slots=True)
class Authorized:
    """The phone may ask for one certificate a purpose until `expires_at`."""

    authorization: Secret[str]
    purposes: tuple[Purpose, ...]
    expires_at: datetime


def secret_digest(deps: Dependencies, secret: Secret[bytes]) -> bytes:
    """Return what is kept of a link's secret."""
    return deps.digest_key.digest("issuer.link", secret.reveal().hex())


def authorization_digest(deps: Dependencies, authorization: Secret[str]) -> bytes:
    """Return what is kept of an authorization."""
    return deps.digest_key.digest("issuer.authorization", authorization)


def redeem(deps: Dependencies, request: Redemption, device: DeviceIdentity | None, *, source: str) -> Linked:
    """Take the secret, once, for this device and key; the same again gets the same answer until the PC confirms.

    Raises `link_unknown`, `link_expired`, `link_secret_wrong` (five end the link), `link_already_redeemed`,
    `device_identity_required`, and what eligibility refuses.
    """
    public_key = link_key.load(request.key)
    with deps.database.transaction() as tx:
        answer = _redeem(tx, deps, replace(request, key=spki(public_key)), device, source)
    if isinstance(answer, EtymonError):  # refused, and what the refusal changed is kept
        raise answer
    return answer


def confirm(deps: Dependencies, session: CardSession, link: UUID, key_thumbprint: bytes, *, source: str) -> None:
    """Confirm the phone and key that the page showed; only the card session that made the link may.

    Confirming twice does no harm. The person is told with an undo link.
    """
    now = deps.clock.now()
    with deps.database.transaction() as tx:
        derivations.lock_all_of(tx, session.person)  # two confirmations of one person count one after the other
        in_use = eligibility.devices_in_use(tx, deps.clock, session.person, but=link)
        derivation = _own(tx, session, link)
        if derivation.session != session.id:
            raise errors.other_card_session()
        if derivation.state in AUTHORIZING:
            return
        _require_open(derivation, now)
        if now >= session.proved_at + PROOF_LIFETIME:
            raise errors.card_proof_old()
        if derivation.link is None or not same(derivation.link.key_thumbprint, key_thumbprint):
            raise errors.derivation_over()
        applicant = eligibility.still_applicant(tx, derivation)
        if in_use >= applicant.rule.most_derivations:
            raise errors.too_many_derivations(applicant.rule.most_derivations)
        digest = authorization_digest(deps, _authorization(deps, derivation))
        derivations.move(
            tx,
            derivation,
            DerivationState.CONFIRMED,
            {"confirmed_at": now, "authorization_digest": digest, "expires_at": now + AUTHORIZATION_LIFETIME},
        )
        _record(tx, deps, "link:confirmed", derivation, actor=f"person:{session.person}", source=source)
        notices.link_confirmed(tx, deps, applicant.person, derivation)
        card_recheck.enqueue(tx, deps, derivation)


def deny(deps: Dependencies, session: CardSession, link: UUID, *, source: str) -> None:
    """Refuse the phone; whoever it is gets nothing. Refusing twice does no harm."""
    with deps.database.transaction() as tx:
        derivation = _own(tx, session, link)
        if derivation.state is DerivationState.DENIED:
            return
        derivations.move(
            tx, derivation, DerivationState.DENIED, derivations.ended_values(EndReason.UNSPECIFIED, deps.clock.now())
        )
        _record(tx, deps, "link:denied", derivation, actor=f"person:{session.person}", source=source)


def authorization(deps: Dependencies, link: UUID, proof: bytes, device: DeviceIdentity | None) -> Authorized | None:
    """Return the phone's authorization once the PC has confirmed, None before; `proof` is the link key's signature.

    The same answer however often it is asked for: the value is computed from our own key and kept as a digest.
    """
    with deps.database.snapshot() as tx:
        derivation = derivations.find(tx, link)
    if derivation is None or derivation.link is None:
        raise errors.link_unknown()
    device_identity.require_same(derivation.link.device, device)
    link_key.require_signature(derivation.link.key, link_qr.authorization_message(link), proof)
    if derivation.state in {DerivationState.DENIED, DerivationState.ENDED}:
        raise errors.link_denied()
    if derivation.state is DerivationState.EXPIRED or deps.clock.now() >= derivation.expires_at:
        raise errors.link_expired()
    if derivation.state is DerivationState.REDEEMED:
        return None
    return Authorized(_authorization(deps, derivation), derivation.purposes, derivation.expires_at)


def _redeem(
    tx: Transaction, deps: Dependencies, request: Redemption, device: DeviceIdentity | None, source: str
) -> Linked | EtymonError:
    found = derivations.lock_with_secret(tx, request.link)
    if device is None and (found is None or _managed_only(tx, found[0])):
        raise errors.device_identity_required()
    if found is None:
        raise errors.link_unknown()
    derivation, digest = found
    _require_open(derivation, deps.clock.now())
    if not same(digest, secret_digest(deps, request.secret)):
        return _wrong_secret(tx, deps, derivation, device, source)
    applicant = eligibility.still_applicant(tx, derivation)
    if key_type(link_key.load(request.key)) not in applicant.rule.key_types:
        raise errors.key_type_not_allowed()
    key_thumbprint = hashlib.sha256(request.key).digest()
    if derivation.link is not None:
        device_thumbprint = derivation.link.device.thumbprint if derivation.link.device else None
        if device_thumbprint != (device.thumbprint if device else None) or derivation.link.key != request.key:
            _record_refusal(tx, deps, derivation, device, source, code="link_already_redeemed")
            return errors.link_already_redeemed()
        return _linked(applicant.person, derivation, derivation.link)
    link = RedeemedLink(
        device=device,
        description=request.description,
        key=request.key,
        key_thumbprint=key_thumbprint,
        digits=link_qr.six_digits(request.secret, derivation.id, key_thumbprint),
        redeemed_at=deps.clock.now(),
        redeemed_from=source,
    )
    derivations.move(tx, derivation, DerivationState.REDEEMED, derivations.redeemed_values(link))
    _record(tx, deps, "link:redeemed", replace(derivation, link=link), actor=_actor(device), source=source)
    return _linked(applicant.person, derivation, link)


def _wrong_secret(
    tx: Transaction, deps: Dependencies, derivation: Derivation, device: DeviceIdentity | None, source: str
) -> EtymonError:
    tries = derivations.count_wrong_secret(tx, derivation.id)
    _record_refusal(tx, deps, derivation, device, source, code="link_secret_wrong")
    if tries < WRONG_SECRETS_LIMIT:
        return errors.link_secret_wrong()
    ended = derivations.ended_values(EndReason.UNSPECIFIED, deps.clock.now())
    derivations.move(tx, derivation, DerivationState.DENIED, ended)
    _record(tx, deps, "link:denied", derivation, actor=_actor(device), source=source)
    return errors.link_secret_wrong()


def _record_refusal(
    tx: Transaction,
    deps: Dependencies,
    derivation: Derivation,
    device: DeviceIdentity | None,
    source: str,
    *,
    code: str,
) -> None:
    record(
        tx,
        deps,
        "link:refused",
        actor=_actor(device),
        subject=derivation.id,
        source=source,
        outcome=Outcome.FAILURE,
        code=code,
    )


def _require_open(derivation: Derivation, now: datetime) -> None:
    if derivation.state in AUTHORIZING:
        raise errors.link_already_redeemed()
    if derivation.state in {DerivationState.DENIED, DerivationState.ENDED}:
        raise errors.link_denied()
    if derivation.state is DerivationState.EXPIRED or now >= derivation.expires_at:
        raise errors.link_expired()


def _own(tx: Transaction, session: CardSession, link: UUID) -> Derivation:
    derivation = derivations.lock(tx, link)
    if derivation is None or derivation.person != session.person:
        raise errors.derivation_unknown()
    return derivation


def _managed_only(tx: Transaction, derivation: Derivation) -> bool:
    found = rules.find(tx, derivation.rule)
    return found is None or found[0].managed_devices_only


def _linked(person: Person, derivation: Derivation, link: RedeemedLink) -> Linked:
    return Linked(
        person.display_name, masked(person.mail_addresses[0]), link.digits, derivation.expires_at, derivation.purposes
    )


def masked(address: str) -> str:
    """Return a mail address of which a stranger learns the ends of the local part and the domain."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…{local[-1:]}@{domain}" if len(local) > 2 else f"…@{domain}"


def _authorization(deps: Dependencies, derivation: Derivation) -> Secret[str]:
    key = deps.digest_key.derive("issuer.authorization")
    mac = hmac.digest(key.reveal(), derivation.id.bytes, hashlib.sha256)
    return Secret(base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii"))


def _actor(device: DeviceIdentity | None) -> str:
    return f"device:{device.thumbprint.hex()}" if device else "device:unmanaged"


def _record(tx: Transaction, deps: Dependencies, name: str, derivation: Derivation, *, actor: str, source: str) -> None:
    link = derivation.link
    record(
        tx,
        deps,
        name,
        actor=actor,
        subject=derivation.id,
        source=source,
        device=link.device.thumbprint.hex() if link and link.device else None,
        key=link.key_thumbprint.hex() if link else None,
    )
