# SPDX-License-Identifier: Apache-2.0
"""How events and checkpoints are turned into the bytes that are digested and signed.

    digest(0) = 32 zero bytes
    digest(n) = SHA-256("etymon audit event v1" LF || digest(n-1) || canonical JSON of event n)

Canonical JSON has sorted names, no white space and only ASCII. Whoever has an export can compute it again.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from etymon.audit.model import ChainHead, Checkpoint, Fact, RecordedEvent

EVENT_DOMAIN: Final = b"etymon audit event v1\n"
CHECKPOINT_DOMAIN: Final = b"etymon audit checkpoint v1\n"
START: Final = ChainHead(0, bytes(32))
"""The chain before its first event."""


def canonical(document: Mapping[str, Fact | Mapping[str, Fact]]) -> str:
    """Return the one JSON text of a document."""
    return json.dumps(dict(document), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def timestamp(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event_document(sequence: int, recorded: RecordedEvent) -> dict[str, Fact | Mapping[str, Fact]]:
    """Return what is digested of an event, ready for JSON."""
    event = recorded.event
    return {
        "sequence": sequence,
        "id": str(recorded.id),
        "recorded_at": timestamp(recorded.recorded_at),
        "name": event.name,
        "actor": event.actor,
        "subject": event.subject,
        "source": event.source,
        "outcome": event.outcome.value,
        "facts": dict(event.facts),
    }


def event_digest(head: ChainHead, recorded: RecordedEvent) -> bytes:
    """Return the digest of the event that follows `head`."""
    document = canonical(event_document(head.sequence + 1, recorded))
    return hashlib.sha256(EVENT_DOMAIN + head.digest + document.encode("ascii")).digest()


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, Fact | Mapping[str, Fact]]:
    """Return what is signed of a checkpoint: all but the signature."""
    return {
        "number": checkpoint.number,
        "id": str(checkpoint.id),
        "sequence": checkpoint.sequence,
        "digest": checkpoint.digest.hex(),
        "previous": checkpoint.previous.hex(),
        "signed_at": timestamp(checkpoint.signed_at),
        "key_id": checkpoint.key_id.hex(),
    }


def checkpoint_tbs(checkpoint: Checkpoint) -> bytes:
    """Return the bytes that are signed."""
    return CHECKPOINT_DOMAIN + canonical(checkpoint_document(checkpoint)).encode("ascii")


def checkpoint_digest(checkpoint: Checkpoint) -> bytes:
    """Return what the next checkpoint names as its `previous`."""
    return hashlib.sha256(checkpoint_tbs(checkpoint)).digest()
