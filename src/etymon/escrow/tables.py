# SPDX-License-Identifier: Apache-2.0
"""Tables of escrow."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa

from etymon.storage.schema import UTCDateTime, metadata

NOT_DESTROYED: Final = sa.text("state <> 'destroyed'")
WAITING: Final = sa.text("state IN ('requested', 'half_approved', 'approved')")
LIVE: Final = sa.text("lifted_at IS NULL")

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
    sa.Column("transport_key_sha256", sa.LargeBinary(32), nullable=True),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(300), nullable=False),
    sa.Column("recovery_id", sa.Uuid, sa.ForeignKey("escrow_recoveries.id"), nullable=True),
    sa.Column("card_proof", sa.Uuid, nullable=True),
    sa.CheckConstraint(
        "transport_key_sha256 IS NOT NULL OR recovery_id IS NOT NULL OR card_proof IS NOT NULL", name="has_recipient"
    ),
    sa.UniqueConstraint("recovery_id", "key_id"),
    sa.Index("ix_escrow_releases_key_id", "key_id", "released_at"),
)


def _person(name: str, *, nullable: bool = True) -> "sa.Column[UUID]":
    return sa.Column(name, sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=nullable)


recoveries = sa.Table(
    "escrow_recoveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    _person("person_id", nullable=False),
    sa.Column("requestor", sa.String(200), nullable=False),
    sa.Column("authority", sa.String(20), nullable=False),
    sa.Column("reference", sa.String(200), nullable=False),
    sa.Column("document_sha256", sa.LargeBinary(32), nullable=True),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("notice", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    _person("requested_by", nullable=False),
    sa.Column("requested_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    _person("first_agent"),
    sa.Column("first_approved_at", UTCDateTime, nullable=True),
    sa.Column("first_half_digest", sa.LargeBinary(32), nullable=True),
    _person("second_agent"),
    sa.Column("second_approved_at", UTCDateTime, nullable=True),
    sa.Column("second_half_digest", sa.LargeBinary(32), nullable=True),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    _person("ended_by"),
    sa.Column("end_reason", sa.String(200), nullable=True),
    sa.Column("cause", sa.String(200), nullable=True),
    _person("cause_by"),
    sa.Column("cause_at", UTCDateTime, nullable=True),
    sa.CheckConstraint(
        "state IN ('requested', 'half_approved', 'approved', 'delivered', 'refused', 'expired', 'failed')",
        name="state_known",
    ),
    sa.CheckConstraint("authority IN ('policy', 'legalProcess')", name="authority_known"),
    sa.CheckConstraint("notice = 'told' OR (notice = 'withheld' AND authority = 'legalProcess')", name="notice_known"),
    sa.CheckConstraint("requested_by <> person_id", name="not_for_oneself"),
    sa.CheckConstraint("first_agent <> requested_by AND first_agent <> person_id", name="first_agent_is_another"),
    sa.CheckConstraint(
        "second_agent <> requested_by AND second_agent <> person_id AND second_agent <> first_agent",
        name="second_agent_is_another",
    ),
    sa.CheckConstraint("(first_agent IS NULL) = (first_half_digest IS NULL)", name="first_half"),
    sa.CheckConstraint("(second_agent IS NULL) = (second_half_digest IS NULL)", name="second_half"),
    sa.CheckConstraint(
        "state NOT IN ('approved', 'delivered') OR (first_agent IS NOT NULL AND second_agent IS NOT NULL)",
        name="two_agents",
    ),
    sa.Index("ix_escrow_recoveries_requested_at", "requested_at", "id"),
    sa.Index("ix_escrow_recoveries_waiting", "expires_at", sqlite_where=WAITING, postgresql_where=WAITING),
)
"""Two people who are neither who asked nor whose keys they are: the database holds that, whoever writes (KRP 4.2)."""

recovery_keys = sa.Table(
    "escrow_recovery_keys",
    metadata,
    sa.Column("recovery_id", sa.Uuid, sa.ForeignKey("escrow_recoveries.id"), primary_key=True),
    sa.Column("key_id", sa.Uuid, sa.ForeignKey("escrow_keys.id"), primary_key=True),
)

legal_holds = sa.Table(
    "escrow_legal_holds",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    _person("person_id", nullable=False),
    sa.Column("reference", sa.String(200), nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    _person("placed_by", nullable=False),
    sa.Column("placed_at", UTCDateTime, nullable=False),
    _person("lifted_by"),
    sa.Column("lifted_at", UTCDateTime, nullable=True),
    sa.Column("lift_reason", sa.String(200), nullable=True),
    sa.CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted_by"),
    sa.Index("ix_escrow_legal_holds_live", "person_id", sqlite_where=LIVE, postgresql_where=LIVE),
    sa.Index("ix_escrow_legal_holds_placed_at", "placed_at", "id"),
)
