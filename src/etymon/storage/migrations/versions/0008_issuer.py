# SPDX-License-Identifier: Apache-2.0
"""The issuer: rules, card proofs, sessions, derivations, credentials, and clients of the management API."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0008_issuer"
down_revision = "0007_mdm"

REASONS = (
    "'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', 'privilegeWithdrawn', 'unspecified'"
)


def upgrade() -> None:
    """Create the tables of the issuer."""
    op.create_table(
        "issuer_issuance_rules",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("group_ids", sa.JSON, nullable=False),
        sa.Column("managed_devices_only", sa.Boolean, nullable=False),
        sa.Column("purposes", sa.JSON, nullable=False),
        sa.Column("lifetime_seconds", sa.Integer, nullable=False),
        sa.Column("key_types", sa.JSON, nullable=False),
        sa.Column("encryption_key_type", sa.String(20), nullable=False),
        sa.Column("most_derivations", sa.Integer, nullable=False),
        sa.Column("instructions_url", sa.String(500), nullable=False),
        sa.Column("created_by", sa.Uuid, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("withdrawn_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_issuance_rules"),
    )
    op.create_index(
        "uq_issuer_issuance_rules_name_in_force",
        "issuer_issuance_rules",
        ["name"],
        unique=True,
        sqlite_where=sa.text("withdrawn_at IS NULL"),
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )
    op.create_table(
        "issuer_card_proofs",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("trust_entry", sa.String(60), nullable=False),
        sa.Column("identifier", sa.String(320), nullable=False),
        sa.Column("certificates", sa.JSON, nullable=False),
        sa.Column("policies", sa.JSON, nullable=False),
        sa.Column("proved_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_card_proofs"),
    )
    op.create_index("ix_issuer_card_proofs_proved_at", "issuer_card_proofs", ["proved_at"])
    op.create_table(
        "issuer_status_evidence",
        sa.Column("proof_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("this_update", UTCDateTime, nullable=True),
        sa.Column("octets", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("proof_id", "position", name="pk_issuer_status_evidence"),
        sa.ForeignKeyConstraint(
            ["proof_id"],
            ["issuer_card_proofs.id"],
            name="fk_issuer_status_evidence_proof_id_issuer_card_proofs",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "issuer_proof_requests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(60), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("cookie_digest", sa.LargeBinary, nullable=False),
        sa.Column("continue_at", sa.String(500), nullable=False),
        sa.Column("back_at", sa.String(500), nullable=False),
        sa.Column("form_targets", sa.JSON, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("code_digest", sa.LargeBinary, nullable=True),
        sa.Column("code_expires_at", UTCDateTime, nullable=True),
        sa.Column("proof_id", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_proof_requests"),
        sa.CheckConstraint("state IN ('asked', 'proved', 'redeemed')", name="ck_issuer_proof_requests_state"),
        sa.ForeignKeyConstraint(
            ["proof_id"], ["issuer_card_proofs.id"], name="fk_issuer_proof_requests_proof_id_issuer_card_proofs"
        ),
        sa.UniqueConstraint("code_digest", name="uq_issuer_proof_requests_code_digest"),
    )
    op.create_index("ix_issuer_proof_requests_expires_at", "issuer_proof_requests", ["expires_at"])
    op.create_table(
        "issuer_sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("started_at", UTCDateTime, nullable=False),
        sa.Column("seen_at", UTCDateTime, nullable=False),
        sa.Column("ends_at", UTCDateTime, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_issuer_sessions"),
        sa.UniqueConstraint("id", name="uq_issuer_sessions_id"),
    )
    op.create_index("ix_issuer_sessions_ends_at", "issuer_sessions", ["ends_at"])
    op.create_index("ix_issuer_sessions_person_id", "issuer_sessions", ["person_id"])
    op.create_table(
        "issuer_derivations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("rule_id", sa.Uuid, nullable=False),
        sa.Column("proof_id", sa.Uuid, nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("purposes", sa.JSON, nullable=False),
        sa.Column("duties_version", sa.String(20), nullable=False),
        sa.Column("begun_at", UTCDateTime, nullable=False),
        sa.Column("begun_from", sa.String(100), nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("undo_id", sa.Uuid, nullable=False),
        sa.Column("secret_digest", sa.LargeBinary, nullable=False),
        sa.Column("wrong_secrets", sa.Integer, nullable=False),
        sa.Column("device_trust_entry", sa.String(60), nullable=True),
        sa.Column("device_thumbprint", sa.LargeBinary, nullable=True),
        sa.Column("device_certificate", sa.LargeBinary, nullable=True),
        sa.Column("device_description", sa.JSON, nullable=True),
        sa.Column("link_key", sa.LargeBinary, nullable=True),
        sa.Column("link_key_thumbprint", sa.LargeBinary, nullable=True),
        sa.Column("digits", sa.String(6), nullable=True),
        sa.Column("redeemed_at", UTCDateTime, nullable=True),
        sa.Column("redeemed_from", sa.String(100), nullable=True),
        sa.Column("confirmed_at", UTCDateTime, nullable=True),
        sa.Column("authorization_digest", sa.LargeBinary, nullable=True),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.Column("end_reason", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_derivations"),
        sa.CheckConstraint(
            "state NOT IN ('confirmed', 'issuing', 'completed') OR "
            "(confirmed_at IS NOT NULL AND authorization_digest IS NOT NULL)",
            name="ck_issuer_derivations_confirmed_has_authorization",
        ),
        sa.CheckConstraint(f"end_reason IN ({REASONS})", name="ck_issuer_derivations_end_reason"),
        sa.CheckConstraint(
            "state NOT IN ('redeemed', 'confirmed', 'issuing', 'completed') OR "
            "(link_key IS NOT NULL AND digits IS NOT NULL AND redeemed_at IS NOT NULL)",
            name="ck_issuer_derivations_redeemed_has_key",
        ),
        sa.CheckConstraint(
            "state IN ('begun', 'redeemed', 'confirmed', 'issuing', 'completed', 'expired', 'denied', 'ended')",
            name="ck_issuer_derivations_state",
        ),
        sa.ForeignKeyConstraint(
            ["proof_id"], ["issuer_card_proofs.id"], name="fk_issuer_derivations_proof_id_issuer_card_proofs"
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["issuer_issuance_rules.id"], name="fk_issuer_derivations_rule_id_issuer_issuance_rules"
        ),
        sa.UniqueConstraint("authorization_digest", name="uq_issuer_derivations_authorization_digest"),
        sa.UniqueConstraint("undo_id", name="uq_issuer_derivations_undo_id"),
    )
    op.create_index("ix_issuer_derivations_device_thumbprint", "issuer_derivations", ["device_thumbprint"])
    op.create_index("ix_issuer_derivations_person_id", "issuer_derivations", ["person_id"])
    op.create_index("ix_issuer_derivations_state_expires_at", "issuer_derivations", ["state", "expires_at"])
    op.create_table(
        "issuer_authorizations",
        sa.Column("derivation_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=True),
        sa.Column("used_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("derivation_id", "purpose", name="pk_issuer_authorizations"),
        sa.CheckConstraint(
            "purpose IN ('authentication', 'signature', 'encryption')", name="ck_issuer_authorizations_purpose"
        ),
        sa.CheckConstraint("state IN ('open', 'used')", name="ck_issuer_authorizations_state"),
        sa.CheckConstraint(
            "state = 'open' OR request_digest IS NOT NULL", name="ck_issuer_authorizations_used_has_request"
        ),
        sa.ForeignKeyConstraint(
            ["derivation_id"],
            ["issuer_derivations.id"],
            name="fk_issuer_authorizations_derivation_id_issuer_derivations",
        ),
    )
    op.create_table(
        "issuer_credentials",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("derivation_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("device_trust_entry", sa.String(60), nullable=True),
        sa.Column("device_thumbprint", sa.LargeBinary, nullable=True),
        sa.Column("certificate_id", sa.Uuid, nullable=False),
        sa.Column("escrowed_key_id", sa.Uuid, nullable=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("planned_at", UTCDateTime, nullable=False),
        sa.Column("serial_number", sa.String(40), nullable=True),
        sa.Column("thumbprint", sa.LargeBinary, nullable=True),
        sa.Column("not_before", UTCDateTime, nullable=True),
        sa.Column("not_after", UTCDateTime, nullable=True),
        sa.Column("issued_at", UTCDateTime, nullable=True),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.Column("end_reason", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_credentials"),
        sa.CheckConstraint(
            "state <> 'active' OR serial_number IS NOT NULL", name="ck_issuer_credentials_active_has_serial_number"
        ),
        sa.CheckConstraint(f"end_reason IN ({REASONS})", name="ck_issuer_credentials_end_reason"),
        sa.CheckConstraint("state <> 'ended' OR ended_at IS NOT NULL", name="ck_issuer_credentials_ended_has_time"),
        sa.CheckConstraint(
            "purpose IN ('authentication', 'signature', 'encryption')", name="ck_issuer_credentials_purpose"
        ),
        sa.CheckConstraint("state IN ('planned', 'active', 'ended')", name="ck_issuer_credentials_state"),
        sa.ForeignKeyConstraint(
            ["derivation_id"], ["issuer_derivations.id"], name="fk_issuer_credentials_derivation_id_issuer_derivations"
        ),
        sa.UniqueConstraint("certificate_id", name="uq_issuer_credentials_certificate_id"),
        sa.UniqueConstraint("derivation_id", "purpose", name="uq_issuer_credentials_derivation_id_purpose"),
    )
    op.create_index("ix_issuer_credentials_device_thumbprint_id", "issuer_credentials", ["device_thumbprint", "id"])
    op.create_index("ix_issuer_credentials_person_id_id", "issuer_credentials", ["person_id", "id"])
    op.create_table(
        "issuer_clients",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("public_key", sa.JSON, nullable=False),
        sa.Column("device_trust_entries", sa.JSON, nullable=False),
        sa.Column("registered_at", UTCDateTime, nullable=False),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_clients"),
    )
    op.create_table(
        "issuer_client_assertions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_issuer_client_assertions"),
    )
    op.create_index("ix_issuer_client_assertions_expires_at", "issuer_client_assertions", ["expires_at"])
    op.create_table(
        "issuer_access_tokens",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.String(100), nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_issuer_access_tokens"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["issuer_clients.id"], name="fk_issuer_access_tokens_client_id_issuer_clients"
        ),
    )
    op.create_index("ix_issuer_access_tokens_expires_at", "issuer_access_tokens", ["expires_at"])
    op.create_table(
        "issuer_invalidations",
        sa.Column("client_id", sa.String(100), nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("comment", sa.String(500), nullable=False),
        sa.Column("credentials", sa.JSON, nullable=False),
        sa.Column("done_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("client_id", "id", name="pk_issuer_invalidations"),
        sa.CheckConstraint(f"reason IN ({REASONS})", name="ck_issuer_invalidations_reason"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["issuer_clients.id"], name="fk_issuer_invalidations_client_id_issuer_clients"
        ),
    )
