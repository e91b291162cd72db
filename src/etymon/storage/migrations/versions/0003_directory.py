# SPDX-License-Identifier: Apache-2.0
"""People, groups, roles, trust entries, bindings and the codes that make the first of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from etymon.storage.schema import UTCDateTime

revision = "0003_directory"
down_revision = "0002_audit"


def upgrade() -> None:
    """Create the tables of the directory."""
    _people()
    _groups_and_roles()
    _trust_and_bindings()


def _key(name: str) -> sa.Column[str]:
    kind = sa.String(640).with_variant(postgresql.VARCHAR(640, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)


def _unique_among(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _people() -> None:
    op.create_table(
        "directory_people",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_principal_name", sa.String(320), nullable=False),
        _key("principal_key"),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_directory_people"),
    )
    _unique_among("uq_directory_people_principal_key", "directory_people", ["principal_key"], "ended_at IS NULL")
    op.create_table(
        "directory_mail_addresses",
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("address", sa.String(254), nullable=False),
        _key("address_key"),
        sa.Column("released_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("person_id", "position", name="pk_directory_mail_addresses"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_mail_addresses_person_id_directory_people"
        ),
    )
    _unique_among(
        "uq_directory_mail_addresses_address_key",
        "directory_mail_addresses",
        ["address_key"],
        "released_at IS NULL",
    )


def _groups_and_roles() -> None:
    op.create_table(
        "directory_groups",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        _key("name_key"),
        sa.Column("description", sa.String(1000), nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_groups"),
        sa.UniqueConstraint("name_key", name="uq_directory_groups_name_key"),
    )
    op.create_table(
        "directory_members",
        sa.Column("group_id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("group_id", "person_id", name="pk_directory_members"),
        sa.ForeignKeyConstraint(
            ["group_id"], ["directory_groups.id"], name="fk_directory_members_group_id_directory_groups"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_members_person_id_directory_people"
        ),
    )
    op.create_index("ix_directory_members_person_id", "directory_members", ["person_id"])
    op.create_table(
        "directory_roles",
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("assigned_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("person_id", "role", name="pk_directory_roles"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_roles_person_id_directory_people"
        ),
        sa.CheckConstraint(
            "role IN ('administrator', 'officer', 'auditor', 'operator')", name="ck_directory_roles_role_known"
        ),
    )
    _unique_among(
        "uq_directory_roles_separated",
        "directory_roles",
        ["person_id"],
        "role IN ('administrator', 'officer', 'auditor')",
    )
    op.create_index("ix_directory_roles_role", "directory_roles", ["role", "person_id"])


def _trust_and_bindings() -> None:
    op.create_table(
        "directory_trust_entries",
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("saved_at", UTCDateTime, nullable=False),
        sa.Column("removed_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_directory_trust_entries"),
        sa.CheckConstraint("kind IN ('card', 'derived', 'device')", name="ck_directory_trust_entries_kind_known"),
    )
    op.create_table(
        "directory_bindings",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("trust_entry", sa.String(60), nullable=False),
        sa.Column("identifier", sa.String(320), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("bound_at", UTCDateTime, nullable=False),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_directory_bindings"),
        sa.ForeignKeyConstraint(
            ["trust_entry"],
            ["directory_trust_entries.name"],
            name="fk_directory_bindings_trust_entry_directory_trust_entries",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_bindings_person_id_directory_people"
        ),
    )
    _unique_among(
        "uq_directory_bindings_identifier", "directory_bindings", ["trust_entry", "identifier"], "ended_at IS NULL"
    )
    op.create_index("ix_directory_bindings_person_id", "directory_bindings", ["person_id", "bound_at"])
    op.create_table(
        "directory_binding_codes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("selector", sa.String(20), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("issued_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_binding_codes"),
        sa.UniqueConstraint("selector", name="uq_directory_binding_codes_selector"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["directory_people.id"], name="fk_directory_binding_codes_person_id_directory_people"
        ),
        sa.CheckConstraint("state IN ('ready', 'used', 'replaced')", name="ck_directory_binding_codes_state_known"),
    )
    _unique_among("uq_directory_binding_codes_person_id", "directory_binding_codes", ["person_id"], "state = 'ready'")
