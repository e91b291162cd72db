# SPDX-License-Identifier: Apache-2.0
"""A SCEP connector is known by its id, and not by its name: another one under an old name inherits nothing.

What is there belongs to the connector that has its name now, since earlier ones of that name left no trace but in the
audit trail. Rows of a replica of the version before have no id: they are of the connector that has the name, and become
its own when another one takes the name. Such a replica lets a connector inherit still, when it makes one anew.
"""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0022_scep_connectors"
down_revision = "0020_key_recovery"

CONNECTORS = sa.table(
    "issuer_scep_connectors", sa.column("id", sa.Uuid), sa.column("name", sa.String), sa.column("created_by", sa.Uuid)
)
OWNED = {
    name: sa.table(name, sa.column("connector", sa.String), sa.column("connector_id", sa.Uuid))
    for name in ("issuer_scep_challenges", "issuer_scep_enrollments")
}
ENROLLMENTS = sa.table("issuer_scep_enrollments", sa.column("connector", sa.String), sa.column("officer_id", sa.Uuid))


def upgrade() -> None:
    """Add the ids and who answers for an enrollment, fill both in, and index what officers look for."""
    op.add_column("issuer_scep_connectors", sa.Column("id", sa.Uuid, nullable=True))
    for name in OWNED:
        op.add_column(name, sa.Column("connector_id", sa.Uuid, nullable=True))
    op.add_column("issuer_scep_enrollments", sa.Column("officer_id", sa.Uuid, nullable=True))
    _fill()
    op.create_index("uq_issuer_scep_connectors_id", "issuer_scep_connectors", ["id"], unique=True)
    live = sa.text("state <> 'ended'")
    for column in ("connector", "officer_id"):
        op.create_index(
            f"ix_issuer_scep_enrollments_{column}_planned_at_live",
            "issuer_scep_enrollments",
            [column, "planned_at", "id"],
            sqlite_where=live,
            postgresql_where=live,
        )
    op.create_index("ix_issuer_scep_enrollments_connector_id", "issuer_scep_enrollments", ["connector", "id"])


def _fill() -> None:
    tx = op.get_bind()
    for name in list(tx.scalars(sa.select(CONNECTORS.c.name))):
        tx.execute(CONNECTORS.update().where(CONNECTORS.c.name == name).values(id=uuid4()))
    for table in OWNED.values():
        owner = sa.select(CONNECTORS.c.id).where(CONNECTORS.c.name == table.c.connector).scalar_subquery()
        tx.execute(table.update().values(connector_id=owner))
    officer = sa.select(CONNECTORS.c.created_by).where(CONNECTORS.c.name == ENROLLMENTS.c.connector).scalar_subquery()
    tx.execute(ENROLLMENTS.update().values(officer_id=officer))
