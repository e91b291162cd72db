# SPDX-License-Identifier: Apache-2.0
"""Keys that no authority certifies: those of cards that were proved here, from the next time they are proved on."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0014_refused_keys"
down_revision = "0013_certificate_status"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "ca_refused_keys",
        sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("noted_at", UTCDateTime, nullable=False),
        sa.CheckConstraint("reason IN ('card')", name="ck_ca_refused_keys_reason"),
        sa.PrimaryKeyConstraint("spki_sha256", name="pk_ca_refused_keys"),
    )
