# SPDX-License-Identifier: Apache-2.0
"""Rules say what is asked of a phone's keys; who is believed about them, and what was found, is kept.

Rules that are there, and those an older replica writes, record what phones send, as rules do that do not speak of it.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0025_key_attestation"
down_revision = "0022_scep_connectors"


def upgrade() -> None:
    """Add the rule's columns and two tables."""
    for column in (
        sa.Column("attestation", sa.String(20), nullable=False, server_default="recorded"),
        sa.Column("attestation_level", sa.String(30), nullable=False, server_default="trusted_environment"),
        sa.Column("verified_boot", sa.Boolean, nullable=False, server_default=sa.true()),
    ):
        op.add_column("issuer_issuance_rules", column)
    op.create_table(
        "issuer_attestation_authorities",
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("roots", sa.JSON, nullable=False),
        sa.Column("revoked_serials", sa.JSON, nullable=False),
        sa.Column("has_status_list", sa.Boolean, nullable=False),
        sa.Column("saved_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_issuer_attestation_authorities"),
    )
    op.create_table(
        "issuer_key_attestations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("derivation_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("verdict", sa.String(60), nullable=False),
        sa.Column("authority", sa.String(60), nullable=False),
        sa.Column("security_level", sa.String(30), nullable=False),
        sa.Column("manufacturer", sa.String(100), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("os_patch_level", sa.BigInteger, nullable=True),
        sa.Column("status_list", sa.Boolean, nullable=False),
        sa.Column("chain", sa.JSON, nullable=False),
        sa.Column("judged_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_key_attestations"),
        sa.ForeignKeyConstraint(
            ["derivation_id"],
            ["issuer_derivations.id"],
            name="fk_issuer_key_attestations_derivation_id_issuer_derivations",
        ),
        sa.CheckConstraint(
            "purpose IN ('authentication', 'signature', 'encryption')", name=op.f("ck_issuer_key_attestations_purpose")
        ),
        sa.UniqueConstraint("derivation_id", "key_sha256", name="uq_issuer_key_attestations_derivation_id_key_sha256"),
    )
