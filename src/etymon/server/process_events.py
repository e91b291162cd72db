# SPDX-License-Identifier: Apache-2.0
"""What processes leave in the audit trail about themselves: that they started, that the clock was set (CP 5.4.1)."""

import importlib.metadata
import os
import pwd
import socket

from etymon.audit import trail
from etymon.audit.clock_watch import ClockWatch
from etymon.audit.model import AuditEvent, Fact
from etymon.kernel.clock import Clock, elapsed
from etymon.kernel.entropy import Entropy
from etymon.server.deployment import Deployment
from etymon.storage.database import Database


def started(deployment: Deployment, command: str) -> None:
    """Record that a process of the deployment has started to work."""
    facts = {"version": importlib.metadata.version("etymon")}
    by_account(deployment.database, deployment.clock, deployment.entropy, "server:process:started", command, **facts)


def by_account(database: Database, clock: Clock, entropy: Entropy, name: str, subject: str, **facts: Fact) -> None:
    """Record what somebody did at this machine itself, under the account they have there."""
    actor, source = f"account:{_account()}", socket.gethostname()
    with database.transaction() as tx:
        trail.record(tx, clock, entropy, AuditEvent(name, actor, subject, facts=facts, source=source))


def clock_watch(deployment: Deployment) -> ClockWatch:
    """Return what notices that this machine's clock was set."""
    return ClockWatch(deployment.database, deployment.clock, deployment.entropy, elapsed, socket.gethostname())


def _account() -> str:
    """Return who runs this process, as the system says and no variable; some containers know a number only."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
