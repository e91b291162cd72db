# SPDX-License-Identifier: Apache-2.0
"""Issuance rules may keep earlier encryption keys from phones; a credential is given its key history for one request.

Rules that are there, and those an older replica writes, give the history, as rules do that do not speak of it.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0018_key_history"
down_revision = "0017_approval"


def upgrade() -> None:
    """Add the switch and the table, and the index by which keys whose time is over are found."""
    kept = sa.text("state <> 'destroyed'")
    op.create_index(
        "ix_escrow_keys_keep_until_kept", "escrow_keys", ["keep_until", "id"], sqlite_where=kept, postgresql_where=kept
    )
    op.add_column(
        "issuer_issuance_rules", sa.Column("key_history", sa.Boolean, nullable=False, server_default=sa.true())
    )
    op.create_table(
        "issuer_key_histories",
        sa.Column("credential_id", sa.Uuid, nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("asked_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("credential_id", name="pk_issuer_key_histories"),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["issuer_credentials.id"],
            name="fk_issuer_key_histories_credential_id_issuer_credentials",
        ),
    )
