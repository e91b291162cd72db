# SPDX-License-Identifier: Apache-2.0
"""Issuance rules may ask for a password beside the QR code, and a link remembers whether it was made with one.

What was there before, and what a replica of the version before goes on to write, has none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_link_password"
down_revision = "0008_issuer"


def upgrade() -> None:
    """Add one column to the rules and one to the derivations."""
    op.add_column(
        "issuer_issuance_rules", sa.Column("link_password", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column(
        "issuer_derivations", sa.Column("asks_password", sa.Boolean, nullable=False, server_default=sa.false())
    )
