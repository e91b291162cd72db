# SPDX-License-Identifier: Apache-2.0
"""One application of a file: look, compare, show, ask, do."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console
from rich.markup import escape

from etymon.kernel.clock import Clock
from etymon.kernel.errors import EtymonError, NotPermitted
from etymon.server.apply import execution, planning, present_state, presentation, prospects
from etymon.server.apply.administration_api import AdministrationAPI, JSONObject
from etymon.server.apply.change import Change, Plan
from etymon.server.apply.planning import Passwords, Pruning
from etymon.server.apply.present_state import Present
from etymon.server.apply.resource import Organization, Role

Confirm: TypeAlias = Callable[[str], bool]
"""Asks a person a question that is answered yes or no."""


class Outcome(enum.Enum):
    """How it ended."""

    AS_WANTED = "as wanted"
    """Everything that this person's roles allow is as the file says."""
    DIFFERENT = "different"
    """There are differences, and nothing was done: only looked, or declined."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator chose."""

    pruning: Pruning = Pruning.KEEP
    passwords: Passwords = Passwords.WITH_CHANGES
    only_look: bool = False


def apply(
    organization: Organization,
    api: AdministrationAPI,
    subject: str,
    wishes: Wishes,
    *,
    clock: Clock,
    console: Console,
    confirm: Confirm,
) -> Outcome:
    """Bring about what `organization` says, as far as the roles of `subject` (a user's id) reach.

    Raises the errors of the API, of planning, Malformed `plan_impossible` before anything is written, and NotPermitted
    `no_writing_role`. What was done before an error stays
    done and is told.
    """
    present = present_state.fetch(api, organization.sections, clock.now())
    plan = planning.plan(organization, present.sections, wishes.pruning, wishes.passwords, operator=subject)
    for line in presentation.lines(plan):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(presentation.summary(plan), highlight=False)
    prospects.require(api, plan, present.names)
    if wishes.only_look or not plan.changes:
        _tell_who_waits(api, console)
        return Outcome.DIFFERENT if plan.changes else Outcome.AS_WANTED
    roles = _writing_roles(present, subject)
    part = plan.part_of(roles)
    if part.changes:
        if not confirm(f"Do {presentation.counted(len(part.changes))}?"):
            return Outcome.DIFFERENT
        _perform(api, part, present, console)
    _tell_the_rest(plan, roles, console)
    _tell_who_waits(api, console)
    return Outcome.AS_WANTED


def _tell_who_waits(api: AdministrationAPI, console: Console) -> None:
    """Tell whose role, given as the file wants, counts for nothing yet."""
    for item in api.every("/etymon/roles"):
        for each in item.get("appointments", ()):
            if not counts(each):
                who, role, assigned = item["userPrincipalName"], each["role"], each["assignedDateTime"]
                told = f"{who} waits as {role} for an Administrator, who looks at the cards that `list` shows, and"
                command = f"etymon appointments confirm {who} --role {role} --assigned {assigned}"
                console.print(escape(f"{told}: {command}"), highlight=False, soft_wrap=True)


def counts(appointment: JSONObject) -> bool:
    """Say whether an appointment counts; an older site lists only those that count once they are confirmed."""
    return bool(appointment.get("counts", appointment.get("confirmedBy")))


def _writing_roles(present: Present, subject: str) -> tuple[Role, ...]:
    held = present.roles.get(subject, frozenset())
    roles = tuple(role for role in Role if role.value in held)
    if not roles:
        raise NotPermitted(
            "no_writing_role",
            "You hold neither role that writes. Sign in as an Administrator, or as an Officer for issuance rules.",
        )
    return roles


def _perform(api: AdministrationAPI, plan: Plan, present: Present, console: Console) -> None:
    done: list[Change] = []

    def tell(change: Change) -> None:
        done.append(change)
        console.print(f"done: {escape(presentation.title(change))}", highlight=False, soft_wrap=True)

    try:
        execution.perform(api, plan, present.names, tell)
    except EtymonError:
        failed = plan.changes[len(done)]
        console.print(
            f"[bold red]not done:[/] {escape(presentation.title(failed))}\n{len(done)} of {len(plan.changes)} changes "
            "are done and stay done; the same command does the rest.",
            highlight=False,
            soft_wrap=True,
        )
        raise


def _tell_the_rest(plan: Plan, roles: tuple[Role, ...], console: Console) -> None:
    for role in Role:
        remaining = plan.remaining_for(role)
        if role not in roles and remaining:
            verb = "remains" if remaining == 1 else "remain"
            told = f"For the {role.value.capitalize()} {verb} {presentation.counted(remaining)}"
            console.print(f"{told}: sign in as one and apply the same file.", highlight=False, soft_wrap=True)
