# SPDX-License-Identifier: Apache-2.0
"""Device authorization (RFC 8628): start, type the code, decide with a card proof made for it, hand out one token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.audit.refusals import ANONYMOUS
from etymon.directory import addresses, bindings, notices
from etymon.directory.model import Person
from etymon.idp import clients, grants, tokens
from etymon.idp.dependencies import Dependencies
from etymon.idp.errors import (
    access_denied,
    authorization_pending,
    expired_token,
    invalid_grant,
    invalid_scope,
    slow_down,
    unauthorized_client,
)
from etymon.idp.model import (
    DEVICE_CODE_LIFETIME,
    POLLING_INTERVAL,
    PROOF_HELD,
    SCOPE_ENROLL,
    SLOWER_BY,
    USER_CODE_ALPHABET,
    USER_CODE_LENGTH,
    Client,
    DeviceAuthorization,
    DeviceState,
    EnrollingDevice,
    GrantType,
    Purpose,
    SignIn,
    normalised_user_code,
)
from etymon.idp.store import device_authorizations as store
from etymon.idp.store import proofs
from etymon.kernel.entropy import random_id, random_text, random_token
from etymon.kernel.errors import Conflict, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction

DEVICE_CODE_BITS: Final = 256

MOST_STARTS: Final = 3
"""How often a start is tried when its code is taken, or the same enrollment session starts another just now."""


OVER: Final[Mapping[DeviceState, tuple[str, str]]] = {
    DeviceState.USED: ("The device code was used already.", "device_code_reused"),
    DeviceState.ENDED: ("The device code was used already, and what came of it has ended.", "device_code_ended"),
    DeviceState.SUPERSEDED: ("A newer device authorization has taken the place of this one.", "device_code_superseded"),
}
"""What a client is told that polls too late, and the reason for the trail."""


@dataclass(frozen=True, slots=True)
class Started:
    """What the program is told; both codes are shown this once."""

    authorization: DeviceAuthorization
    device_code: Secret[str]
    user_code: Secret[str]


def begin(
    tx: Transaction,
    deps: Dependencies,
    client: Client,
    scope: str,
    *,
    device: EnrollingDevice | None,
    source: str,
) -> Started:
    """Start a device authorization; what the same enrollment session started before is over."""
    if GrantType.DEVICE_CODE not in client.grants:
        raise unauthorized_client("This client may not use the device grant.")
    scopes = tokens.granted_scopes(client, scope)
    if (SCOPE_ENROLL in scopes) != (device is not None):
        raise invalid_scope("The scope enroll and an enrollment assertion come together.")
    actor = f"client:{client.id}"
    for _ in range(MOST_STARTS):
        if device is not None:
            facts = {"enrollment_session": device.enrollment_session}
            for id_ in store.supersede(tx, device.enrollment_session):
                _record(tx, deps, "superseded", id_, actor=actor, facts=facts, source=source)
        started = _new(deps, client, scopes, device)
        if store.add(
            tx,
            started.authorization,
            device_code_digest=_device_code_digest(deps, started.device_code),
            user_code_digest=_user_code_digest(deps, started.user_code),
        ):
            begun = started.authorization
            _record(tx, deps, "started", begun.id, actor=actor, facts=_facts(begun), source=source)
            return started
    raise Conflict("device_authorization_busy", "Another device authorization is starting for this device. Try again.")


def _new(deps: Dependencies, client: Client, scopes: frozenset[str], device: EnrollingDevice | None) -> Started:
    now = deps.clock.now()
    authorization = DeviceAuthorization(
        id=random_id(deps.entropy),
        client_id=client.id,
        scopes=scopes,
        state=DeviceState.PENDING,
        started_at=now,
        expires_at=now + DEVICE_CODE_LIFETIME,
        interval=POLLING_INTERVAL,
        device=device,
        entered_by=None,
        undo_id=random_id(deps.entropy),
        sign_in=None,
    )
    return Started(
        authorization,
        Secret(random_token(deps.entropy, bits=DEVICE_CODE_BITS)),
        Secret(random_text(deps.entropy, USER_CODE_ALPHABET, USER_CODE_LENGTH)),
    )


def enter(tx: Transaction, deps: Dependencies, typed: str, *, browser: str) -> DeviceAuthorization:
    """Return the pending authorization of a typed code, from now on tied to this browser; NotFound otherwise."""
    code = normalised_user_code(typed)
    found = None
    if len(code) == USER_CODE_LENGTH:
        digest = _user_code_digest(deps, Secret(code))
        found = store.enter(tx, digest, browser=browser, now=deps.clock.now())
    if found is None:
        raise NotFound("user_code_unknown", "No device is waiting with this code. Read it again from the device.")
    return found


def entered(tx: Transaction, deps: Dependencies, authorization_id: UUID, *, browser: str) -> DeviceAuthorization:
    """Return the pending authorization whose code was typed in this browser; raises NotFound otherwise."""
    found = store.find(tx, authorization_id)
    if found is None or found.entered_by != browser:
        raise NotFound("user_code_unknown", "Type the code that the device shows into this browser first.")
    if found.state is not DeviceState.PENDING or deps.clock.now() >= found.expires_at:
        raise Conflict("device_not_waiting", "The device does not wait any more. Start again on the device.")
    return found


def proof_purpose(authorization: DeviceAuthorization) -> str:
    """Return the purpose a card proof is made for to approve this authorization and no other."""
    return f"{Purpose.APPROVAL.value}:{authorization.id}"


def approver(
    tx: Transaction, deps: Dependencies, authorization: DeviceAuthorization, proof_id: UUID, *, browser: str
) -> tuple[Person, SignIn]:
    """Return who is deciding, by the card proof made for it; raises NotPermitted `proof_not_valid`."""
    proof = proofs.held(
        tx,
        proof_id,
        browser=browser,
        purpose=proof_purpose(authorization),
        since=deps.clock.now() - PROOF_HELD,
    )
    person = bindings.person_for(tx, proof.trust_entry, proof.identifier) if proof is not None else None
    if proof is None or person is None or person.id != proof.person:  # unbound since, or the account has ended
        raise NotPermitted("proof_not_valid", "Show your card for this device first.")
    return person, SignIn(person.id, proof.acr, proof.validated_at, proof.trust_entry, proof.identifier, proof_id)


def decide(
    tx: Transaction,
    deps: Dependencies,
    authorization_id: UUID,
    proof_id: UUID,
    *,
    approve: bool,
    browser: str,
    source: str,
) -> DeviceAuthorization:
    """Approve or deny, once; the proof is used up. An approval is told to the person with a link that undoes it.

    Raises NotFound, Conflict `device_not_waiting`, NotPermitted `proof_not_valid` or `access_denied`.
    """
    authorization = entered(tx, deps, authorization_id, browser=browser)
    person, sign_in = approver(tx, deps, authorization, proof_id, browser=browser)
    if approve:
        tokens.require_allowed(tx, authorization.scopes, sign_in.acr, person)
    if not proofs.use(tx, proof_id):
        raise NotPermitted("proof_not_valid", "This card proof was used already.")
    to = DeviceState.APPROVED if approve else DeviceState.DENIED
    if not store.decide(tx, authorization.id, to, sign_in, browser=browser, now=deps.clock.now()):
        raise Conflict("device_not_waiting", "The device does not wait any more. Start again on the device.")
    verb = "approved" if approve else "denied"
    _record(tx, deps, verb, authorization.id, actor=f"person:{person.id}", facts=_facts(authorization), source=source)
    if approve:
        _tell(tx, deps, authorization, person)
    return authorization


def decider(tx: Transaction, deps: Dependencies, authorization_id: UUID, proof_id: UUID, *, browser: str) -> str:
    """Return the trail's name for whoever shows this proof for this authorization, whether it can be decided or not."""
    since = deps.clock.now() - PROOF_HELD
    purpose = f"{Purpose.APPROVAL.value}:{authorization_id}"
    proof = proofs.held(tx, proof_id, browser=browser, purpose=purpose, since=since)
    return ANONYMOUS if proof is None or proof.person is None else f"person:{proof.person}"


def exchange(tx: Transaction, deps: Dependencies, client: Client, device_code: Secret[str]) -> tokens.Tokens:
    """Answer a poll (RFC 8628 §3.5): tokens to the one who is first after an approval, a refusal to everybody else.

    Raises those refusals; the caller keeps what was written before, because polls are counted.
    """
    if GrantType.DEVICE_CODE not in client.grants:
        raise unauthorized_client("This client may not use the device grant.")
    authorization = store.by_device_code(tx, _device_code_digest(deps, device_code))
    if authorization is None or authorization.client_id != client.id:
        reason = "device_code_unknown" if authorization is None else "device_code_of_another_client"
        raise invalid_grant("The device code is not known.", reason)
    sign_in = _approved_by(tx, deps, authorization)
    if not store.use(tx, authorization.id, now=deps.clock.now()):
        raise invalid_grant(*OVER[DeviceState.USED])
    return grants.begin(
        tx,
        deps,
        client,
        authorization.scopes,
        sign_in,
        device_authorization=authorization.id,
        enrollment_session=authorization.device.enrollment_session if authorization.device else None,
    )


def _approved_by(tx: Transaction, deps: Dependencies, authorization: DeviceAuthorization) -> SignIn:
    now = deps.clock.now()
    if authorization.state in OVER:
        raise invalid_grant(*OVER[authorization.state])
    if authorization.state is DeviceState.DENIED:
        raise access_denied("The person said no.")
    if now >= authorization.expires_at:
        raise expired_token()
    if authorization.state is DeviceState.APPROVED and authorization.sign_in is not None:
        return authorization.sign_in
    if store.poll(tx, authorization, now=now):
        raise authorization_pending()
    store.slow_down(tx, authorization, by=SLOWER_BY, now=now)
    raise slow_down()


def _record(
    tx: Transaction, deps: Dependencies, verb: str, id_: UUID, *, actor: str, facts: Mapping[str, str], source: str
) -> None:
    name, subject = f"idp:device_authorization:{verb}", f"device_authorization:{id_}"
    trail.record(tx, deps.clock, deps.entropy, AuditEvent(name, actor, subject, Outcome.SUCCESS, facts, source))


def _facts(authorization: DeviceAuthorization) -> dict[str, str]:
    facts = {"client": authorization.client_id, "scopes": " ".join(sorted(authorization.scopes))}
    if authorization.device is not None:
        facts["enrollment_session"] = authorization.device.enrollment_session
    return facts


def _tell(tx: Transaction, deps: Dependencies, authorization: DeviceAuthorization, person: Person) -> None:
    client = clients.find(tx, authorization.client_id)
    device = authorization.device
    what = f"{device.manufacturer} {device.model}".strip() if device else client.name
    lines = [
        f"You approved a sign-in with your smart card at {deps.branding.organization}.",
        "",
        f"Approved for: {what}",
        *([f"Serial number: {device.serial_number}"] if device and device.serial_number else []),
        f"Time: {deps.clock.now():%Y-%m-%d %H:%M} UTC",
        "",
        "If this was not you, end it here:",
        f"{deps.issuer}/undo/{authorization.undo_id}",
    ]
    subject = f"You approved {what}"
    notices.notify(tx, deps.clock, deps.entropy, addresses.to_tell(tx, deps.clock, person), subject, "\n".join(lines))


def _device_code_digest(deps: Dependencies, code: Secret[str]) -> bytes:
    return deps.digest_key.digest("idp.device_code", code)


def _user_code_digest(deps: Dependencies, code: Secret[str]) -> bytes:
    return deps.digest_key.digest("idp.user_code", code)
