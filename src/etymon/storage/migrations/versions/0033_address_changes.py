# SPDX-License-Identifier: Apache-2.0
"""Changes of people's mail addresses, with the addresses from before.

What a replica of the version before changes is not among them.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0033_address_changes"
down_revision = "0030_self_recovery"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "directory_address_changes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("changed_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_address_changes"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_address_changes_person_id_directory_people"
        ),
    )
    op.create_index("ix_directory_address_changes_person_id", "directory_address_changes", ["person_id", "changed_at"])
