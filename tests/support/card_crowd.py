# SPDX-License-Identifier: Apache-2.0
"""Many derivations behind many cards, written into the database as copies of one that was made the long way."""

import uuid
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.tables import card_links, derivations
from etymon.storage.database import Database

ROWS = 5000


def add(
    database: Database,
    pattern: UUID,
    count: int,
    *,
    revoked: Collection[int] = (),
    progress: Callable[[int], None] = lambda _: None,
    ids: Callable[[int], UUID] = lambda _: uuid.uuid4(),
    certificate: bytes | None = None,
) -> list[UUID]:
    """Copy a derivation with its link; serial numbers are 1, 2, 3 … Return those whose serials are in `revoked`.

    `progress` is told how many there are already, after each batch.
    """
    with database.snapshot() as tx:
        derivation = tx.execute(sa.select(*derivations.c).where(derivations.c.id == pattern)).one()
        link = tx.execute(sa.select(*card_links.c).where(card_links.c.derivation_id == pattern)).one()
    wanted, found = set(revoked), []

    def rows() -> Iterator[tuple[dict[str, object], dict[str, object]]]:
        for serial in range(1, count + 1):
            id_ = ids(serial)
            if serial in wanted:
                found.append(id_)
            fresh = {"id": id_, "undo_id": uuid.uuid4(), "authorization_digest": id_.bytes}
            kept = {"derivation_id": id_, "serial": f"{serial:x}", "certificate": certificate}
            yield {**derivation._asdict(), **fresh}, {**link._asdict(), **kept}

    every, made = rows(), 0
    while batch := list(islice(every, ROWS)):
        with database.transaction() as tx:
            tx.execute(derivations.insert(), [one for one, _ in batch])
            tx.execute(card_links.insert(), [other for _, other in batch])
        made += len(batch)
        progress(made)
    return found
