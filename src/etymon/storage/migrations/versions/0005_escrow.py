# SPDX-License-Identifier: Apache-2.0
"""Keys in escrow, their releases, and recoveries by two officers."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0005_escrow"
down_revision = "0004_ca"


def upgrade() -> None:
    """Create the tables of escrow."""
    _keys()
    _recoveries()
    _releases()


def _keys() -> None:
    op.create_table(
        "escrow_keys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("key_type", sa.String(20), nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("public_key_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=True),
        sa.Column("wrapped_by", sa.String(80), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("deposited_at", UTCDateTime, nullable=False),
        sa.Column("destroyed_at", UTCDateTime, nullable=True),
        sa.Column("certificate", sa.LargeBinary, nullable=True),
        sa.Column("keep_until", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_keys"),
        sa.UniqueConstraint("public_key_sha256", name="uq_escrow_keys_public_key_sha256"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_escrow_keys_person_id_directory_people"
        ),
        sa.CheckConstraint("state IN ('deposited', 'released', 'destroyed')", name="ck_escrow_keys_state_known"),
        sa.CheckConstraint("(state = 'destroyed') = (wrapped IS NULL)", name="ck_escrow_keys_destroyed_has_no_key"),
        sa.CheckConstraint(
            "(certificate IS NULL) = (keep_until IS NULL)", name="ck_escrow_keys_certificate_has_retention"
        ),
    )
    op.create_index("ix_escrow_keys_person_id", "escrow_keys", ["person_id", "deposited_at", "id"])


def _recoveries() -> None:
    op.create_table(
        "escrow_recoveries",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("transport_key", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("requested_by", sa.Uuid, nullable=False),
        sa.Column("requested_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("decided_by", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_recoveries"),
        sa.ForeignKeyConstraint(["key_id"], ["escrow_keys.id"], name="fk_escrow_recoveries_key_id_escrow_keys"),
        sa.ForeignKeyConstraint(
            ["requested_by"], ["directory_people.id"], name="fk_escrow_recoveries_requested_by_directory_people"
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["directory_people.id"], name="fk_escrow_recoveries_decided_by_directory_people"
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'delivered', 'refused')", name="ck_escrow_recoveries_state_known"
        ),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'delivered') OR (decided_by IS NOT NULL AND decided_by <> requested_by)",
            name="ck_escrow_recoveries_approved_by_another",
        ),
    )
    op.create_index("ix_escrow_recoveries_state", "escrow_recoveries", ["state", "requested_at", "id"])


def _releases() -> None:
    op.create_table(
        "escrow_releases",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("released_at", UTCDateTime, nullable=False),
        sa.Column("transport_key_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(300), nullable=False),
        sa.Column("recovery_id", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_releases"),
        sa.UniqueConstraint("recovery_id", name="uq_escrow_releases_recovery_id"),
        sa.ForeignKeyConstraint(["key_id"], ["escrow_keys.id"], name="fk_escrow_releases_key_id_escrow_keys"),
        sa.ForeignKeyConstraint(
            ["recovery_id"], ["escrow_recoveries.id"], name="fk_escrow_releases_recovery_id_escrow_recoveries"
        ),
    )
    op.create_index("ix_escrow_releases_key_id", "escrow_releases", ["key_id", "released_at"])
