# SPDX-License-Identifier: Apache-2.0
"""What applicants and Officers are told of requests for approval."""

from datetime import datetime

from etymon.directory import roles
from etymon.directory.model import Person, Role
from etymon.issuer import notices
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.request import DerivationRequest
from etymon.issuer.store import requests
from etymon.storage.database import Transaction


def made(tx: Transaction, deps: Dependencies, person: Person, request: DerivationRequest) -> None:
    """Tell an applicant what they asked for, and those who may decide: of the first request of an hour.

    What Officers ask for themselves is never that first one: whoever may not decide it was not told of it, and nobody
    keeps the requests of others from being told by one of their own.
    """
    notices.applicant(
        tx,
        deps,
        person,
        "You asked for credentials on a phone",
        "You asked for credentials on a phone with your smart card. An officer decides, and you will have a mail. You "
        "need do nothing until then.\n\nIf you did not ask for this, tell the help desk at once: somebody may have "
        "your card and its PIN.\n",
    )
    hour = deps.clock.now().replace(minute=0, second=0, microsecond=0)
    own = roles.holder_ids(tx, Role.OFFICER)
    if not requests.is_another_undecided(tx, request.id, since=hour, but=own):
        text = (
            f"A request for credentials on a phone waits for an officer.\n\n  Request {request.id}\n\nSee all that "
            "wait, and decide:\n\n  etymon derivations requests\n\nNot all that is asked for in one hour is told.\n"
        )
        notices.officers(tx, deps, "A request for credentials waits for you", text, but=person.id)


def approved(tx: Transaction, deps: Dependencies, person: Person, until: datetime) -> None:
    """Tell an applicant that an officer approved, and until when it is good."""
    notices.applicant(
        tx,
        deps,
        person,
        "Your request for credentials on a phone was approved",
        f"An officer approved your request. Come back with your smart card before {until:%Y-%m-%d} and set up your "
        f"phone:\n\n  {deps.issuer_url}/\n\nIf you did not ask for this, tell the help desk at once.\n",
    )


def refused(tx: Transaction, deps: Dependencies, person: Person, reason: str) -> None:
    """Tell an applicant that an officer refused, and why."""
    notices.applicant(
        tx,
        deps,
        person,
        "Your request for credentials on a phone was refused",
        f"An officer refused your request, for this reason:\n\n  {reason}\n\nNothing was issued.\n",
    )


def over(tx: Transaction, deps: Dependencies, person: Person, *, expired: bool) -> None:
    """Tell an applicant that a request, or an approval nobody used, is not good any more."""
    why = "its time was over" if expired else "it was withdrawn, or your account has ended"
    notices.applicant(
        tx,
        deps,
        person,
        "Your request for credentials on a phone is over",
        f"Your request for credentials on a phone, or its approval, is not good any more: {why}. Nothing was issued "
        f"under it.\n\nIf you still want credentials on a phone, ask again with your smart card:\n\n"
        f"  {deps.issuer_url}/\n",
    )
