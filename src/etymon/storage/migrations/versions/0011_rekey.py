# SPDX-License-Identifier: Apache-2.0
"""A credential may replace another of its derivation, and has a time from which its own rekey is due.

What was issued before is due when the window of its own life opens. A replica of the version before goes on to issue
first credentials, which nothing distinguishes from before.
"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0011_rekey"
down_revision = "0009_link_password"

WINDOW = timedelta(days=30)
"""At most, and at most the last third of a certificate's life: what `issuer.rekey_window` says."""

CREDENTIALS = sa.table(
    "issuer_credentials",
    sa.column("id", sa.Uuid),
    sa.column("not_before", UTCDateTime),
    sa.column("not_after", UTCDateTime),
    sa.column("rekey_from", UTCDateTime),
)
PAGE = 1000


def upgrade() -> None:
    """Change the credentials, fill what can be known, and let the endpoint manager remember what is due."""
    _credentials()
    _fill()
    op.create_table(
        "credential_rekeys",
        sa.Column("thumbprint", sa.LargeBinary(32), nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("thumbprint", name="pk_credential_rekeys"),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["managed_devices.id"],
            name="fk_credential_rekeys_device_id_managed_devices",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_credential_rekeys_device_id", "credential_rekeys", ["device_id"])
    op.add_column("derived_credential_issuers", sa.Column("rekeys_heard_until", UTCDateTime, nullable=True))


def _credentials() -> None:
    with op.batch_alter_table("issuer_credentials") as table:
        table.add_column(sa.Column("replaces_id", sa.Uuid, nullable=True))
        table.add_column(sa.Column("request_digest", sa.LargeBinary, nullable=True))
        table.add_column(sa.Column("rekey_from", UTCDateTime, nullable=True))
        table.drop_constraint("uq_issuer_credentials_derivation_id_purpose", type_="unique")
        table.create_foreign_key(
            "fk_issuer_credentials_replaces_id_issuer_credentials", "issuer_credentials", ["replaces_id"], ["id"]
        )
        table.create_check_constraint(
            op.f("ck_issuer_credentials_rekey_has_request"), "replaces_id IS NULL OR request_digest IS NOT NULL"
        )
    op.create_index("ix_issuer_credentials_thumbprint", "issuer_credentials", ["thumbprint"])
    op.create_index("ix_issuer_credentials_derivation_id_purpose", "issuer_credentials", ["derivation_id", "purpose"])
    _partial("uq_issuer_credentials_derivation_id_purpose_first", ["derivation_id", "purpose"], "replaces_id IS NULL")
    _partial("uq_issuer_credentials_replaces_id_lived", ["replaces_id"], "state <> 'ended' OR issued_at IS NOT NULL")
    _partial("ix_issuer_credentials_rekey_from_id_active", ["rekey_from", "id"], "state = 'active'")


def _partial(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(
        name,
        "issuer_credentials",
        columns,
        unique=name.startswith("uq_"),
        sqlite_where=where,
        postgresql_where=where,
    )


def _fill() -> None:
    tx, table = op.get_bind(), CREDENTIALS.c
    issued = sa.and_(table.not_after.is_not(None), table.not_before.is_not(None), table.rekey_from.is_(None))
    found = sa.select(table.id, table.not_before, table.not_after).where(issued).limit(PAGE)
    while rows := tx.execute(found).all():
        tx.execute(
            CREDENTIALS.update()
            .where(table.id == sa.bindparam("credential"))
            .values(rekey_from=sa.bindparam("due", type_=UTCDateTime())),
            [
                {"credential": row.id, "due": row.not_after - min(WINDOW, (row.not_after - row.not_before) / 3)}
                for row in rows
            ],
        )
