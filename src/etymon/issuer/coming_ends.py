# SPDX-License-Identifier: Apache-2.0
"""Telling people of what their phone did not manage by itself: credentials that end soon, and a rekey that is refused.

Both are jobs that look, when they are due, whether there is still something to tell. While a credential is on hold that
is not known: they look again later, for once it is restored it ends, or lacks its rekey, as before.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory import people
from etymon.directory.model import Person
from etymon.issuer import notices, rekey_window
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, CredentialState, Derivation
from etymon.issuer.store import credentials, derivations
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.storage.jobs import Job

ENDS_SOON: Final = "issuer.tell_coming_end"
REKEY_REFUSED: Final = "issuer.tell_rekey_refused"
"""Kinds of the jobs; each payload has `credential`."""

REFUSED_FOR: Final = timedelta(days=1)
"""So long the phone may try again before its person is told, or for half of what is left of the credential's life;
further refusals meanwhile are the same notice."""

HELD_FOR: Final = timedelta(days=1)
"""After so long it is looked again whether a credential is still on hold, or after half of what is left of its life."""
_STANDING: Final = frozenset({CredentialState.ACTIVE, CredentialState.HELD})


def watch(tx: Transaction, deps: Dependencies, issued: UUID, begins: datetime, ends: datetime) -> None:
    """Have the person told half-way through the time for a rekey, if the phone has made no use of it until then."""
    opens = rekey_window.opens_between(begins, ends, deps.rekey_window)
    payload: dict[str, jobs.JSONValue] = {"credential": str(issued)}
    due = opens + (ends - opens) / 2
    jobs.enqueue(tx, deps.clock, deps.entropy, ENDS_SOON, payload, due=due, key=f"{ENDS_SOON}:{issued}")


def rekey_refused(deps: Dependencies, asking: Credential) -> None:
    """Have the person told once in a day, however often the phone asks, unless it gets what it asks for meanwhile."""
    now = deps.clock.now()
    left = asking.not_after - now if asking.not_after else REFUSED_FOR
    payload: dict[str, jobs.JSONValue] = {"credential": str(asking.id)}
    due, key = now + min(REFUSED_FOR, left / 2), f"{REKEY_REFUSED}:{asking.id}"
    with deps.database.transaction() as tx:
        jobs.enqueue(tx, deps.clock, deps.entropy, REKEY_REFUSED, payload, due=due, key=key)


def tell_ends_soon(deps: Dependencies, job: Job) -> None:
    """Tell of a credential that ends soon."""
    _tell(deps, job, notices.credentials_end_soon)


def tell_rekey_refused(deps: Dependencies, job: Job) -> None:
    """Tell of a rekey that was refused and has not succeeded since."""
    _tell(deps, job, notices.rekey_refused)


def _tell(
    deps: Dependencies, job: Job, notice: Callable[[Transaction, Dependencies, Person, Derivation, datetime], None]
) -> None:
    with deps.database.transaction() as tx:
        now = deps.clock.now()
        credential = _standing(tx, UUID(str(job.payload["credential"])), now)
        if credential and credential.not_after and credential.state is CredentialState.HELD:
            jobs.defer(tx, job, now + min(HELD_FOR, (credential.not_after - now) / 2))
            return
        derivation = derivations.find(tx, credential.derivation) if credential else None
        person = people.find(tx, derivation.person) if derivation else None
        if credential and credential.not_after and derivation and person:
            notice(tx, deps, person, derivation, credential.not_after)
        jobs.complete(tx, job)


def _standing(tx: Transaction, credential_id: UUID, now: datetime) -> Credential | None:
    """Return a credential that is in force or on hold, and has no such other in its place."""
    found = credentials.find(tx, credential_id)
    if found is None or found.state not in _STANDING or found.not_after is None:
        return None
    beside = credentials.of_derivation(tx, found.derivation)
    replaced = any(one.replaces == found.id and one.state in _STANDING for one in beside)
    return None if replaced or found.not_after <= now else found
