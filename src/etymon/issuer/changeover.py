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

BATCH: Final = 200
"""Certificates that one call has rekeyed at most; whoever calls goes on until nothing remains."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How many certificates' rekey became due by a call, and how many are left."""

    credentials: int
    remaining: int


def rekey_certified(
    deps: Dependencies, authority: str, comment: str, *, officer: UUID, source: str, at_most: int = BATCH
) -> Progress:
    """Let the rekey of the next batch of an authority's certificates be due now; phones hear of it and do the rest.

    Raises `officer_required`, `reason_missing`, `NotFound`, `NotPermitted` for a root, and `Conflict`: `no_successor`
    for the authority that issues, `authority_not_of_issuer` for one of another hierarchy, and `authority_revoked`,
    since nobody rekeys with what a revoked one certified.
    """
    because = officers.reason_of(comment)
    with deps.database.transaction() as tx:
        officers.require(tx, officer)
        found = authorities.load(tx, authority)
        authorities.require_revocable(found)
        if found.parent != authorities.load(tx, deps.authority).parent:
            raise Conflict(
                "authority_not_of_issuer",
                f"{authority} certifies no derived credentials, so there is nothing to rekey.",
            )
        if authority == deps.authority:
            raise Conflict(
                "no_successor", f"{authority} issues. Make its successor in a key ceremony, and start again."
            )
        now = deps.clock.now()
        due = credentials.certified_by(tx, authority, now, at_most)
        for credential in due:
            credentials.make_due(tx, credential, now)
        progress = Progress(len(due), credentials.count_certified_by(tx, authority, now))
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
