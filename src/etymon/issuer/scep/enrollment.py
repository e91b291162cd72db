# SPDX-License-Identifier: Apache-2.0
"""Enrollment at a connector, by SCEP or EST: authorize, plan where a challenge is used, sign outside of that.

A first certificate begins with a challenge, a later one with the certificate before it and always with a new key. The
same request is answered with the same certificate until that ends; another one under the same challenge is refused.
"""

from etymon.ca.model import IssuedCertificate
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import challenges, completion, confirmation, errors, names, own_certificates, planning, store
from etymon.issuer.scep.model import ChallengeSource, Connector, Enrollment, Holder
from etymon.issuer.scep.own_certificates import OwnCertificate
from etymon.issuer.scep.planning import Authorization, EnrollmentRequest, Sender
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import key_type
from etymon.storage.database import Transaction


class Pending(Unavailable):
    """What was planned is not signed yet; the client asks again."""

    default_code = "enrollment_pending"


def enroll(
    deps: Dependencies, request: EnrollmentRequest, sender: Sender, *, is_renewal: bool, source: str
) -> IssuedCertificate:
    """Grant a proven request that `sender` signed and return its certificate; the same one for the same request.

    `is_renewal` says that the message calls itself one; some clients renew without. Raises what `errors` lists,
    `Pending` where it was planned and cannot be signed now, `Unavailable` where whoever confirms does not answer.
    """
    with deps.database.snapshot() as tx:
        own = own_certificates.find(tx, request.connector, sender.certificate.der)
    _require_right_key(request, sender, own, is_renewal=is_renewal)
    if request.connector.source is ChallengeSource.INTUNE:
        _require_key_type(request)
        return confirmation.enroll(deps, request, own, source=source)
    if own is not None:
        return renew(deps, request, sender.certificate.der, source=source)
    return begin(deps, request, request.asked.challenge_password, source=source)


def begin(
    deps: Dependencies, request: EnrollmentRequest, challenge: Secret[str] | None, *, source: str
) -> IssuedCertificate:
    """Grant a first request, which `challenge` lets in. Raises like `enroll`."""
    _require_key_type(request)
    return _finished(deps, _begin(deps, request, challenge, source=source))


def renew(deps: Dependencies, request: EnrollmentRequest, certificate: bytes, *, source: str) -> IssuedCertificate:
    """Grant a request by whoever holds the key of a `certificate` (DER) of the connector's. Raises like `enroll`."""
    _require_key_type(request)
    return _finished(deps, _renew(deps, request, certificate, source=source))


def poll(deps: Dependencies, connector: Connector, sender: Sender, transaction_id: bytes) -> IssuedCertificate:
    """Return the certificate of a request made before, to whoever signed that (RFC 8894 §3.3.3).

    Raises `certificate_unknown` where there was none, `enrollment_ended`, and `Pending`.
    """
    with deps.database.snapshot() as tx:
        found = _asked_before(tx, connector, sender, transaction_id)
    if found is None:
        raise errors.certificate_unknown()
    return _finished(deps, found)


def _finished(deps: Dependencies, planned: Enrollment) -> IssuedCertificate:
    try:
        return completion.finish(deps, planned.id)
    except Unavailable as exc:
        raise Pending(detail=exc.detail) from exc


def _require_key_type(request: EnrollmentRequest) -> None:
    if key_type(request.proven.public_key) not in request.connector.key_types:
        raise errors.key_type_not_allowed()


def _require_right_key(
    request: EnrollmentRequest, sender: Sender, own: OwnCertificate | None, *, is_renewal: bool
) -> None:
    """See that a first request is signed with its own key, and a later one with a certificate's, for a new key."""
    signed_with_requested_key = request.proven.spki_sha256 == sender.key_thumbprint
    if own is not None and signed_with_requested_key:
        raise errors.same_key()
    if own is None and is_renewal:
        raise errors.certificate_unknown()
    if own is None and not signed_with_requested_key:
        raise errors.signer_not_requester()


def _begin(deps: Dependencies, request: EnrollmentRequest, password: Secret[str] | None, *, source: str) -> Enrollment:
    if password is None or not 0 < len(password.reveal()) <= challenges.LONGEST:
        raise errors.challenge_missing()
    digest = challenges.digest(deps, password)
    with deps.database.transaction() as tx:
        challenge = store.find_challenge(tx, request.connector, digest)
        if challenge is None or challenge.holder is None:
            raise errors.challenge_wrong()
        if not store.use_challenge(tx, challenge.id, request.digest, deps.clock.now()):
            used = planning.planned_before(store.enrollment_by_challenge(tx, challenge.id), request)
            if used is not None:
                return used
            again = store.find_challenge(tx, request.connector, digest)
            raise errors.challenge_used() if again and again.request_digest else errors.challenge_expired()
        authorization = Authorization(challenge.holder, challenge=challenge.id)
        return _plan(tx, deps, request, authorization, challenge.holder, source=source)


def _renew(deps: Dependencies, request: EnrollmentRequest, certificate: bytes, *, source: str) -> Enrollment:
    with deps.database.transaction() as tx:
        own = own_certificates.find(tx, request.connector, certificate)
        if own is not None:  # and read again, since it may have ended while somebody else had it
            store.lock_enrollment(tx, own.enrollment.id)
            own = own_certificates.find(tx, request.connector, certificate)
        if own is None or own.enrollment.holder is None:
            raise errors.certificate_unknown()
        own_certificates.require_in_force(tx, own, deps.clock.now())
        followed = store.enrollment_that_renews(tx, own.enrollment.id)
        known = planning.planned_before(followed, request)
        if known is not None:
            return known
        if followed is not None:
            raise errors.renewed_before()
        authorization = Authorization(own.enrollment.holder, renews=own.enrollment.id)
        return _plan(tx, deps, request, authorization, own.enrollment.holder, source=source)


def _plan(
    tx: Transaction,
    deps: Dependencies,
    request: EnrollmentRequest,
    authorization: Authorization,
    holder: Holder,
    *,
    source: str,
) -> Enrollment:
    recorded = names.of_records(tx, deps, holder)
    if holder.is_named:
        names.require_same(request.asked, recorded)
    return planning.plan(tx, deps, request, authorization, recorded, source=source)


def _asked_before(tx: Transaction, connector: Connector, sender: Sender, transaction_id: bytes) -> Enrollment | None:
    own = own_certificates.find(tx, connector, sender.certificate.der)
    followed = store.enrollment_that_renews(tx, own.enrollment.id) if own else None
    asked = (*store.enrollments_by_key(tx, connector, sender.key_thumbprint), *((followed,) if followed else ()))
    return next((each for each in asked if each.transaction_id == transaction_id), None)
