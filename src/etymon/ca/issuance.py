# SPDX-License-Identifier: Apache-2.0
"""Issuance in two transactions: *plan* stores what will be signed, *complete* signs it and stores the certificate.

The order is: prove, authorize, build, lint, store, sign, check. `plan` runs in the transaction that consumes the
authorization, so that both happen or neither; `complete` signs outside any transaction and may be repeated by
anybody at any time: an authorization leads to one certificate, however often and wherever it is completed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from etymon.audit import sealer, trail
from etymon.audit.model import AuditEvent
from etymon.ca import refused_keys, store
from etymon.ca.content import lint_clean_tbs, subscriber_content
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import (
    Authority,
    CertificateRecord,
    CertificateState,
    IssuanceRequest,
    IssuedCertificate,
    PlannedCertificate,
)
from etymon.ca.profiles import profile_named
from etymon.ca.refusals import noted
from etymon.ca.template import Content
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, EtymonError, NotFound, NotPermitted, Unavailable
from etymon.pki.certificate import spki_sha256
from etymon.pki.csr import ProvenCSR
from etymon.pki.signer import Signer, assembled
from etymon.storage.database import Transaction

__all__ = [
    "Dependencies",
    "abandon",
    "complete",
    "find_issued",
    "find_record",
    "is_below_revoked",
    "issue",
    "plan",
    "plan_content",
    "sweep",
]

log = structlog.get_logger("etymon.ca")

LEFT_BEHIND_AFTER: Final = timedelta(minutes=5)
"""A plan this old has lost whoever was completing it; the sweep takes over."""

ABANDONED_AFTER: Final = timedelta(hours=24)
"""A plan that could not be completed for this long never will be."""

SWEEP_LIMIT: Final = 100

STATUS_PROFILES: Final = frozenset({"ocsp-responder"})
"""What an authority that was revoked goes on to issue: whoever asks is told what became of its certificates."""


def plan(tx: Transaction, deps: Dependencies, request: IssuanceRequest) -> PlannedCertificate:
    """Store what will be signed for `request`, in the caller's transaction.

    The same request key with the same public key is the same plan, whatever became of it. Raises `Conflict` for
    a request key that was used with another public key (`request_key_used`), for a public key that was certified
    before (`key_already_certified`: nothing is renewed on the same key; `key_compromised` where that was why it was
    revoked) and for a card's (`key_of_a_card`); `NotPermitted` and `Malformed` for what authority, profile or key
    policy do not allow; `Unavailable` `lint_failed` for what breaks a lint, `audit_not_sealed` when the audit
    trail stands still, and `authority_revoked` until a successor of a revoked authority issues.
    """
    known = _same_request(tx, request.request_key, request.ca, request.profile, request.key.spki_sha256)
    if known is not None:
        return known
    profile = profile_named(request.profile)
    authority = find_authority(tx, request.ca)
    if profile.name not in authority.profiles or not profile.minted:
        raise NotPermitted("profile_not_allowed", f"The authority {authority.name} does not issue {profile.name}.")
    if profile.possession_proven and not isinstance(request.key, ProvenCSR):
        raise NotPermitted("proof_of_possession_missing", "Send a certification request signed with the key.")
    content = subscriber_content(deps, authority, profile, request)
    return plan_content(
        tx, deps, content, authority, request_key=request.request_key, authorized_by=request.authorized_by
    )


def issue(deps: Dependencies, request: IssuanceRequest) -> IssuedCertificate:
    """Plan and complete a certificate nobody outside asked for: a server's, a responder's; refusals are recorded."""
    with noted(deps, actor=request.authorized_by, subject=request.request_key):
        with deps.database.transaction() as tx:
            planned = plan(tx, deps, request)
        return complete(deps, planned.id)


def plan_content(
    tx: Transaction,
    deps: Dependencies,
    content: Content,
    authority: Authority,
    *,
    request_key: str,
    authorized_by: str,
) -> PlannedCertificate:
    """Lint and store content that was decided already; `plan` and the making of authorities end here."""
    sealer.require_live(tx, deps.clock)
    if is_below_revoked((authority,), content.profile.name):
        log.warning("authority_revoked", authority=authority.name, profile=content.profile.name)
        raise Unavailable(
            "authority_revoked",
            f"The authority {authority.name} was revoked. It issues nothing: its successor does, once a key ceremony "
            "has made that.",
        )
    spki = spki_sha256(content.public_key)
    refused_keys.require_not_a_cards(tx, spki)
    tbs = lint_clean_tbs(deps, content)
    record = CertificateRecord(
        id=random_id(deps.entropy),
        ca=authority.name,
        serial=content.serial,
        profile=content.profile.name,
        state=CertificateState.PLANNED,
        request_key=request_key,
        spki_sha256=spki,
        not_before=content.validity.not_before,
        not_after=content.validity.not_after,
        authorized_by=authorized_by,
        planned_at=deps.clock.now(),
        tbs=tbs,
    )
    if not store.insert_planned(tx, record):
        known = _same_request(tx, request_key, authority.name, content.profile.name, spki)
        if known is None:
            raise refused_keys.taken(tx, spki)
        return known
    _record(tx, deps, "planned", record)
    return PlannedCertificate(record.id)


def find_authority(tx: Transaction, name: str) -> Authority:
    """Return the authority called `name`; `NotFound` where there is none."""
    authority = store.find_authority(tx, name)
    if authority is None:
        raise NotFound("authority_not_found", f"There is no certification authority called {name}.")
    return authority


def find_record(tx: Transaction, certificate_id: UUID) -> CertificateRecord:
    """Return our record of a certificate, whatever became of it; `NotFound` where there is none."""
    record = store.find_certificate(tx, certificate_id)
    if record is None:
        raise NotFound("certificate_not_found", "There is no such certificate.")
    return record


def complete(deps: Dependencies, planned_id: UUID) -> IssuedCertificate:
    """Sign what was planned, check it, store it, and return it; the same certificate however often it is asked for.

    A plan below an authority that was revoked, also while it was signed, is abandoned. Raises `NotFound`, `Conflict`
    for a plan that was abandoned or a certificate that was revoked or held meanwhile, and `Unavailable` while the
    authority's key cannot be used; the plan then stays and may be completed later.
    """
    with deps.database.snapshot() as tx:
        record = find_record(tx, planned_id)
        lineage = store.lineage(tx, record.ca)
    if record.state is CertificateState.PLANNED and is_below_revoked(lineage, record.profile):
        with deps.database.transaction() as tx:  # nobody would take it: whoever asks, asks the successor
            abandon(tx, deps, record)
            record = find_record(tx, record.id)
    if record.state is CertificateState.PLANNED:
        record = _sign_and_store(deps, record, lineage[0])
    return _issued(record, lineage)


def find_issued(tx: Transaction, certificate_id: UUID) -> IssuedCertificate:
    """Return an issued certificate with its chain; `NotFound` or `Conflict` like `complete`."""
    record = find_record(tx, certificate_id)
    if record.state is CertificateState.PLANNED:
        raise Conflict("certificate_not_issued", "The certificate is still being issued. Try again.")
    return _issued(record, store.lineage(tx, record.ca))


def sweep(deps: Dependencies) -> int:
    """Finish plans whose completer died, abandon those that could not be finished for a day; return how many.

    Safe to run anywhere and at any time; a worker runs it every few minutes.
    """
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        waiting = store.planned_before(tx, now - LEFT_BEHIND_AFTER, SWEEP_LIMIT)
    finished = 0
    for record in waiting:
        try:
            complete(deps, record.id)
        except EtymonError as error:
            log.warning("plan_not_completed", certificate=str(record.id), code=error.code)
            if record.planned_at < now - ABANDONED_AFTER:
                with deps.database.transaction() as tx:
                    finished += abandon(tx, deps, record)
        else:
            finished += 1
    return finished


def abandon(tx: Transaction, deps: Dependencies, record: CertificateRecord) -> int:
    """Give a plan up, so that nobody completes it; return 1, or 0 if it has moved on."""
    if not store.move(tx, record.id, CertificateState.PLANNED, CertificateState.ABANDONED):
        return 0
    _record(tx, deps, "abandoned", record)
    return 1


def is_below_revoked(authorities: Iterable[Authority], profile: str) -> bool:
    """Say whether nothing of a profile comes into force below these authorities, since one of them was revoked."""
    return profile not in STATUS_PROFILES and any(found.revoked_at is not None for found in authorities)


def _same_request(tx: Transaction, request_key: str, ca: str, profile: str, spki: bytes) -> PlannedCertificate | None:
    known = store.find_by_request_key(tx, request_key)
    if known is None:
        return None
    if known.spki_sha256 != spki or known.ca != ca or known.profile != profile:
        raise Conflict("request_key_used", "This authorization was used with another key. Start again from the card.")
    return PlannedCertificate(known.id)


def _sign_and_store(deps: Dependencies, record: CertificateRecord, authority: Authority) -> CertificateRecord:
    certificate_der = _signed_as_planned(deps.signer(record.ca), record, authority)
    issued = replace(record, state=CertificateState.ISSUED, der=certificate_der, tbs=None, issued_at=deps.clock.now())
    with deps.database.transaction() as tx:
        if is_below_revoked(store.lineage(tx, record.ca), record.profile):  # while it was signed
            abandon(tx, deps, record)
            return find_record(tx, record.id)
        if not store.issue(tx, issued, hashlib.sha256(certificate_der).digest()):
            return find_record(tx, record.id)  # somebody else was faster; theirs is the certificate
        _record(tx, deps, "issued", record)
    return issued


def _signed_as_planned(signer: Signer, record: CertificateRecord, authority: Authority) -> bytes:
    """Sign, and check that the result is what was planned, under the authority's certificate."""
    tbs = record.tbs or b""
    certificate_der = assembled(signer.algorithm, tbs, signer.sign(tbs))
    certificate = x509.load_der_x509_certificate(certificate_der)
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature) as exc:
        raise Unavailable("signature_failed", "The signing key's signature is not the authority's.") from exc
    if (
        certificate.tbs_certificate_bytes != tbs
        or certificate.serial_number != record.serial
        or spki_sha256(certificate) != record.spki_sha256
    ):
        raise Unavailable("signature_failed", "What was signed is not what was planned.")
    return certificate_der


def _issued(record: CertificateRecord, lineage: tuple[Authority, ...]) -> IssuedCertificate:
    if record.state is CertificateState.ABANDONED:
        raise Conflict("certificate_abandoned", "The certificate was given up before it was issued. Start again.")
    if record.state is CertificateState.HELD:
        raise Conflict("certificate_held", "The certificate is held. Ask who held it.")
    if record.state is CertificateState.REVOKED or record.der is None:
        raise Conflict("certificate_revoked", "The certificate was revoked. Start again.")
    chain = tuple(authority.certificate for authority in lineage)
    return IssuedCertificate(record.id, x509.load_der_x509_certificate(record.der), chain)


def _record(tx: Transaction, deps: Dependencies, verb: str, record: CertificateRecord) -> None:
    facts = {"profile": record.profile, "authority": record.ca, "serial": store.serial_text(record.serial)}
    event = AuditEvent(f"ca:certificate:{verb}", record.authorized_by, str(record.id), facts=facts)
    trail.record(tx, deps.clock, deps.entropy, event)
