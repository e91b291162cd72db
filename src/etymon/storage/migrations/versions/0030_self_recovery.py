# SPDX-License-Identifier: Apache-2.0
"""Releases of escrowed keys to whoever proved a card, and each attempt of people to recover their own keys.

What a replica of the version before writes of releases fits.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0030_self_recovery"
down_revision = "0029_unknown_cards"

HAS_RECIPIENT = "transport_key_sha256 IS NOT NULL OR recovery_id IS NOT NULL OR card_proof IS NOT NULL"


def upgrade() -> None:
    """Add a column and widen a check, for which SQLite gets the table anew; add a table."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_releases()
    else:
        op.add_column("escrow_releases", sa.Column("card_proof", sa.Uuid, nullable=True))
        op.drop_constraint(op.f("ck_escrow_releases_has_recipient"), "escrow_releases")
        op.create_check_constraint(op.f("ck_escrow_releases_has_recipient"), "escrow_releases", HAS_RECIPIENT)
    op.create_table(
        "issuer_self_recoveries",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("proof_id", sa.Uuid, nullable=False),
        sa.Column("asked_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_self_recoveries"),
        sa.ForeignKeyConstraint(
            ["proof_id"], ["issuer_card_proofs.id"], name="fk_issuer_self_recoveries_proof_id_issuer_card_proofs"
        ),
    )
    op.create_index("ix_issuer_self_recoveries_proof_id", "issuer_self_recoveries", ["proof_id"])
    op.create_index("ix_issuer_self_recoveries_person_id_asked_at", "issuer_self_recoveries", ["person_id", "asked_at"])


def _rebuild_releases() -> None:
    op.create_table(
        "escrow_releases_anew",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("released_at", UTCDateTime, nullable=False),
        sa.Column("transport_key_sha256", sa.LargeBinary(32), nullable=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(300), nullable=False),
        sa.Column("recovery_id", sa.Uuid, nullable=True),
        sa.Column("card_proof", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_releases"),
        sa.UniqueConstraint("recovery_id", "key_id", name="uq_escrow_releases_recovery_id_key_id"),
        sa.ForeignKeyConstraint(["key_id"], ["escrow_keys.id"], name="fk_escrow_releases_key_id_escrow_keys"),
        sa.ForeignKeyConstraint(
            ["recovery_id"], ["escrow_recoveries.id"], name="fk_escrow_releases_recovery_id_escrow_recoveries"
        ),
        sa.CheckConstraint(HAS_RECIPIENT, name=op.f("ck_escrow_releases_has_recipient")),
    )
    kept = "id, key_id, released_at, transport_key_sha256, reason, actor, recovery_id"
    op.execute(f"INSERT INTO escrow_releases_anew ({kept}) SELECT {kept} FROM escrow_releases")  # noqa: S608 - constants
    op.drop_table("escrow_releases")
    op.rename_table("escrow_releases_anew", "escrow_releases")
    op.create_index("ix_escrow_releases_key_id", "escrow_releases", ["key_id", "released_at"])
