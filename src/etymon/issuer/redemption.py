# SPDX-License-Identifier: Apache-2.0
"""Redemption: a phone that scanned the code takes the link, once, for its device identity and key (link.md)."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from etymon.audit.model import Outcome
from etymon.directory.model import Person
from etymon.issuer import eligibility, errors, link_key, link_secret, linking
from etymon.issuer.attestation import judging
from etymon.issuer.attestation.judging import Judged
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import (
    WRONG_SECRETS_LIMIT,
    Attestation,
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
from etymon.pki.algorithms import PublicKey, key_type
from etymon.pki.certificate import spki
from etymon.storage.database import Transaction
from etymon.wire import link_qr


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a phone sends after it scanned the code. `key` is the DER SubjectPublicKeyInfo of the link key.

    `attestation` are the DER certificates that say where it is, the key's own first; None where the phone sent none.
    """

    link: UUID
    secret: Secret[bytes]
    key: bytes
    description: DeviceDescription
    password: Secret[str] | None = None
    attestation: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Linked:
    """What the phone shows its person before the PC confirms."""

    display_name: str
    mail: str
    digits: str
    expires_at: datetime
    purposes: tuple[Purpose, ...]


def redeem(deps: Dependencies, request: Redemption, device: DeviceIdentity | None, *, source: str) -> Linked:
    """Take the link, once, for this device and key; the same again gets the same answer until the PC confirms.

    Raises `link_unknown`, `link_expired`, `link_secret_wrong`, `link_password_required`, `link_password_wrong` (five
    wrong ones of either kind end the link), `link_denied`, `link_already_redeemed`, `device_identity_required`,
    `device_class_not_covered`, what eligibility refuses, and where the rule requires attestation what it lacks.
    """
    public_key = link_key.load(request.key)
    judged = _judged(deps, request, public_key, device)
    with (
        deps.refusals.noted(
            linking.REFUSED_EVENT, actor=linking.actor_of(device), subject=str(request.link), source=source
        ),
        deps.database.transaction() as tx,
    ):
        answer = _redeem(tx, deps, replace(request, key=spki(public_key)), judged, device, source)
    if isinstance(answer, EtymonError):  # refused and recorded, and what the refusal changed is kept
        answer.is_noted = True
        raise answer
    return answer


def _judged(deps: Dependencies, request: Redemption, key: PublicKey, device: DeviceIdentity | None) -> Judged:
    """Judge where the key is for whoever knows the secret, if the rule wants it; others cost no such work.

    The secret is compared here only where what follows compares it too, and counts.
    """
    with deps.database.snapshot() as tx:
        found = derivations.with_secret(tx, request.link)
        if found and device is None and _managed_only(tx, found[0]):
            found = None
        rule = rules.find(tx, found[0].rule) if found else None
    if found is None or not _is_secret(deps, request, *found) or rule is None or rule[0].attestation is Attestation.OFF:
        return judging.unproved(deps, Purpose.AUTHENTICATION, key)  # what follows refuses it, or looks at none
    challenge = link_qr.link_attestation_challenge(request.secret, request.link)
    return judging.judge(deps, Purpose.AUTHENTICATION, key, request.attestation, challenges=(challenge,))


def _is_secret(deps: Dependencies, request: Redemption, derivation: Derivation, digest: bytes) -> bool:
    if derivation.asks_password and request.password is None:
        return False
    password = request.password if derivation.asks_password else None
    return same(digest, link_secret.digest(deps, request.secret, password))


def _redeem(
    tx: Transaction,
    deps: Dependencies,
    request: Redemption,
    judged: Judged,
    device: DeviceIdentity | None,
    source: str,
) -> Linked | EtymonError:
    found = derivations.lock_with_secret(tx, request.link)
    if device is None and (found is None or _managed_only(tx, found[0])):
        raise errors.device_identity_required()
    if found is None:
        raise errors.link_unknown()
    derivation, digest = found
    linking.require_open(derivation, deps.clock.now())
    if derivation.asks_password and request.password is None:
        raise errors.link_password_required()
    if not _is_secret(deps, request, derivation, digest):
        return _wrong(tx, deps, derivation, device, source)
    applicant = eligibility.still_applicant(tx, derivation)
    if key_type(link_key.load(request.key)) not in applicant.rule.key_types:
        raise errors.key_type_not_allowed()
    said = request.description
    device_class = applicant.rule.device_class(said.manufacturer, said.model)
    if device_class is None:
        raise errors.device_class_not_covered()
    judging.accept(tx, deps, judged, applicant.rule, derivation.id, actor=linking.actor_of(device))
    if derivation.link is None:
        return _linked(applicant.person, _take(tx, deps, derivation, request, device, source))
    taken_by = derivation.link.device.thumbprint if derivation.link.device else None
    if taken_by != (device.thumbprint if device else None) or derivation.link.key != request.key:
        raise errors.link_already_redeemed()
    return _linked(applicant.person, derivation)


def _take(
    tx: Transaction,
    deps: Dependencies,
    derivation: Derivation,
    request: Redemption,
    device: DeviceIdentity | None,
    source: str,
) -> Derivation:
    key_thumbprint = hashlib.sha256(request.key).digest()
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
    taken = replace(derivation, link=link)
    linking.record_link(tx, deps, "link:redeemed", taken, actor=linking.actor_of(device), source=source)
    return taken


def _wrong(
    tx: Transaction, deps: Dependencies, derivation: Derivation, device: DeviceIdentity | None, source: str
) -> EtymonError:
    """Count a wrong secret or password; one of them too many ends the link."""
    left = WRONG_SECRETS_LIMIT - derivations.count_wrong_secret(tx, derivation.id)
    refusal = errors.link_password_wrong(left) if derivation.asks_password else errors.link_secret_wrong()
    record(
        tx,
        deps,
        "link:refused",
        actor=linking.actor_of(device),
        subject=derivation.id,
        source=source,
        outcome=Outcome.FAILURE,
        code=refusal.code,
    )
    if left > 0:
        return refusal
    ended = derivations.ended_values(EndReason.UNSPECIFIED, deps.clock.now())
    derivations.move(tx, derivation, DerivationState.DENIED, ended)
    linking.record_link(tx, deps, "link:denied", derivation, actor=linking.actor_of(device), source=source)
    linking.tell_denied(tx, deps, derivation, by_person=False)
    return errors.link_denied() if derivation.asks_password else refusal  # its person would only type again


def _managed_only(tx: Transaction, derivation: Derivation) -> bool:
    found = rules.find(tx, derivation.rule)
    return found is None or found[0].managed_devices_only


def _linked(person: Person, derivation: Derivation) -> Linked:
    digits = derivation.link.digits if derivation.link else ""
    return Linked(
        person.display_name, masked(person.mail_addresses[0]), digits, derivation.expires_at, derivation.purposes
    )


def masked(address: str) -> str:
    """Return a mail address of which a stranger learns the ends of the local part and the domain."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…{local[-1:]}@{domain}" if len(local) > 2 else f"…@{domain}"
