# SPDX-License-Identifier: Apache-2.0
"""Linking a phone to a card session (docs/protocols/link.md): what the PC decides, and the authorization."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import people
from etymon.issuer import approval, card_links, card_recheck, device_identity, eligibility, errors, link_key, notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import (
    AUTHORIZATION_LIFETIME,
    AUTHORIZING,
    PROOF_LIFETIME,
    CardSession,
    Derivation,
    DerivationState,
    DeviceIdentity,
    EndReason,
    Purpose,
)
from etymon.issuer.store import derivations
from etymon.kernel.secret import Secret, same
from etymon.storage.database import Transaction
from etymon.wire import link_qr

REFUSED_EVENT: Final = "issuer:link:refused"
DENIALS_TOLD_AN_HOUR: Final = 3
"""Refused links of one person of which a mail goes out."""


@dataclass(frozen=True, slots=True)
class Authorized:
    """The phone may ask for one certificate a purpose until `expires_at`."""

    authorization: Secret[str]
    purposes: tuple[Purpose, ...]
    expires_at: datetime


def authorization_digest(deps: Dependencies, authorization: Secret[str]) -> bytes:
    """Return what is kept of an authorization."""
    return deps.digest_key.digest("issuer.authorization", authorization)


def confirm(deps: Dependencies, session: CardSession, link: UUID, key_thumbprint: bytes, *, source: str) -> None:
    """Confirm the phone and key that the page showed; only the card session that made the link may.

    Confirming twice does no harm. The person is told with an undo link. An approval it began under is used up.
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
        require_open(derivation, now)
        if now >= session.proved_at + PROOF_LIFETIME:
            raise errors.card_proof_old()
        if derivation.link is None or not same(derivation.link.key_thumbprint, key_thumbprint):
            raise errors.derivation_over()
        applicant = eligibility.still_applicant(tx, derivation)
        if in_use >= applicant.rule.most_derivations:
            raise errors.too_many_derivations(applicant.rule.most_derivations)
        approval.use(tx, deps, derivation)
        digest = authorization_digest(deps, _authorization(deps, derivation))
        derivations.move(
            tx,
            derivation,
            DerivationState.CONFIRMED,
            {"confirmed_at": now, "authorization_digest": digest, "expires_at": now + AUTHORIZATION_LIFETIME},
        )
        record_link(tx, deps, "link:confirmed", derivation, actor=f"person:{session.person}", source=source)
        notices.link_confirmed(tx, deps, applicant.person, derivation)
        card_recheck.enqueue(tx, deps, derivation)
        card_links.keep(tx, deps, derivation)


def deny(deps: Dependencies, session: CardSession, link: UUID, *, source: str) -> None:
    """Refuse the phone; whoever it is gets nothing. Refusing twice does no harm."""
    with deps.database.transaction() as tx:
        derivation = _own(tx, session, link)
        if derivation.state is DerivationState.DENIED:
            return
        derivations.move(
            tx, derivation, DerivationState.DENIED, derivations.ended_values(EndReason.UNSPECIFIED, deps.clock.now())
        )
        record_link(tx, deps, "link:denied", derivation, actor=f"person:{session.person}", source=source)
        if derivation.link is not None:
            tell_denied(tx, deps, derivation, by_person=True)


def tell_denied(tx: Transaction, deps: Dependencies, derivation: Derivation, *, by_person: bool) -> None:
    """Tell the person of a link that was just refused, three times an hour at most: whoever has codes may go on."""
    since = deps.clock.now() - timedelta(hours=1)
    denied = derivations.of_person(tx, derivation.person, {DerivationState.DENIED})
    lately = sum(one.ended_at is not None and one.ended_at > since for one in denied)
    person = people.find(tx, derivation.person)
    if person is not None and lately <= DENIALS_TOLD_AN_HOUR:
        notices.link_denied(tx, deps, person, derivation, by_person=by_person)


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


def require_open(derivation: Derivation, now: datetime) -> None:
    """Refuse a link that was confirmed, refused or ended, or whose time is over."""
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


def _authorization(deps: Dependencies, derivation: Derivation) -> Secret[str]:
    key = deps.digest_key.derive("issuer.authorization")
    mac = hmac.digest(key.reveal(), derivation.id.bytes, hashlib.sha256)
    return Secret(base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii"))


def actor_of(device: DeviceIdentity | None) -> str:
    """Return the trail's name for a phone."""
    return f"device:{device.thumbprint.hex()}" if device else ANONYMOUS


def record_link(
    tx: Transaction, deps: Dependencies, name: str, derivation: Derivation, *, actor: str, source: str
) -> None:
    """Record what happened to a link, with the device and key that redeemed it."""
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
