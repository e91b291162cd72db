# SPDX-License-Identifier: Apache-2.0
"""SCEP: connectors, one-time challenges, enrollments, and registration authorities."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0015_scep"
down_revision = "0014_refused_keys"

REASONS = (
    "'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', 'privilegeWithdrawn', 'unspecified'"
)


def upgrade() -> None:
    """Create the tables of SCEP; nothing that was there changes."""
    _connectors()
    _challenges()
    _enrollments()
    op.create_table(
        "issuer_scep_registration_authorities",
        sa.Column("key_name", sa.String(80), nullable=False),
        sa.Column("certificate_id", sa.Uuid, nullable=False),
        sa.Column("not_after", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key_name", name="pk_issuer_scep_registration_authorities"),
        sa.UniqueConstraint("certificate_id", name="uq_issuer_scep_registration_authorities_certificate_id"),
    )
    op.create_index(
        "ix_issuer_scep_registration_authorities_not_after", "issuer_scep_registration_authorities", ["not_after"]
    )


def _connectors() -> None:
    op.create_table(
        "issuer_scep_connectors",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("client_id", sa.String(100), nullable=True),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("lifetime_seconds", sa.Integer, nullable=False),
        sa.Column("key_types", sa.JSON, nullable=False),
        sa.Column("legacy_algorithms", sa.Boolean, nullable=False),
        sa.Column("page_password_digest", sa.LargeBinary, nullable=True),
        sa.Column("created_by", sa.Uuid, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("withdrawn_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_issuer_scep_connectors"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["issuer_clients.id"], name="fk_issuer_scep_connectors_client_id_issuer_clients"
        ),
        sa.CheckConstraint("source IN ('management', 'page', 'intune')", name="ck_issuer_scep_connectors_source"),
        sa.CheckConstraint(
            "source <> 'management' OR client_id IS NOT NULL", name="ck_issuer_scep_connectors_management_has_client"
        ),
    )


def _challenges() -> None:
    op.create_table(
        "issuer_scep_challenges",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("connector", sa.String(40), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=True),
        sa.Column("device_id", sa.Uuid, nullable=True),
        sa.Column("device_name", sa.String(64), nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("made_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("request_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("used_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_scep_challenges"),
        sa.UniqueConstraint("digest", name="uq_issuer_scep_challenges_digest"),
        sa.ForeignKeyConstraint(
            ["connector"],
            ["issuer_scep_connectors.name"],
            name="fk_issuer_scep_challenges_connector_issuer_scep_connectors",
        ),
        sa.CheckConstraint(
            "(request_digest IS NULL) = (used_at IS NULL)", name="ck_issuer_scep_challenges_used_has_request"
        ),
    )
    op.create_index("ix_issuer_scep_challenges_expires_at", "issuer_scep_challenges", ["expires_at"])
    op.create_index(
        "ix_issuer_scep_challenges_connector_expires_at", "issuer_scep_challenges", ["connector", "expires_at"]
    )


def _enrollments() -> None:
    op.create_table(
        "issuer_scep_enrollments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("connector", sa.String(40), nullable=False),
        sa.Column("challenge_id", sa.Uuid, nullable=True),
        sa.Column("renews_id", sa.Uuid, nullable=True),
        sa.Column("transaction_id", sa.LargeBinary, nullable=False),
        sa.Column("request_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("key_thumbprint", sa.LargeBinary(32), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=True),
        sa.Column("device_id", sa.Uuid, nullable=True),
        sa.Column("device_name", sa.String(64), nullable=False),
        sa.Column("certificate_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("planned_at", UTCDateTime, nullable=False),
        sa.Column("serial_number", sa.String(40), nullable=True),
        sa.Column("not_after", UTCDateTime, nullable=True),
        sa.Column("issued_at", UTCDateTime, nullable=True),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.Column("end_reason", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_scep_enrollments"),
        sa.UniqueConstraint("challenge_id", name="uq_issuer_scep_enrollments_challenge_id"),
        sa.UniqueConstraint("renews_id", name="uq_issuer_scep_enrollments_renews_id"),
        sa.UniqueConstraint("certificate_id", name="uq_issuer_scep_enrollments_certificate_id"),
        sa.ForeignKeyConstraint(
            ["connector"],
            ["issuer_scep_connectors.name"],
            name="fk_issuer_scep_enrollments_connector_issuer_scep_connectors",
        ),
        sa.ForeignKeyConstraint(
            ["challenge_id"],
            ["issuer_scep_challenges.id"],
            name="fk_issuer_scep_enrollments_challenge_id_issuer_scep_challenges",
        ),
        sa.ForeignKeyConstraint(
            ["renews_id"],
            ["issuer_scep_enrollments.id"],
            name="fk_issuer_scep_enrollments_renews_id_issuer_scep_enrollments",
        ),
        sa.CheckConstraint("state IN ('planned', 'active', 'ended')", name="ck_issuer_scep_enrollments_state"),
        sa.CheckConstraint(f"end_reason IN ({REASONS})", name="ck_issuer_scep_enrollments_end_reason"),
        sa.CheckConstraint(
            "(challenge_id IS NULL) <> (renews_id IS NULL)", name="ck_issuer_scep_enrollments_begun_once"
        ),
        sa.CheckConstraint(
            "state <> 'active' OR serial_number IS NOT NULL",
            name="ck_issuer_scep_enrollments_active_has_serial_number",
        ),
        sa.CheckConstraint(
            "state <> 'ended' OR ended_at IS NOT NULL", name="ck_issuer_scep_enrollments_ended_has_time"
        ),
    )
    op.create_index("ix_issuer_scep_enrollments_person_id", "issuer_scep_enrollments", ["person_id"])
    op.create_index("ix_issuer_scep_enrollments_serial_number", "issuer_scep_enrollments", ["serial_number"])
    op.create_index(
        "ix_issuer_scep_enrollments_connector_key_thumbprint",
        "issuer_scep_enrollments",
        ["connector", "key_thumbprint"],
    )
