# SPDX-License-Identifier: Apache-2.0
"""Verifying the trail: in the database, or in an export that was taken elsewhere (CP 5.4.4, 5.4.5)."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from etymon.audit import export, store
from etymon.audit.examination import Examination, Fault, Report
from etymon.audit.model import Checkpoint, SealedEvent
from etymon.pki.algorithms import PublicKey
from etymon.pki.certificate import spki_sha256
from etymon.storage.database import Database, Transaction

PAGE: Final = 1000
"""Rows read at a time, however long the trail is."""


def verify(
    database: Database,
    public_key: PublicKey,
    *former_keys: PublicKey,
    known: Checkpoint | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Go through the whole trail and report every edit, gap, deletion, reordering and truncation.

    Whoever can delete the newest events together with the checkpoints over them leaves a shorter trail that is in
    order; `known`, a checkpoint kept elsewhere, shows that too. `progress` is told how many events were seen.
    """
    examination = Examination(_by_id(public_key, *former_keys))
    with database.snapshot() as tx:
        for _, _, entry in heapq.merge(_places(tx), _checkpoints(tx), key=lambda entry: entry[:2]):
            if isinstance(entry, SealedEvent):
                examination.event(entry)
            elif isinstance(entry, Checkpoint):
                examination.checkpoint(entry)
                progress(examination.events)
            else:
                examination.unreadable(entry)
        for event_id in store.adrift(tx, limit=PAGE):
            examination.find(Fault.ADRIFT, None, f"event {event_id}")
        if known is not None:
            digest = store.digest_at(tx, known.sequence)
            if digest is None:
                examination.find(Fault.TRUNCATED, known.sequence, "a known checkpoint covers more than there is")
            elif digest != known.digest:
                examination.find(Fault.CHECKPOINT_MISMATCH, known.sequence, "not the chain of a known checkpoint")
    return examination.report()


def verify_exports(
    exports: Iterable[Iterable[str]],
    public_key: PublicKey,
    *former_keys: PublicKey,
    known: Checkpoint | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Go through exports, each of which goes on where the one before ended; `DecodeError` for a line that is none.

    An export ends with a checkpoint, so one that does not was cut off. `known` and `progress` are as in `verify`.
    """
    examination = Examination(_by_id(public_key, *former_keys))
    for lines in exports:
        for entry in export.entries(lines):
            if isinstance(entry, export.Start):
                examination.start(entry.head, entry.checkpoint)
            elif isinstance(entry, SealedEvent):
                examination.event(entry)
            else:
                examination.checkpoint(entry)
                progress(examination.events)
                if known is not None and known.number == entry.number and known != entry:
                    examination.find(Fault.CHECKPOINT_MISMATCH, known.sequence, "not the chain of a known checkpoint")
        if examination.last is None or examination.last.sequence < examination.head.sequence:
            examination.find(Fault.TRUNCATED, examination.head.sequence, "the export does not end with a checkpoint")
    if known is not None and (examination.last is None or examination.last.number < known.number):
        examination.find(Fault.TRUNCATED, known.sequence, "a known checkpoint covers more than there is")
    return examination.report()


def _by_id(*keys: PublicKey) -> dict[bytes, PublicKey]:
    return {spki_sha256(key): key for key in keys}


def _places(tx: Transaction) -> Iterator[tuple[int, int, SealedEvent | int]]:
    sequences = store.sequences_after(tx, 0, limit=PAGE)
    while sequences:
        try:
            yield from ((sealed.sequence, 0, sealed) for sealed in store.sealed(tx, sequences[0], sequences[-1]))
        except (ValueError, TypeError):
            yield from ((sequence, 0, _one(tx, sequence)) for sequence in sequences)
        sequences = store.sequences_after(tx, sequences[-1], limit=PAGE)


def _one(tx: Transaction, sequence: int) -> SealedEvent | int:
    try:
        return store.sealed(tx, sequence, sequence)[0]
    except (ValueError, TypeError):
        return sequence


def _checkpoints(tx: Transaction) -> Iterator[tuple[int, int, Checkpoint]]:
    found = store.checkpoints_after(tx, 0, limit=PAGE)
    while found:
        yield from ((checkpoint.sequence, 1, checkpoint) for checkpoint in found)
        found = store.checkpoints_after(tx, found[-1].sequence, limit=PAGE)
