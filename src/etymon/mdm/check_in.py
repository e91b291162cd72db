# SPDX-License-Identifier: Apache-2.0
"""Check-in: a device reports, and is told what is newer than what it knows.

An idle one costs a single indexed read of ours (`standing`); a transaction is opened only when something was reported,
the device's state is due to be worked out again, or it was last heard of some time ago.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from etymon.kernel.errors import NotPermitted
from etymon.mdm import desired_state, lifecycle
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.desired import Instructions, Standing
from etymon.mdm.model import CHECKS_IN, CommandResult, DeviceFacts, HeldCredential, PolicyResult
from etymon.mdm.store import configuration, desired_states, devices

HEARD_AGAIN_AFTER: Final = timedelta(minutes=5)
"""How exact the time is at which a device was last heard of."""

LONGEST_WAIT: Final = timedelta(seconds=55)


@dataclass(frozen=True, slots=True)
class Report:
    """What a device says. None and nothing mean: as before."""

    known: int
    wait: timedelta = timedelta()
    facts: DeviceFacts | None = None
    results: tuple[PolicyResult, ...] = ()
    commands: tuple[CommandResult, ...] = ()
    credentials: tuple[HeldCredential, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is reported."""
        return self.facts is None and self.credentials is None and not self.results and not self.commands

    def digest(self) -> bytes:
        """Return what tells this report from another."""
        told = repr((self.facts, self.results, self.commands, self.credentials))
        return hashlib.sha256(told.encode(errors="surrogatepass")).digest()


def check_in(deps: Dependencies, thumbprint: bytes, report: Report) -> tuple[Standing, Instructions | None]:
    """Take what a device reports and return how it stands, with what it should do if that is new to it.

    `thumbprint` is of the device identity that `DeviceDoor.judge` let in. The same report again changes nothing.
    Raises NotPermitted `device_not_managed` for an identity that is not the present one of a managed device.
    """
    present = standing(deps, thumbprint)
    now = deps.clock.now()
    if _is_news(present, report) or desired_state.is_due(present, now) or _was_long_unheard(present, now):
        _take(deps, present, report, now)
        present = standing(deps, thumbprint, let_go=True)
    return present, _answer(deps, present, report.known)


def look(deps: Dependencies, thumbprint: bytes, known: int) -> tuple[Standing, Instructions | None]:
    """Look for news for a device that waits."""
    present = standing(deps, thumbprint)
    now = deps.clock.now()
    if desired_state.is_due(present, now):
        with deps.database.transaction() as tx:
            desired_state.compute(tx, deps, present.device)
        present = standing(deps, thumbprint)
    return present, _answer(deps, present, known)


def standing(deps: Dependencies, thumbprint: bytes, *, let_go: bool = False) -> Standing:
    """Return how the device of this identity stands; with `let_go` also one that is not managed any more."""
    with deps.database.snapshot() as tx:
        present = desired_states.standing(tx, thumbprint)
    if present is None or (present.state not in CHECKS_IN and not let_go):
        raise NotPermitted("device_not_managed", "This device is not managed here any more. Enroll it again.")
    return present


def _take(deps: Dependencies, present: Standing, report: Report, now: datetime) -> None:
    with deps.database.transaction() as tx:
        if _is_news(present, report):
            devices.report(tx, present.device, report.digest(), report.facts, report.credentials)
            configuration.save_results(tx, present.device, report.results, now)
            for result in report.commands:
                lifecycle.command_reported(tx, deps, present.device, result)
        desired_states.checked_in(tx, present.device, now)
        desired_state.compute(tx, deps, present.device)


def _answer(deps: Dependencies, present: Standing, known: int) -> Instructions | None:
    if present.version == known or present.state not in CHECKS_IN:
        return None
    with deps.database.snapshot() as tx:
        return desired_state.instructions(tx, present.device, known=known)


def _is_news(present: Standing, report: Report) -> bool:
    return not report.is_empty and report.digest() != present.report_digest


def _was_long_unheard(present: Standing, now: datetime) -> bool:
    return present.last_check_in_at is None or now >= present.last_check_in_at + HEARD_AGAIN_AFTER
