# SPDX-License-Identifier: Apache-2.0
"""What the directory's use cases take, and the one way they write to the audit trail."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.audit.refusals import Refusals
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey
from etymon.storage.database import Database, Transaction


class Recording(Protocol):
    """Time and chance: all that a change of the directory needs. Every service's dependencies have them."""

    @property
    def clock(self) -> Clock:
        """Tells when a change was made."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Makes ids and codes."""
        ...


class CodeKeeping(Recording, Protocol):
    """What binding codes need besides."""

    @property
    def database(self) -> Database:
        """Where a try is counted, whatever becomes of it."""
        ...

    @property
    def digest_key(self) -> DigestKey:
        """What codes are digested under."""
        ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """For callers that have none of their own."""

    database: Database
    clock: Clock
    entropy: Entropy
    digest_key: DigestKey


@dataclass(frozen=True, slots=True)
class FeedDependencies:
    """What the face of identity feeds needs. `terminated_within` is by when the end of an account has to be over."""

    database: Database
    clock: Clock
    entropy: Entropy
    digest_key: DigestKey
    refusals: Refusals
    site_url: str
    proxies: Collection[str] = ()
    terminated_within: timedelta = timedelta(hours=18)


def record(
    tx: Transaction,
    deps: Recording,
    name: str,
    *,
    actor: str,
    subject: str,
    facts: Mapping[str, Fact] | None = None,
    outcome: Outcome = Outcome.SUCCESS,
    source: str = "",
) -> None:
    """Save an audit event of the directory in the caller's transaction."""
    event = AuditEvent(f"directory:{name}", actor, subject, outcome, facts or {}, source)
    trail.record(tx, deps.clock, deps.entropy, event)
