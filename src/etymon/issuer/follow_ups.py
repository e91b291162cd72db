# SPDX-License-Identifier: Apache-2.0
"""What a worker does for the issuer: finishes plans left behind, checks cards again, ends what is over."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory.bindings import CARD_REPLACED_JOB, CARDS_ENDED_JOB
from etymon.directory.people import PERSON_CHANGED_JOB
from etymon.issuer import (
    approval,
    card_links,
    card_recheck,
    card_status_monitor,
    changed_data,
    coming_ends,
    completion,
    invalidation,
    phones_told,
    rekey_window,
    revoked_authorities,
    superseding,
    terminations,
    unknown_cards,
)
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import DerivationState
from etymon.issuer.scep import completion as scep_completion
from etymon.issuer.scep import connectors as scep_connectors
from etymon.issuer.scep import registration_authority
from etymon.issuer.scep import store as scep_store
from etymon.issuer.store import card_sessions, clients, credentials, derivations
from etymon.kernel.errors import Conflict, NotPermitted
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.storage.jobs import Job

UNUSED_PROOFS_KEPT: Final = timedelta(days=1)
UNUSED_CHALLENGES_KEPT: Final = timedelta(days=1)
"""Until then a client that comes too late is told so."""
SWEEP_EVERY: Final = timedelta(minutes=1)
SWEEP_LIMIT: Final = 200

WAITING: Final = frozenset({DerivationState.BEGUN, DerivationState.REDEEMED, DerivationState.CONFIRMED})


def finish(deps: Dependencies, job: Job) -> None:
    """Finish the issuance of a credential whose process died between plan and signature."""
    with contextlib.suppress(NotPermitted):  # it was ended or held meanwhile: there is nothing to finish
        completion.finish(deps, UUID(str(job.payload["credential"])))
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def recheck_card(deps: Dependencies, job: Job) -> None:
    """Look once more whether the card that a derivation stands on is still good."""
    derivation = UUID(str(job.payload["derivation"]))
    finding = card_recheck.judge(deps, derivation)
    with deps.database.transaction() as tx:
        if finding is not None:
            card_recheck.settle(tx, deps, derivation, finding)
        jobs.complete(tx, job)


def sweep_cards(deps: Dependencies, job: Job) -> None:
    """Look at cards of a source; what is left is looked at by the next job of its name."""
    source = UUID(str(job.payload["source"]))
    is_over = card_status_monitor.sweep(deps, source)
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)
        if not is_over:
            card_status_monitor.go_on(tx, deps, source)


def ask_cards_again(deps: Dependencies, job: Job) -> None:
    """Ask once more for cards whose status nobody told."""
    unknown_cards.ask_again(deps, UUID(str(job.payload["source"])))
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def link_cards(deps: Dependencies, job: Job) -> None:
    """Link what was derived before cards were watched to its cards."""
    after = job.payload.get("after")
    last = card_status_monitor.link_older(deps, UUID(str(after)) if after else None)
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)
        if last is not None:
            payload: dict[str, jobs.JSONValue] = {"after": str(last)}
            jobs.enqueue(tx, deps.clock, deps.entropy, card_status_monitor.LINK, payload)


def card_replaced(deps: Dependencies, job: Job) -> None:
    """Link what was derived from a card to the one that took its place."""
    person, old, new = (UUID(str(job.payload[name])) for name in ("person", "old", "new"))
    with deps.database.transaction() as tx:
        card_links.replaced(tx, deps, person, old, new)
        jobs.complete(tx, job)


def close_termination(deps: Dependencies, job: Job) -> None:
    """Look whether everything of an account that ended is over, for everybody to see."""
    person = UUID(str(job.payload["person"]))
    is_over = terminations.close(deps, person)
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)
        if not is_over:
            terminations.watch(tx, deps, person, again=True)


def cards_ended(deps: Dependencies, job: Job) -> None:
    """End what was made lately with a card that stands for nobody any more."""
    entry, binding = str(job.payload["trust_entry"]), job.payload["binding"]
    ended_at = datetime.fromisoformat(str(job.payload["ended_at"]))
    card_recheck.cards_ended(deps, entry, None if binding is None else UUID(str(binding)), ended_at)
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def supersede(deps: Dependencies, job: Job) -> None:
    """End what a rekeyed credential replaced, when its phone has not done so."""
    with deps.database.transaction() as tx:
        superseding.grace_over(tx, deps, UUID(str(job.payload["credential"])))
        jobs.complete(tx, job)


def person_changed(deps: Dependencies, job: Job) -> None:
    """Let certificates be rekeyed at once that call a person something else than the records do now."""
    with deps.database.transaction() as tx:
        changed_data.make_due(tx, deps, UUID(str(job.payload["person_id"])))
        jobs.complete(tx, job)


def end_untrue(deps: Dependencies, job: Job) -> None:
    """End a certificate that calls its person something else than the records, when no phone has replaced it."""
    with deps.database.transaction() as tx:
        changed_data.end_untrue(tx, deps, UUID(str(job.payload["credential"])))
        jobs.complete(tx, job)


def make_registration_authority(deps: Dependencies, job: Job) -> None:
    """Make what SCEP clients encrypt to, where there is none yet."""
    registration_authority.renew(deps)
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


HANDLERS: Final[Mapping[str, Callable[[Dependencies, Job], None]]] = {
    completion.FINISH: finish,
    card_recheck.RECHECK: recheck_card,
    CARDS_ENDED_JOB: cards_ended,
    completion.SUPERSEDE: supersede,
    coming_ends.ENDS_SOON: coming_ends.tell_ends_soon,
    coming_ends.REKEY_REFUSED: coming_ends.tell_rekey_refused,
    PERSON_CHANGED_JOB: person_changed,
    changed_data.END: end_untrue,
    scep_connectors.PREPARE: make_registration_authority,
    scep_completion.FINISH: scep_completion.finish_left_behind,
    scep_completion.TELL_FAILURE: scep_completion.tell_failure,
    CARD_REPLACED_JOB: card_replaced,
    terminations.CLOSE: close_termination,
    card_status_monitor.SWEEP: sweep_cards,
    card_status_monitor.LINK: link_cards,
    revoked_authorities.TELL: revoked_authorities.tell,
    unknown_cards.ASK_AGAIN: ask_cards_again,
}
"""Job kind to handler; the server's worker collects them."""


def sweep(deps: Dependencies) -> int:
    """End links and authorizations whose time is over and forget what nobody needs; return how many.

    Safe to run anywhere and at any time; a worker runs it every `SWEEP_EVERY`.
    """
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        late = derivations.over_at(tx, now, {*WAITING, DerivationState.ISSUING}, SWEEP_LIMIT)
    done = 0
    for derivation_id in late:
        with deps.database.transaction() as tx:
            done += _end_late(tx, deps, derivation_id)
    done += approval.end_late(deps, SWEEP_LIMIT) + _note_rekey_times(deps)
    with deps.database.transaction() as tx:
        done += card_sessions.remove_what_is_over(tx, now, proofs_before=now - UNUSED_PROOFS_KEPT)
        done += scep_store.remove_unused_challenges(tx, now - UNUSED_CHALLENGES_KEPT)
        return done + clients.remove_what_is_over(tx, now)


def _note_rekey_times(deps: Dependencies) -> int:
    """Note when the rekey of what an older replica issued during an upgrade is due, so that its phone hears of it."""
    with deps.database.snapshot() as tx:
        found = credentials.without_rekey_time(tx, SWEEP_LIMIT)
    noted = 0
    for credential in found:
        if credential.not_before and credential.not_after:
            due = rekey_window.opens_between(credential.not_before, credential.not_after, deps.rekey_window)
            with deps.database.transaction() as tx:
                derivations.lock(tx, credential.derivation)  # first, as whoever ends or holds the credential does
                noted += credentials.note_rekey_time(tx, credential.id, due)
    return noted


def _end_late(tx: Transaction, deps: Dependencies, derivation_id: UUID) -> int:
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None or derivation.expires_at > deps.clock.now():
        return 0
    if derivation.state in WAITING:
        to, verb = DerivationState.EXPIRED, "expired"
    elif derivation.state is DerivationState.ISSUING:
        to, verb = DerivationState.COMPLETED, "completed"
    else:
        return 0
    try:
        derivations.move(tx, derivation, to)
    except Conflict:
        return 0
    if derivation.state is DerivationState.CONFIRMED:
        invalidation.link_expired(tx, deps, derivation)
    found = credentials.of_derivation(tx, derivation.id)
    phones_told.tell(tx, deps, found)
    unused = len(derivation.purposes) - len(found)
    record(tx, deps, f"derivation:{verb}", actor="worker", subject=derivation.id, unused_purposes=unused)
    return 1
