# SPDX-License-Identifier: Apache-2.0
"""The identity provider: clients, browsers, device authorizations, grants."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0006_idp"
down_revision = "0005_escrow"


def upgrade() -> None:
    """Create the identity provider's tables."""
    _create_clients()
    _create_browsers()
    _create_device_authorizations()
    _create_grants()


def _create_clients() -> None:
    op.create_table(
        "idp_clients",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("redirect_uris", sa.JSON, nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("authentication", sa.String(20), nullable=False),
        sa.Column("keys", sa.JSON, nullable=False),
        sa.Column("device_authorization", sa.String(20), nullable=False),
        sa.Column("assertion_issuer", sa.String(500), nullable=False),
        sa.Column("assertion_keys", sa.JSON, nullable=False),
        sa.CheckConstraint("authentication IN ('none', 'private_key_jwt')", name="ck_idp_clients_authentication"),
        sa.CheckConstraint(
            "device_authorization IN ('none', 'open', 'enrollment')", name="ck_idp_clients_device_authorization"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_idp_clients"),
    )
    op.create_table(
        "idp_assertion_ids",
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("jti", sa.String(200), nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("client_id", "jti", name="pk_idp_assertion_ids"),
    )
    op.create_index("ix_idp_assertion_ids_expires_at", "idp_assertion_ids", ["expires_at"])


def _create_browsers() -> None:
    op.create_table(
        "idp_sessions",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("started_at", UTCDateTime, nullable=False),
        sa.Column("seen_at", UTCDateTime, nullable=False),
        sa.Column("ends_at", UTCDateTime, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_idp_sessions"),
        sa.UniqueConstraint("id", name="uq_idp_sessions_id"),
    )
    op.create_index("ix_idp_sessions_ends_at", "idp_sessions", ["ends_at"])
    op.create_index("ix_idp_sessions_person_id", "idp_sessions", ["person_id"])
    op.create_table(
        "idp_certificate_proofs",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("cookie_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("continue_at", sa.Text, nullable=False),
        sa.Column("back_at", sa.Text, nullable=False),
        sa.Column("form_targets", sa.JSON, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("code_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("code_expires_at", UTCDateTime, nullable=True),
        sa.Column("acr", sa.String(100), nullable=True),
        sa.Column("trust_entry", sa.String(60), nullable=True),
        sa.Column("identifier", sa.String(500), nullable=True),
        sa.Column("person_id", sa.Uuid, nullable=True),
        sa.Column("validated_at", UTCDateTime, nullable=True),
        sa.Column("evidence", sa.JSON, nullable=True),
        sa.Column("redeemed_by", sa.String(64), nullable=True),
        sa.Column("redeemed_at", UTCDateTime, nullable=True),
        sa.CheckConstraint(
            "state = 'asked' OR evidence IS NOT NULL", name="ck_idp_certificate_proofs_proved_has_evidence"
        ),
        sa.CheckConstraint("state IN ('asked', 'proved', 'redeemed', 'used')", name="ck_idp_certificate_proofs_state"),
        sa.PrimaryKeyConstraint("id", name="pk_idp_certificate_proofs"),
        sa.UniqueConstraint("code_digest", name="uq_idp_certificate_proofs_code_digest"),
    )
    op.create_index("ix_idp_certificate_proofs_state_expires_at", "idp_certificate_proofs", ["state", "expires_at"])
    op.create_table(
        "idp_counters",
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("ends_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idp_counters"),
    )
    op.create_index("ix_idp_counters_ends_at", "idp_counters", ["ends_at"])


def _create_device_authorizations() -> None:
    op.create_table(
        "idp_device_authorizations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("device_code_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_code_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("started_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("interval_seconds", sa.Integer, nullable=False),
        sa.Column("next_poll_at", UTCDateTime, nullable=False),
        sa.Column("enrollment_session", sa.String(100), nullable=True),
        sa.Column("live_enrollment_session", sa.String(100), nullable=True),
        sa.Column("device", sa.JSON, nullable=True),
        sa.Column("entered_by", sa.String(64), nullable=True),
        sa.Column("undo_id", sa.Uuid, nullable=False),
        sa.Column("decided_at", UTCDateTime, nullable=True),
        sa.Column("person_id", sa.Uuid, nullable=True),
        sa.Column("acr", sa.String(100), nullable=True),
        sa.Column("signed_in_at", UTCDateTime, nullable=True),
        sa.Column("trust_entry", sa.String(60), nullable=True),
        sa.Column("identifier", sa.String(500), nullable=True),
        sa.Column("proof_id", sa.Uuid, nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'denied', 'superseded', 'used', 'ended')",
            name="ck_idp_device_authorizations_state",
        ),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'used') OR proof_id IS NOT NULL",
            name="ck_idp_device_authorizations_approved_has_proof",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_idp_device_authorizations"),
        sa.UniqueConstraint("device_code_digest", name="uq_idp_device_authorizations_device_code_digest"),
        sa.UniqueConstraint("live_enrollment_session", name="uq_idp_device_authorizations_live_enrollment_session"),
        sa.UniqueConstraint("undo_id", name="uq_idp_device_authorizations_undo_id"),
        sa.UniqueConstraint("user_code_digest", name="uq_idp_device_authorizations_user_code_digest"),
    )
    op.create_index("ix_idp_device_authorizations_expires_at", "idp_device_authorizations", ["expires_at"])
    op.create_index("ix_idp_device_authorizations_person_id", "idp_device_authorizations", ["person_id"])


def _create_grants() -> None:
    op.create_table(
        "idp_authorization_codes",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("used", sa.Boolean, nullable=False),
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("code_challenge", sa.String(128), nullable=False),
        sa.Column("nonce", sa.Text, nullable=True),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("acr", sa.String(100), nullable=False),
        sa.Column("signed_in_at", UTCDateTime, nullable=False),
        sa.Column("trust_entry", sa.String(60), nullable=False),
        sa.Column("identifier", sa.String(500), nullable=False),
        sa.Column("proof_id", sa.Uuid, nullable=False),
        sa.Column("grant_id", sa.Uuid, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_idp_authorization_codes"),
    )
    op.create_index("ix_idp_authorization_codes_expires_at", "idp_authorization_codes", ["expires_at"])
    op.create_index("ix_idp_authorization_codes_person_id", "idp_authorization_codes", ["person_id"])
    op.create_table(
        "idp_grants",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("client_id", sa.String(200), nullable=False),
        sa.Column("scopes", sa.String(1000), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("acr", sa.String(100), nullable=False),
        sa.Column("signed_in_at", UTCDateTime, nullable=False),
        sa.Column("trust_entry", sa.String(60), nullable=False),
        sa.Column("identifier", sa.String(500), nullable=False),
        sa.Column("proof_id", sa.Uuid, nullable=False),
        sa.Column("started_at", UTCDateTime, nullable=False),
        sa.Column("ends_at", UTCDateTime, nullable=False),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.Column("device_authorization_id", sa.Uuid, nullable=True),
        sa.Column("enrollment_session", sa.String(100), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_idp_grants"),
        sa.UniqueConstraint("device_authorization_id", name="uq_idp_grants_device_authorization_id"),
    )
    op.create_index("ix_idp_grants_ends_at", "idp_grants", ["ends_at"])
    op.create_index("ix_idp_grants_person_id", "idp_grants", ["person_id"])
    op.create_table(
        "idp_refresh_tokens",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("grant_id", sa.Uuid, nullable=False),
        sa.Column("used", sa.Boolean, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["idp_grants.id"], name="fk_idp_refresh_tokens_grant_id_idp_grants", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_idp_refresh_tokens"),
    )
    op.create_index("ix_idp_refresh_tokens_grant_id", "idp_refresh_tokens", ["grant_id"])
