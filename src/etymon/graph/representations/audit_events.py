# SPDX-License-Identifier: Apache-2.0
"""Events of the audit trail, a resource of our own."""

from typing import Any

from etymon.audit.reading import Entry


def audit_event(entry: Entry) -> dict[str, Any]:
    """Show an event with its place in the chain; null where it waits for its seal."""
    shown, event = entry.recorded, entry.recorded.event
    return {
        "@odata.type": "#etymon.graph.auditEvent",
        "id": shown.id,
        "recordedDateTime": shown.recorded_at,
        "name": event.name,
        "actor": event.actor,
        "subject": event.subject,
        "outcome": event.outcome.value,
        "source": event.source or None,
        "facts": dict(event.facts),
        "sequence": entry.sequence,
    }
