# SPDX-License-Identifier: Apache-2.0
"""What processes leave in the audit trail about themselves: that they started, that the clock was set (CP 5.4.1)."""

import os
import pwd
import socket
from typing import Final

from etymon.audit import trail
from etymon.audit.clock_watch import ClockWatch
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.kernel.clock import Clock, elapsed
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed
from etymon.server.deployment import Deployment
from etymon.server.software_integrity import Software
from etymon.storage.database import Database

MOST_NAMED: Final = 10
"""Changed files that are named; there are as many as the program has if its folder was exchanged."""


def started(database: Database, clock: Clock, entropy: Entropy, command: str, software: Software) -> None:
    """Record that a process of a deployment has started to work, with what was found of its software.

    Software that is not as it was installed is recorded and raises `Malformed` `software_changed`: it does not start.
    """
    facts = {"version": software.version, "software": software.told, "record": software.record or ""}
    if not software.changed:
        by_account(database, clock, entropy, "server:process:started", command, **facts)
        return
    files, more = software.changed[:MOST_NAMED], len(software.changed) - MOST_NAMED
    named = " ".join(files) + (f" and {more} more" if more > 0 else "")
    failed = Outcome.FAILURE
    by_account(database, clock, entropy, "server:software:changed", command, failed, **facts, files=named)
    raise Malformed(
        "software_changed",
        f"Files of the program are not as they were installed: {named}. Find out why, then install it anew.",
    )


def by_account(
    database: Database,
    clock: Clock,
    entropy: Entropy,
    name: str,
    subject: str,
    outcome: Outcome = Outcome.SUCCESS,
    /,
    **facts: Fact,
) -> None:
    """Record what somebody did at this machine itself, under the account they have there."""
    actor, source = f"account:{_account()}", socket.gethostname()
    with database.transaction() as tx:
        trail.record(tx, clock, entropy, AuditEvent(name, actor, subject, outcome, facts, source))


def clock_watch(deployment: Deployment) -> ClockWatch:
    """Return what notices that this machine's clock was set."""
    return ClockWatch(deployment.database, deployment.clock, deployment.entropy, elapsed, socket.gethostname())


def _account() -> str:
    """Return who runs this process, as the system says and no variable; some containers know a number only."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
