# SPDX-License-Identifier: Apache-2.0
"""Tables of the trail. Events, seals and checkpoints are never changed: triggers in the database refuse it.

`audit_pending` holds the events that no signed checkpoint covers yet, so that neither the sealer nor the check
that it lives reads the whole trail.
"""

import sqlalchemy as sa

from etymon.storage.schema import UTCDateTime, metadata

events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("recorded_at", UTCDateTime, nullable=False),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("actor", sa.String(300), nullable=False),
    sa.Column("subject", sa.String(300), nullable=False),
    sa.Column("source", sa.String(300), nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.CheckConstraint("outcome IN ('success', 'failure')", name="outcome_known"),
    sa.Index("ix_audit_events_recorded_at", "recorded_at", "id"),
    sa.Index("ix_audit_events_subject", "subject", "recorded_at", "id"),
    sa.Index("ix_audit_events_actor", "actor", "recorded_at", "id"),
    sa.Index("ix_audit_events_name", "name", "recorded_at", "id"),
)

pending = sa.Table(
    "audit_pending",
    metadata,
    sa.Column("event_id", sa.Uuid, sa.ForeignKey("audit_events.id"), primary_key=True),
    sa.Column("recorded_at", UTCDateTime, nullable=False),
    sa.Index("ix_audit_pending_recorded_at", "recorded_at"),
)

seals = sa.Table(
    "audit_seals",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", sa.Uuid, sa.ForeignKey("audit_events.id"), nullable=False, unique=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.CheckConstraint("sequence >= 1", name="sequence_counts_from_one"),
)

checkpoints = sa.Table(
    "audit_checkpoints",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Uuid, nullable=False, unique=True),
    sa.Column("sequence", sa.BigInteger, nullable=False, unique=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("previous", sa.LargeBinary(32), nullable=False),
    sa.Column("signed_at", UTCDateTime, nullable=False),
    sa.Column("key_id", sa.LargeBinary(32), nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("number >= 1", name="number_counts_from_one"),
)
