# SPDX-License-Identifier: Apache-2.0
"""The audit trail: events, their chain, checkpoints, and triggers that keep all three as they were written."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0002_audit"
down_revision = "0001_storage"

APPEND_ONLY = ("audit_events", "audit_seals", "audit_checkpoints")


def upgrade() -> None:
    """Create the tables of the trail."""
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("recorded_at", UTCDateTime, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("actor", sa.String(300), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("source", sa.String(300), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sa.CheckConstraint("outcome IN ('success', 'failure')", name="ck_audit_events_outcome_known"),
    )
    op.create_index("ix_audit_events_recorded_at", "audit_events", ["recorded_at", "id"])
    op.create_index("ix_audit_events_subject", "audit_events", ["subject", "recorded_at", "id"])
    op.create_index("ix_audit_events_actor", "audit_events", ["actor", "recorded_at", "id"])
    op.create_index("ix_audit_events_name", "audit_events", ["name", "recorded_at", "id"])
    op.create_table(
        "audit_pending",
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("recorded_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_audit_pending"),
        sa.ForeignKeyConstraint(["event_id"], ["audit_events.id"], name="fk_audit_pending_event_id_audit_events"),
    )
    op.create_index("ix_audit_pending_recorded_at", "audit_pending", ["recorded_at"])
    op.create_table(
        "audit_seals",
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_seals"),
        sa.UniqueConstraint("event_id", name="uq_audit_seals_event_id"),
        sa.ForeignKeyConstraint(["event_id"], ["audit_events.id"], name="fk_audit_seals_event_id_audit_events"),
        sa.CheckConstraint("sequence >= 1", name="ck_audit_seals_sequence_counts_from_one"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("signed_at", UTCDateTime, nullable=False),
        sa.Column("key_id", sa.LargeBinary(32), nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_checkpoints"),
        sa.UniqueConstraint("id", name="uq_audit_checkpoints_id"),
        sa.UniqueConstraint("sequence", name="uq_audit_checkpoints_sequence"),
        sa.CheckConstraint("number >= 1", name="ck_audit_checkpoints_number_counts_from_one"),
    )
    _refuse_changes()


def _refuse_changes() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
        )
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()"
            )
        return
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_append_only_{change.lower()} BEFORE {change} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )
