# SPDX-License-Identifier: Apache-2.0
"""Requests whose challenge an outside service made: it is asked first, told afterwards, and decides both times.

The names in such a request are what the service vouches for, so that they are certified as asked, within the profile.
"""

from etymon.ca.model import IssuedCertificate
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import challenges, completion, errors, names, own_certificates, planning, store
from etymon.issuer.scep.model import CHALLENGE_LIFETIME, Challenge, Enrollment
from etymon.issuer.scep.own_certificates import OwnCertificate
from etymon.issuer.scep.planning import Authorization, EnrollmentRequest
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import EtymonError, Unavailable


def enroll(
    deps: Dependencies, request: EnrollmentRequest, own: OwnCertificate | None, *, source: str
) -> IssuedCertificate:
    """Grant a request that the service lets through; nobody gets the certificate before the service has taken it."""
    password = request.asked.challenge_password
    if password is None or not 0 < len(password.reveal()) <= challenges.LONGEST:
        raise errors.challenge_missing()
    if own is not None:
        with deps.database.snapshot() as tx:
            own_certificates.require_in_force(tx, own, deps.clock.now())
    digest = challenges.digest(deps, password)
    known = _known(deps, request, digest)
    if known is None:
        _validate(deps, request)
        try:
            known = _plan(deps, request, digest, source=source)
        except Unavailable:
            raise  # nothing is decided: the device asks again
        except EtymonError as refusal:
            completion.enqueue_failure(deps, request.transaction_id, request.proven.der, refusal)
            raise
    return completion.finish(deps, known.id, request.proven.der)


def _known(deps: Dependencies, request: EnrollmentRequest, digest: bytes) -> Enrollment | None:
    """Return what this very request was planned as before; None for a challenge that nobody has used here."""
    with deps.database.snapshot() as tx:
        challenge = store.find_challenge(tx, request.connector, digest)
        if challenge is None:
            return None
        known = planning.planned_before(store.enrollment_by_challenge(tx, challenge.id), request)
    if known is None:
        raise errors.challenge_used()
    return known


def _validate(deps: Dependencies, request: EnrollmentRequest) -> None:
    if deps.validation is None:
        raise Unavailable("validation_unavailable", "The service that confirms requests is not configured.")
    deps.validation.validate(completion.shown(request.transaction_id), request.proven.der)


def _plan(deps: Dependencies, request: EnrollmentRequest, digest: bytes, *, source: str) -> Enrollment:
    now = deps.clock.now()
    confirmed = names.of_confirmed_request(request.asked)
    challenge = Challenge(
        id=random_id(deps.entropy),
        connector=request.connector.name,
        connector_id=request.connector.id,
        holder=None,
        asked_by="validation",
        made_at=now,
        expires_at=now + CHALLENGE_LIFETIME,
        request_digest=request.digest,
    )
    with deps.database.transaction() as tx:
        if not store.add_challenge(tx, challenge, digest, used_at=now):
            taken = store.find_challenge(tx, request.connector, digest)
            known = planning.planned_before(store.enrollment_by_challenge(tx, taken.id) if taken else None, request)
            if known is None:
                raise errors.challenge_used()
            return known
        authorization = Authorization(None, challenge=challenge.id)
        return planning.plan(tx, deps, request, authorization, confirmed, source=source)
