# SPDX-License-Identifier: Apache-2.0
"""What was found of a key says what the key is for: a certificate, or carrying a key history.

What is there, and what an older replica writes, is of keys for certificates: it judged no other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028_key_use"
down_revision = "0025_key_attestation"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "issuer_key_attestations", sa.Column("key_use", sa.String(20), nullable=False, server_default="certificate")
    )
