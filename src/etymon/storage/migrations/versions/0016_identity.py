# SPDX-License-Identifier: Apache-2.0
"""The link to the person and the card: why bindings ended, and by when everything of an account has to be over.

What a replica of the version before writes has no reason, and no deadline: its accounts end as before.
"""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0016_identity"
down_revision = "0015_scep"


def upgrade() -> None:
    """Add what is kept of ends."""
    op.add_column("directory_bindings", sa.Column("end_reason", sa.String(40), nullable=True))
    _terminations()
    _feeds()
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


def _feeds() -> None:
    op.create_table(
        "directory_feeds",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("public_key", sa.JSON, nullable=False),
        sa.Column("may_bind_cards", sa.Boolean, nullable=False),
        sa.Column("accounts", sa.Integer, nullable=False),
        sa.Column("registered_at", UTCDateTime, nullable=False),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_directory_feeds"),
    )
    op.create_table(
        "directory_feed_assertions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_directory_feed_assertions"),
    )
    op.create_index("ix_directory_feed_assertions_expires_at", "directory_feed_assertions", ["expires_at"])
    op.create_table(
        "directory_feed_tokens",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("feed_id", sa.String(100), nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_directory_feed_tokens"),
        sa.ForeignKeyConstraint(
            ["feed_id"], ["directory_feeds.id"], name="fk_directory_feed_tokens_feed_id_directory_feeds"
        ),
    )
    op.create_index("ix_directory_feed_tokens_expires_at", "directory_feed_tokens", ["expires_at"])
    _identity_accounts()


def _identity_accounts() -> None:
    op.create_table(
        "directory_identity_accounts",
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("feed_id", sa.String(100), nullable=False),
        sa.Column("external_id", sa.String(200), nullable=True),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.Column("removed_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("person_id", name="pk_directory_identity_accounts"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_identity_accounts_person_id_directory_people"
        ),
        sa.ForeignKeyConstraint(
            ["feed_id"], ["directory_feeds.id"], name="fk_directory_identity_accounts_feed_id_directory_feeds"
        ),
    )
    op.create_index(
        "uq_directory_identity_accounts_external_id",
        "directory_identity_accounts",
        ["feed_id", "external_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    for column in ("person_id", "external_id"):
        name = "feed_id" if column == "person_id" else column
        op.create_index(f"ix_directory_identity_accounts_{name}", "directory_identity_accounts", ["feed_id", column])


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
