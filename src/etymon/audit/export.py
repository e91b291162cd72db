# SPDX-License-Identifier: Apache-2.0
"""The trail as JSON lines, to be kept where those who run the system cannot reach it (CP 5.4.5).

The first line says where the export starts, every other is an event with its digest, or a checkpoint with its
signature after the last event it covers. An export ends with a checkpoint: what is not signed yet belongs to the
next one.
"""

import base64
import binascii
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from etymon.audit import chain, store
from etymon.audit.model import AuditEvent, ChainHead, Checkpoint, Outcome, RecordedEvent, SealedEvent
from etymon.kernel.errors import DecodeError
from etymon.storage.database import Database

PAGE: Final = 1000
LINE_LIMIT: Final = 1_000_000
"""Longest line that is read, in characters."""

MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, binascii.Error, RecursionError)
"""What reading a line of another kind ends in."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an export starts: after a checkpoint, or at the beginning of the chain."""

    head: ChainHead
    checkpoint: Checkpoint | None


def lines(database: Database, *, after: Checkpoint | None = None) -> Iterator[str]:
    """Return the signed trail after a checkpoint, each line with its line feed; one page is in memory at a time."""
    yield _line({"start": None if after is None else _checkpoint(after)})
    sequence = 0 if after is None else after.sequence
    while True:
        with database.snapshot() as tx:
            found = store.checkpoints_after(tx, sequence, limit=1)
        if not found:
            return
        yield from _covered(database, sequence, found[0])
        yield _line({"checkpoint": _checkpoint(found[0])})
        sequence = found[0].sequence


def entries(lines: Iterable[str]) -> Iterator[Start | SealedEvent | Checkpoint]:
    """Read an export back; `DecodeError` for a line that is none."""
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_LIMIT:
            raise DecodeError("audit_line_too_long", f"Line {number} is too long for an audit export.")
        try:
            yield _entry(json.loads(line), first=number == 1)
        except MALFORMED as exc:
            detail = f"Line {number} is not a line of an audit export."
            raise DecodeError("audit_line_malformed", detail, line=number) from exc


def checkpoint_line(checkpoint: Checkpoint) -> str:
    """Return a checkpoint as the line an export has of it, to be kept by itself."""
    return _line({"checkpoint": _checkpoint(checkpoint)})


def kept_checkpoint(lines: Iterable[str]) -> Checkpoint:
    """Return the checkpoint in the last line of an export, or of a file of its own; `DecodeError` without one."""
    last = "".join(deque(lines, maxlen=1))
    try:
        return _read_checkpoint(json.loads(last[:LINE_LIMIT])["checkpoint"])
    except MALFORMED as exc:
        raise DecodeError(
            "audit_checkpoint_missing", "The file's last line is no checkpoint of an audit trail."
        ) from exc


def _covered(database: Database, after: int, checkpoint: Checkpoint) -> Iterator[str]:
    first = after + 1
    while first <= checkpoint.sequence:
        last = min(first + PAGE - 1, checkpoint.sequence)
        with database.snapshot() as tx:
            stretch = store.sealed(tx, first, last)
        for sealed in stretch:
            if sealed.recorded is not None:
                document = chain.event_document(sealed.sequence, sealed.recorded)
                yield _line({"event": document, "digest": sealed.digest.hex()})
        first = last + 1


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    signature = base64.b64encode(checkpoint.signature).decode("ascii")
    return {**chain.checkpoint_document(checkpoint), "signature": signature}


def _line(document: dict[str, Any]) -> str:
    return chain.canonical(document) + "\n"


def _entry(document: Any, *, first: bool) -> Start | SealedEvent | Checkpoint:
    if first:
        known = document["start"]
        if known is None:
            return Start(chain.START, None)
        checkpoint = _read_checkpoint(known)
        return Start(ChainHead(checkpoint.sequence, checkpoint.digest), checkpoint)
    if "checkpoint" in document:
        return _read_checkpoint(document["checkpoint"])
    return _read_event(document["event"], bytes.fromhex(document["digest"]))


def _read_checkpoint(document: Any) -> Checkpoint:
    return Checkpoint(
        number=int(document["number"]),
        id=UUID(document["id"]),
        sequence=int(document["sequence"]),
        digest=bytes.fromhex(document["digest"]),
        previous=bytes.fromhex(document["previous"]),
        signed_at=datetime.fromisoformat(document["signed_at"]),
        key_id=bytes.fromhex(document["key_id"]),
        signature=base64.b64decode(document["signature"], validate=True),
    )


def _read_event(document: Any, digest: bytes) -> SealedEvent:
    event = AuditEvent(
        name=document["name"],
        actor=document["actor"],
        subject=document["subject"],
        outcome=Outcome(document["outcome"]),
        facts=document["facts"],
        source=document["source"],
    )
    recorded = RecordedEvent(UUID(document["id"]), datetime.fromisoformat(document["recorded_at"]), event)
    return SealedEvent(int(document["sequence"]), digest, recorded)
