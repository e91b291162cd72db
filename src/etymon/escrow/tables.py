# SPDX-License-Identifier: Apache-2.0
"""Tables of escrow."""

from typing import Final

import sqlalchemy as sa

from etymon.storage.schema import UTCDateTime, metadata

NOT_DESTROYED: Final = sa.text("state <> 'destroyed'")

keys = sa.Table(
    "escrow_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=False),
    sa.Column("key_type", sa.String(20), nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("public_key_sha256", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=True),
    sa.Column("wrapped_by", sa.String(80), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("deposited_at", UTCDateTime, nullable=False),
    sa.Column("destroyed_at", UTCDateTime, nullable=True),
    sa.Column("certificate", sa.LargeBinary, nullable=True),
    sa.Column("keep_until", UTCDateTime, nullable=True),
    sa.CheckConstraint("state IN ('deposited', 'released', 'destroyed')", name="state_known"),
    sa.CheckConstraint("(state = 'destroyed') = (wrapped IS NULL)", name="destroyed_has_no_key"),
    sa.CheckConstraint("(certificate IS NULL) = (keep_until IS NULL)", name="certificate_has_retention"),
    sa.Index("ix_escrow_keys_person_id", "person_id", "deposited_at", "id"),
    sa.Index(
        "ix_escrow_keys_keep_until_kept",
        "keep_until",
        "id",
        sqlite_where=NOT_DESTROYED,
        postgresql_where=NOT_DESTROYED,
    ),
)

releases = sa.Table(
    "escrow_releases",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("key_id", sa.Uuid, sa.ForeignKey("escrow_keys.id"), nullable=False),
    sa.Column("released_at", UTCDateTime, nullable=False),
    sa.Column("transport_key_sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(300), nullable=False),
    sa.Column("recovery_id", sa.Uuid, sa.ForeignKey("escrow_recoveries.id"), nullable=True, unique=True),
    sa.Index("ix_escrow_releases_key_id", "key_id", "released_at"),
)

recoveries = sa.Table(
    "escrow_recoveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("key_id", sa.Uuid, sa.ForeignKey("escrow_keys.id"), nullable=False),
    sa.Column("transport_key", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("requested_by", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=False),
    sa.Column("requested_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("decided_by", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=True),
    sa.CheckConstraint("state IN ('requested', 'approved', 'delivered', 'refused')", name="state_known"),
    sa.CheckConstraint(
        "state NOT IN ('approved', 'delivered') OR (decided_by IS NOT NULL AND decided_by <> requested_by)",
        name="approved_by_another",
    ),
    sa.Index("ix_escrow_recoveries_state", "state", "requested_at", "id"),
)
