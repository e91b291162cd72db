# SPDX-License-Identifier: Apache-2.0
"""From one issuing authority to the next: what the one before certified is rekeyed at once, while it is still good.

For a planned change, such as of algorithm or token. What a suspect authority certified is ended instead (`incidents`).
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from etymon.ca import authorities
from etymon.issuer import officers
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.store import credentials
from etymon.kernel.errors import Conflict
from etymon.storage.database import Transaction

BATCH: Final = 200
"""Certificates that one call has rekeyed at most; whoever calls goes on until nothing remains."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How many certificates' rekey became due by a call, and how many are left.

    `remaining` is counted at the beginning of a pass and at its end, and `following` leads from call to call, as those
    of `incidents.Progress` do.
    """

    credentials: int
    remaining: int | None
    following: UUID | None = None


def rekey_certified(
    deps: Dependencies,
    authority: str,
    comment: str,
    *,
    officer: UUID,
    source: str,
    at_most: int = BATCH,
    after: UUID | None = None,
) -> Progress:
    """Let the rekey of the next batch of an authority's certificates be due now; phones hear of it and do the rest.

    Call again from `following` while there is one, and from the beginning while anything remains. Raises
    `officer_required`, `reason_missing`, `NotFound`, `NotPermitted` for a root, and `Conflict`: `no_successor` for the
    authority that issues, `authority_not_of_issuer` for one of another hierarchy, and `authority_revoked`, since nobody
    rekeys with what a revoked one certified.
    """
    because = officers.reason_of(comment)
    now, left = deps.clock.now(), None
    with deps.database.snapshot() as tx:
        _require(tx, deps, authority, officer)
        batch = credentials.certified_by(tx, authority, now, at_most, after=after)
        following = batch[-1] if len(batch) == at_most else None
        if after is None or following is None:
            left = credentials.count_certified_by(tx, authority, now) - len(batch)
    with deps.database.transaction() as tx:
        _require(tx, deps, authority, officer)
        for credential in batch:
            credentials.make_due(tx, credential, now)
        progress = Progress(len(batch), left, None if left == 0 else following)
        record(
            tx,
            deps,
            "changeover:rekeyed",
            actor=f"person:{officer}",
            subject=f"authority:{authority}",
            source=source,
            comment=because,
            credentials=progress.credentials,
            remaining=progress.remaining,
        )
    return progress


def _require(tx: Transaction, deps: Dependencies, name: str, officer: UUID) -> None:
    """Refuse whoever is no officer, and an authority whose certificates are not rekeyed onto another's."""
    officers.require(tx, officer)
    found = authorities.load(tx, name)
    authorities.require_revocable(found)
    if found.parent != authorities.load(tx, deps.authority).parent:
        raise Conflict(
            "authority_not_of_issuer", f"{name} certifies no derived credentials, so there is nothing to rekey."
        )
    if name == deps.authority:
        raise Conflict("no_successor", f"{name} issues. Make its successor in a key ceremony, and start again.")
