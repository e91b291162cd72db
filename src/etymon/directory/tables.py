# SPDX-License-Identifier: Apache-2.0
"""Tables of the directory. What ended stays as a record; what must be unique is so among the rest."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from etymon.storage.schema import UTCDateTime, metadata

KEY_LIMIT = 640


def key_text() -> sa.String:
    """Return a column type that both engines order and compare by code points, whatever the locale."""
    return sa.String(KEY_LIMIT).with_variant(postgresql.VARCHAR(KEY_LIMIT, collation="C"), "postgresql")


def _among(name: str, *columns: str, where: str) -> sa.Index:
    return sa.Index(name, *columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


people = sa.Table(
    "directory_people",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_principal_name", sa.String(320), nullable=False),
    sa.Column("principal_key", key_text(), nullable=False),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("updated_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    _among("uq_directory_people_principal_key", "principal_key", where="ended_at IS NULL"),
)

mail_addresses = sa.Table(
    "directory_mail_addresses",
    metadata,
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("address", sa.String(254), nullable=False),
    sa.Column("address_key", key_text(), nullable=False),
    sa.Column("released_at", UTCDateTime, nullable=True),
    _among("uq_directory_mail_addresses_address_key", "address_key", where="released_at IS NULL"),
)

address_changes = sa.Table(
    "directory_address_changes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=False),
    sa.Column("before", sa.JSON, nullable=False),
    sa.Column("changed_at", UTCDateTime, nullable=False),
    sa.Index("ix_directory_address_changes_person_id", "person_id", "changed_at"),
)

groups = sa.Table(
    "directory_groups",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("name_key", key_text(), nullable=False, unique=True),
    sa.Column("description", sa.String(1000), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)

members = sa.Table(
    "directory_members",
    metadata,
    sa.Column("group_id", sa.Uuid, sa.ForeignKey("directory_groups.id"), primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), primary_key=True),
    sa.Index("ix_directory_members_person_id", "person_id"),
)

roles = sa.Table(
    "directory_roles",
    metadata,
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), primary_key=True),
    sa.Column("role", sa.String(20), primary_key=True),
    sa.Column("assigned_at", UTCDateTime, nullable=False),
    sa.Column("appointed_by", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=True),
    sa.Column("confirmed_by", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=True),
    sa.Column("confirmed_at", UTCDateTime, nullable=True),
    sa.CheckConstraint(
        "confirmed_by IS NULL OR (appointed_by IS NOT NULL AND confirmed_by <> appointed_by AND "
        "confirmed_by <> person_id AND appointed_by <> person_id)",
        name="confirmed_by_another",
    ),
    sa.CheckConstraint("(confirmed_by IS NULL) = (confirmed_at IS NULL)", name="confirmed_at"),
    sa.CheckConstraint(
        "role IN ('administrator', 'officer', 'auditor', 'operator', 'keyRecoveryAgent', 'keyRecoveryOfficial')",
        name="role_known",
    ),
    _among("uq_directory_roles_separated", "person_id", where="role IN ('administrator', 'officer', 'auditor')"),
    _among("uq_directory_roles_agents", "person_id", where="role IN ('administrator', 'auditor', 'keyRecoveryAgent')"),
    _among(
        "uq_directory_roles_officials", "person_id", where="role IN ('administrator', 'auditor', 'keyRecoveryOfficial')"
    ),
    sa.Index("ix_directory_roles_role", "role", "person_id"),
)

trust_entries = sa.Table(
    "directory_trust_entries",
    metadata,
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("saved_at", UTCDateTime, nullable=False),
    sa.Column("removed_at", UTCDateTime, nullable=True),
    sa.CheckConstraint("kind IN ('card', 'derived', 'device')", name="kind_known"),
)

bindings = sa.Table(
    "directory_bindings",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("trust_entry", sa.String(60), sa.ForeignKey("directory_trust_entries.name"), nullable=False),
    sa.Column("identifier", sa.String(320), nullable=False),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=False),
    sa.Column("bound_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("end_reason", sa.String(40), nullable=True),
    _among("uq_directory_bindings_identifier", "trust_entry", "identifier", where="ended_at IS NULL"),
    sa.Index("ix_directory_bindings_person_id", "person_id", "bound_at"),
)

feeds = sa.Table(
    "directory_feeds",
    metadata,
    sa.Column("id", sa.String(100), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("public_key", sa.JSON, nullable=False),
    sa.Column("may_bind_cards", sa.Boolean, nullable=False),
    sa.Column("accounts", sa.Integer, nullable=False),
    sa.Column("registered_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime, nullable=True),
)

feed_assertions = sa.Table(
    "directory_feed_assertions",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
)

feed_tokens = sa.Table(
    "directory_feed_tokens",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("feed_id", sa.String(100), sa.ForeignKey("directory_feeds.id"), nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
)

identity_accounts = sa.Table(
    "directory_identity_accounts",
    metadata,
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), primary_key=True),
    sa.Column("feed_id", sa.String(100), sa.ForeignKey("directory_feeds.id"), nullable=False),
    sa.Column("external_id", sa.String(200), nullable=True),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("removed_at", UTCDateTime, nullable=True),
    _among("uq_directory_identity_accounts_external_id", "feed_id", "external_id", where="ended_at IS NULL"),
    sa.Index("ix_directory_identity_accounts_feed_id", "feed_id", "person_id"),
    sa.Index("ix_directory_identity_accounts_external_id", "feed_id", "external_id"),
)

terminations = sa.Table(
    "directory_terminations",
    metadata,
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), primary_key=True),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("reported_at", UTCDateTime, nullable=False),
    sa.Column("due_at", UTCDateTime, nullable=False),
    sa.Column("alarmed_at", UTCDateTime, nullable=True),
    sa.Column("closed_at", UTCDateTime, nullable=True),
    sa.Index(
        "ix_directory_terminations_open",
        "reported_at",
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
)

binding_codes = sa.Table(
    "directory_binding_codes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, sa.ForeignKey("directory_people.id"), nullable=False),
    sa.Column("selector", sa.String(20), nullable=False, unique=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("issued_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.CheckConstraint("state IN ('ready', 'used', 'replaced')", name="state_known"),
    _among("uq_directory_binding_codes_person_id", "person_id", where="state = 'ready'"),
)
