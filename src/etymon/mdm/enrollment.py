# SPDX-License-Identifier: Apache-2.0
"""Enrollment: a phone begins with the profile's token, its user signs in with the card, the phone gets its identity.

*Begin* opens a session of fifteen minutes and gives an assertion with which the phone may start one device
authorization. *Complete* binds the device to whoever signed in: it consumes the session and plans the certificate in
one transaction, signs outside it, and admits the device in another. Asking again with the same key gives the same
certificate while the session lives; another key is a conflict.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.audit.refusals import ANONYMOUS
from etymon.ca import issuance
from etymon.ca.model import AlternativeNames, IssuanceRequest, IssuedCertificate, SubjectNames
from etymon.directory import people
from etymon.directory.model import Person
from etymon.kernel.entropy import random_id, random_token
from etymon.kernel.errors import Conflict, Expired, NotFound, NotPermitted
from etymon.kernel.secret import Secret, same
from etymon.mdm import branding, enrollment_profiles, signed_statements
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.enrollment_profile import device_name
from etymon.mdm.identity_provider import AccessToken, require_card
from etymon.mdm.model import (
    ASSERTION_LIFETIME,
    SESSION_LIFETIME,
    Device,
    DeviceFacts,
    DeviceIdentity,
    DeviceState,
    EnrollmentSession,
    SessionState,
)
from etymon.mdm.store import devices as device_store
from etymon.mdm.store import enrollment as store
from etymon.pki.certificate import thumbprint
from etymon.pki.csr import ProvenCSR
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.web.branding import Branding

SCOPE: Final = "enroll"
SECRET_BITS: Final = 256
SECRET_PURPOSE: Final = "mdm.enrollment_session"  # noqa: S105 - the name of a purpose

FINISH_JOB: Final = "mdm.finish_enrollment"
"""Payload: `session`. Finishes a completion whose process died; does nothing where all was done."""
FINISH_AFTER: Final = timedelta(minutes=2)

STALE_AFTER: Final = timedelta(days=1)
STALE_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Begun:
    """What a phone gets when it begins."""

    session: UUID
    secret: Secret[str]
    expires_at: datetime
    branding: Branding
    assertion: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a phone gets when its user has signed in."""

    device: UUID
    issued: IssuedCertificate
    branding: Branding


def begin(deps: Dependencies, token: Secret[str], facts: DeviceFacts, *, source: str) -> Begun:
    """Open a session for a phone that shows a live token.

    Raises NotPermitted `enrollment_token_unknown` (also revoked) and Expired `enrollment_token_expired`; recorded.
    """
    with deps.refusals.noted("mdm:enrollment:refused", actor=ANONYMOUS, subject="enrollment", source=source):
        return _begin(deps, token, facts, source)


def _begin(deps: Dependencies, token: Secret[str], facts: DeviceFacts, source: str) -> Begun:
    now = deps.clock.now()
    with deps.database.transaction() as tx:
        digest = enrollment_profiles.token_digest(deps, token)
        profile = store.find_profile_by_token(tx, digest, enrollment_profiles.opener(deps))
        if profile is None or profile.token is None:
            raise NotPermitted("enrollment_token_unknown", "This enrollment token is not valid. Ask for a new code.")
        if profile.token.expires_at is not None and now >= profile.token.expires_at:
            raise Expired("enrollment_token_expired", "This enrollment token has expired. Ask for a new code.")
        secret = Secret(random_token(deps.entropy, bits=SECRET_BITS))
        session = EnrollmentSession(
            id=random_id(deps.entropy),
            profile=profile.id,
            profile_name=profile.terms.display_name,
            facts=facts,
            state=SessionState.OPEN,
            secret_digest=deps.digest_key.digest(SECRET_PURPOSE, secret),
            created_at=now,
            expires_at=now + SESSION_LIFETIME,
        )
        store.remove_stale_sessions(tx, expired_before=now - STALE_AFTER, limit=STALE_AT_ONCE)
        store.insert_session(tx, session)
        record(
            tx,
            deps,
            "enrollment:begun",
            actor=f"enrollment_profile:{profile.id}",
            subject=f"enrollment:{session.id}",
            source=source,
            serial_number=facts.serial_number,
            model=facts.model,
        )
        shown = branding.current(tx, deps)
    return Begun(session.id, secret, session.expires_at, shown, _assertion(deps, session))


def fresh_assertion(deps: Dependencies, session_id: UUID, secret: Secret[str], *, source: str) -> str:
    """Return another assertion for an open session; the phone starts its device authorization anew."""
    with noted(deps, session_id, ANONYMOUS, source=source):
        with deps.database.snapshot() as tx:
            session = _session(tx, deps, session_id, secret)
        if session.state is not SessionState.OPEN:
            raise _already_completed()
        _require_alive(session, deps.clock.now())
    return _assertion(deps, session)


def complete(
    deps: Dependencies, session_id: UUID, secret: Secret[str], token: AccessToken, csr: ProvenCSR, *, source: str
) -> Completed:
    """Bind the device to the person of `token` and return its identity.

    Raises NotPermitted for a token that no card made (`card_required`), that names another session
    (`other_session`), or whose account has ended; Expired `enrollment_session_expired`; Conflict
    `session_already_completed` for another key or another person; NotFound for an unknown session or secret.
    """
    with noted(deps, session_id, f"person:{token.person}", source=source):
        require_card(token)
        if token.claims.get("enrollment_session") != str(session_id):
            raise NotPermitted("other_session", "The sign-in was for another enrollment. Start the enrollment again.")
        planned, device_id = _plan(deps, session_id, secret, token.person, csr, source=source)
    issued = issuance.complete(deps.ca, planned)
    with deps.database.transaction() as tx:
        _admit(tx, deps, device_id, issued)
        shown = branding.current(tx, deps)
    return Completed(device_id, issued, shown)


def noted(deps: Dependencies, session_id: UUID, actor: str, *, source: str) -> AbstractContextManager[None]:
    """Have written down what is refused, inside, of an enrollment under way."""
    return deps.refusals.noted("mdm:enrollment:refused", actor=actor, subject=f"enrollment:{session_id}", source=source)


def finish(deps: Dependencies, session_id: UUID) -> None:
    """Finish a completion that was left behind; does nothing for a session that was not completed."""
    with deps.database.snapshot() as tx:
        session = store.find_session(tx, session_id)
    if session is None or session.device is None or session.planned_certificate is None:
        return
    try:
        issued = issuance.complete(deps.ca, session.planned_certificate)
    except Conflict:  # given up or revoked meanwhile: there is nothing to admit
        return
    with deps.database.transaction() as tx:
        _admit(tx, deps, session.device, issued)


def _plan(
    deps: Dependencies, session_id: UUID, secret: Secret[str], person_id: UUID, csr: ProvenCSR, *, source: str
) -> tuple[UUID, UUID]:
    """Consume the session and plan the certificate; return the plan and the device."""
    with deps.database.transaction() as tx:
        session = _session(tx, deps, session_id, secret, for_update=True)
        _require_alive(session, deps.clock.now())
        person = people.find(tx, person_id)
        if person is None or not person.active:
            raise NotPermitted("account_ended", "The account is not active. Ask the administrator.")
        if session.state is not SessionState.OPEN:
            return _same_completion(session, person_id, csr)
        device = _enrolling(tx, deps, session, person)
        planned = issuance.plan(tx, deps.ca, _request(deps, session, device, csr))
        consumed = store.complete_session(
            tx,
            session_id,
            person=person_id,
            device=device.id,
            key_sha256=csr.spki_sha256,
            planned_certificate=planned.id,
        )
        if not consumed:
            raise _already_completed()
        device_store.insert(tx, device, session_id)
        payload: dict[str, jobs.JSONValue] = {"session": str(session_id)}
        jobs.enqueue(tx, deps.clock, deps.entropy, FINISH_JOB, payload, due=deps.clock.now() + FINISH_AFTER)
        record(
            tx,
            deps,
            "enrollment:completed",
            actor=f"person:{person_id}",
            subject=f"device:{device.id}",
            source=source,
            enrollment=str(session_id),
            profile=session.profile_name,
        )
    return planned.id, device.id


def _same_completion(session: EnrollmentSession, person: UUID, csr: ProvenCSR) -> tuple[UUID, UUID]:
    if session.device is None or session.planned_certificate is None or session.key_sha256 is None:
        raise NotFound("enrollment_session_unknown", "There is no such enrollment. Start again.")
    if session.person != person or not same(session.key_sha256, csr.spki_sha256):
        raise _already_completed()
    return session.planned_certificate, session.device


def _enrolling(tx: Transaction, deps: Dependencies, session: EnrollmentSession, person: Person) -> Device:
    profile = store.find_profile(tx, session.profile, enrollment_profiles.opener(deps)) if session.profile else None
    now = deps.clock.now()
    template = profile.terms.device_name_template if profile else ""
    return Device(
        id=random_id(deps.entropy),
        person=person.id,
        profile=profile.id if profile else None,
        profile_name=session.profile_name,
        name=device_name(template, session.facts, person.user_principal_name, now),
        facts=session.facts,
        state=DeviceState.ENROLLING,
        identity=None,
        enrolled_at=now,
        last_check_in_at=None,
        ended_at=None,
    )


def _request(deps: Dependencies, session: EnrollmentSession, device: Device, csr: ProvenCSR) -> IssuanceRequest:
    return IssuanceRequest(
        ca=deps.authority,
        profile="device-identity",
        request_key=f"enrollment:{session.id}",
        key=csr,
        subject=SubjectNames(common_name=str(device.id)),
        alternative=AlternativeNames(uuid=device.id),
        authorized_by=f"person:{device.person}",
    )


def _admit(tx: Transaction, deps: Dependencies, device_id: UUID, issued: IssuedCertificate) -> None:
    identity = DeviceIdentity(issued.id, thumbprint(issued.certificate), issued.certificate.not_valid_after_utc)
    if not device_store.admit(tx, device_id, identity):
        return
    device = device_store.find(tx, device_id)
    if device is not None and device.profile is not None:
        store.count_enrolled(tx, device.profile)
    record(tx, deps, "device:enrolled", actor="service:mdm", subject=f"device:{device_id}", certificate=str(issued.id))


def _session(
    tx: Transaction, deps: Dependencies, session_id: UUID, secret: Secret[str], *, for_update: bool = False
) -> EnrollmentSession:
    session = store.find_session(tx, session_id, for_update=for_update)
    presented = deps.digest_key.digest(SECRET_PURPOSE, secret)
    if session is None or not same(session.secret_digest, presented):
        raise NotFound("enrollment_session_unknown", "There is no such enrollment. Start again.")
    if session.state is SessionState.CANCELLED:
        raise NotPermitted("enrollment_cancelled", "This enrollment was cancelled. Start again.")
    return session


def _require_alive(session: EnrollmentSession, now: datetime) -> None:
    if now >= session.expires_at:
        raise Expired("enrollment_session_expired", "The enrollment took too long. Start again with the code.")


def _assertion(deps: Dependencies, session: EnrollmentSession) -> str:
    facts = session.facts
    claims = {
        "iss": deps.server_url,
        "aud": deps.identity_provider.issuer,
        "enrollment_session": str(session.id),
        "device": {
            "manufacturer": facts.manufacturer,
            "model": facts.model,
            "serial_number": facts.serial_number,
            "os_version": facts.os_version,
        },
    }
    return signed_statements.sign(deps.assertion_key, deps.clock, deps.entropy, claims, lifetime=ASSERTION_LIFETIME)


def _already_completed() -> Conflict:
    return Conflict("session_already_completed", "This enrollment was completed with another key. Start again.")
