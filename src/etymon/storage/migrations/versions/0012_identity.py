# SPDX-License-Identifier: Apache-2.0
"""The link to the person and the card: why bindings ended, and by when everything of an account has to be over.

What a replica of the version before writes has no reason, and no deadline: its accounts end as before.
"""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0012_identity"
down_revision = "0009_link_password"


def upgrade() -> None:
    """Add what is kept of ends."""
    op.add_column("directory_bindings", sa.Column("end_reason", sa.String(40), nullable=True))
    _terminations()
    _card_status()
    _link_what_is_there()


def _terminations() -> None:
    op.create_table(
        "directory_terminations",
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("reported_at", UTCDateTime, nullable=False),
        sa.Column("due_at", UTCDateTime, nullable=False),
        sa.Column("alarmed_at", UTCDateTime, nullable=True),
        sa.Column("closed_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("person_id", name="pk_directory_terminations"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_terminations_person_id_directory_people"
        ),
    )
    op.create_index(
        "ix_directory_terminations_open",
        "directory_terminations",
        ["reported_at"],
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def _card_status() -> None:
    op.create_table(
        "issuer_card_sources",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("trust_entry", sa.String(60), nullable=False),
        sa.Column("issuer_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("issuer", sa.LargeBinary, nullable=False),
        sa.Column("list_url", sa.String(500), nullable=False),
        sa.Column("host", sa.String(300), nullable=False),
        sa.Column("began_at", UTCDateTime, nullable=True),
        sa.Column("cursor", sa.Uuid, nullable=True),
        sa.Column("checked", sa.Integer, nullable=False),
        sa.Column("swept_at", UTCDateTime, nullable=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("silent_since", UTCDateTime, nullable=True),
        sa.Column("next_try_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_card_sources"),
        sa.UniqueConstraint(
            "trust_entry", "issuer_sha256", "list_url", name="uq_issuer_card_sources_trust_entry_issuer_sha256_list_url"
        ),
    )
    op.create_table(
        "issuer_card_links",
        sa.Column("derivation_id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("trust_entry", sa.String(60), nullable=False),
        sa.Column("identifier", sa.String(320), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("linked_at", UTCDateTime, nullable=False),
        sa.Column("source_id", sa.Uuid, nullable=True),
        sa.Column("serial", sa.String(40), nullable=True),
        sa.Column("certificate", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("derivation_id", name="pk_issuer_card_links"),
        sa.ForeignKeyConstraint(
            ["derivation_id"], ["issuer_derivations.id"], name="fk_issuer_card_links_derivation_id_issuer_derivations"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["issuer_card_sources.id"], name="fk_issuer_card_links_source_id_issuer_card_sources"
        ),
        sa.CheckConstraint("state IN ('watched', 'revoked')", name="ck_issuer_card_links_state"),
        sa.CheckConstraint("source_id IS NULL OR serial IS NOT NULL", name="ck_issuer_card_links_source_has_serial"),
    )
    op.create_index("ix_issuer_card_links_person_id", "issuer_card_links", ["person_id"])
    op.create_index("ix_issuer_card_links_source_id", "issuer_card_links", ["source_id", "derivation_id"])


def _link_what_is_there() -> None:
    """Have a worker link the derivations that are there to their cards: that takes reading certificates."""
    jobs = sa.table(
        "jobs",
        sa.column("id", sa.Uuid),
        sa.column("kind", sa.String),
        sa.column("payload", sa.JSON),
        sa.column("enqueued_at", UTCDateTime),
        sa.column("due_at", UTCDateTime),
        sa.column("attempts", sa.Integer),
        sa.column("requests", sa.Integer),
    )
    derivations = sa.table("issuer_derivations", sa.column("id", sa.Uuid))
    connection = op.get_bind()
    if connection.scalar(sa.select(derivations.c.id).limit(1)) is None:
        return
    now = datetime.now(UTC)
    connection.execute(
        jobs.insert().values(
            id=uuid.uuid4(),
            kind="issuer.link_cards",
            payload={},
            enqueued_at=now,
            due_at=now,
            attempts=0,
            requests=1,
        )
    )
