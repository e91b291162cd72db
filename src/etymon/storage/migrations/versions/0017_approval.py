# SPDX-License-Identifier: Apache-2.0
"""A rule may want each derivation approved, and cover classes of devices; a certificate knows the rule it was made by.

What was there before, and what a replica of the version before writes, is under blanket rules for all devices.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0017_approval"
down_revision = "0016_identity"


def upgrade() -> None:
    """Add requests, and columns to rules, derivations and credentials."""
    for column in (
        sa.Column("approval", sa.String(20), nullable=False, server_default="blanket"),
        sa.Column("device_models", sa.JSON, nullable=False, server_default="[]"),
    ):
        op.add_column("issuer_issuance_rules", column)
    op.add_column("issuer_derivations", sa.Column("request_id", sa.Uuid, nullable=True))
    op.add_column("issuer_credentials", sa.Column("rule_id", sa.Uuid, nullable=True))
    op.create_table(
        "issuer_requests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("rule_id", sa.Uuid, nullable=False),
        sa.Column("proof_id", sa.Uuid, nullable=False),
        sa.Column("requested_at", UTCDateTime, nullable=False),
        sa.Column("requested_from", sa.String(100), nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("decided_by", sa.Uuid, nullable=True),
        sa.Column("decided_at", UTCDateTime, nullable=True),
        sa.Column("decision_reason", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_requests"),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["issuer_issuance_rules.id"], name="fk_issuer_requests_rule_id_issuer_issuance_rules"
        ),
        sa.ForeignKeyConstraint(
            ["proof_id"], ["issuer_card_proofs.id"], name="fk_issuer_requests_proof_id_issuer_card_proofs"
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'used', 'refused', 'expired', 'ended')",
            name=op.f("ck_issuer_requests_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('approved', 'used', 'refused') OR "
            "(decided_by IS NOT NULL AND decided_at IS NOT NULL AND decided_by <> person_id)",
            name=op.f("ck_issuer_requests_decided_by_another"),
        ),
    )
    op.create_index("ix_issuer_requests_state_expires_at", "issuer_requests", ["state", "expires_at"])
    for column_name in ("person_id", "proof_id", "decided_by"):
        op.create_index(f"ix_issuer_requests_{column_name}", "issuer_requests", [column_name])
    waiting = sa.text("state IN ('requested', 'approved')")
    op.create_index(
        "uq_issuer_requests_person_id_rule_id_waiting",
        "issuer_requests",
        ["person_id", "rule_id"],
        unique=True,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
