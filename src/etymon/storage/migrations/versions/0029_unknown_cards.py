# SPDX-License-Identifier: Apache-2.0
"""Cards whose status nobody tells are kept in mind: since when, and when each is asked for again.

A replica of the version before leaves them unknown until a sweep of this version answers.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0029_unknown_cards"
down_revision = "0028_key_use"


def upgrade() -> None:
    """Add the columns of cards and sources."""
    for column in (
        sa.Column("unknown_since", UTCDateTime, nullable=True),
        sa.Column("unknown_tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_try_at", UTCDateTime, nullable=True),
    ):
        op.add_column("issuer_card_links", column)
    condition = sa.text("next_try_at IS NOT NULL")
    op.create_index(
        "ix_issuer_card_links_unknown",
        "issuer_card_links",
        ["source_id", "next_try_at"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
    for column in (
        sa.Column("unknown", sa.Integer, nullable=False, server_default="0"),
        sa.Column("told_at", UTCDateTime, nullable=True),
    ):
        op.add_column("issuer_card_sources", column)
