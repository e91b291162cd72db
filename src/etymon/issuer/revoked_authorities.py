# SPDX-License-Identifier: Apache-2.0
"""An issuing authority was revoked: what it certified is good for nothing at once, before anybody has ended it.

How a credential stands follows from its authority's own revocation, wherever it is shown; nothing is kept of it here.
An officer ends what there is (`incidents`), for a reason and in words, and is told so with the command that does it.
"""

import shlex
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from etymon.ca import authorities
from etymon.ca.model import Authority
from etymon.directory.dependencies import Recording
from etymon.issuer import errors, notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, CredentialState
from etymon.issuer.scep import store as enrollments
from etymon.issuer.scep.model import HIERARCHY, Enrollment, EnrollmentState
from etymon.issuer.store import derivations
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.storage.jobs import Job

TELL: Final = "issuer.authority_revoked"
"""Kind of the job; its payload has `authority`."""


def of_credentials(tx: Transaction, found: Iterable[Credential]) -> Mapping[UUID, Authority]:
    """Return which credentials, not ended, a revoked authority has certified: by id, with the one that was revoked."""
    living = {each.id: each.certificate for each in found if each.state is not CredentialState.ENDED}
    return _of(tx, living)


def of_enrollments(tx: Transaction, found: Iterable[Enrollment]) -> Mapping[UUID, Authority]:
    """Return the same of what connectors gave out."""
    living = {each.id: each.certificate for each in found if each.state is not EnrollmentState.ENDED}
    return _of(tx, living)


def require_in_force(tx: Transaction, deps: Dependencies) -> None:
    """Raise `authority_revoked` where nothing can be issued, before anybody sets a phone up in vain."""
    if authorities.is_revoked(tx, deps.authority):
        raise errors.authority_revoked()


def is_ours(tx: Transaction, deps: Dependencies, name: str) -> bool:
    """Say whether an authority certifies derived credentials or managed endpoints; `NotFound` where there is none."""
    hierarchy = authorities.load(tx, deps.authority).parent
    managed = (authority.name for authority in authorities.issuing(tx, HIERARCHY))
    return authorities.load(tx, name).parent == hierarchy or name in managed


def was_revoked(tx: Transaction, deps: Recording, name: str) -> None:
    """Have officers told; call it in the transaction that revokes the authority."""
    jobs.enqueue(tx, deps.clock, deps.entropy, TELL, {"authority": name}, key=f"{TELL}:{name}")


def tell(deps: Dependencies, job: Job) -> None:
    """Tell officers once what is left of a revoked authority, and how it is ended; nobody where nothing is."""
    name = str(job.payload["authority"])
    with deps.database.snapshot() as tx:
        authority = authorities.load(tx, name)
        since = authority.certificate.not_valid_before_utc
        scope = derivations.Authorized(frozenset(), None, since, name)
        is_left = is_ours(tx, deps, name) and bool(
            derivations.authorized(tx, scope, 1) or enrollments.enrolled(tx, since, 1, authority=name)
        )
    with deps.database.transaction() as tx:
        if is_left:
            _tell(tx, deps, authority)
        jobs.complete(tx, job)


def _tell(tx: Transaction, deps: Dependencies, authority: Authority) -> None:
    record(tx, deps, "revoked_authority:told", actor="worker", subject=f"authority:{authority.name}")
    since = f"{authority.certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    text = (
        f"The issuing authority {authority.name} was revoked. What it certified is refused everywhere and shown so, "
        "and nobody has ended it or told its people yet. This does both, and goes on where it was if it is run "
        "again:\n\n"
        f"  etymon derivations end-authorized --authority {shlex.quote(authority.name)} --since {since} \\\n"
        '    --reason superseded --comment "…"\n\n'
        "Make the successor first, in a key ceremony, or nobody can set a phone up anew. The page on incidents says "
        "what else there is to do.\n"
    )
    notices.officers(tx, deps, f"The issuing authority {authority.name} was revoked", text)


def _of(tx: Transaction, living: Mapping[UUID, UUID]) -> Mapping[UUID, Authority]:
    revoked = authorities.revoked_of(tx, list(living.values()))
    return {id_: revoked[certificate] for id_, certificate in living.items() if certificate in revoked}
