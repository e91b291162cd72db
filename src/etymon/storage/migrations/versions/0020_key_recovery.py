# SPDX-License-Identifier: Apache-2.0
"""Roles of key recovery, with who gave and who confirmed them; recoveries that two agents approve; legal holds.

No door led to the recoveries of two officers that there were before: a row that a library call left goes, and the
audit trail tells of it. What a replica of the version before writes of roles and releases fits.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0020_key_recovery"
down_revision = "0019_held_credentials"

ROLE_KNOWN = "role IN ('administrator', 'officer', 'auditor', 'operator', 'keyRecoveryAgent', 'keyRecoveryOfficial')"
SEPARATED = {
    "uq_directory_roles_separated": "role IN ('administrator', 'officer', 'auditor')",
    "uq_directory_roles_agents": "role IN ('administrator', 'auditor', 'keyRecoveryAgent')",
    "uq_directory_roles_officials": "role IN ('administrator', 'auditor', 'keyRecoveryOfficial')",
}
CONFIRMED = {
    "confirmed_by_another": "confirmed_by IS NULL OR (appointed_by IS NOT NULL AND confirmed_by <> appointed_by AND "
    "confirmed_by <> person_id AND appointed_by <> person_id)",
    "confirmed_at": "(confirmed_by IS NULL) = (confirmed_at IS NULL)",
}
HAS_RECIPIENT = "transport_key_sha256 IS NOT NULL OR recovery_id IS NOT NULL"


def upgrade() -> None:
    """Widen roles and releases, and make recoveries anew; SQLite cannot change a check and gets tables anew."""
    op.execute("UPDATE escrow_releases SET recovery_id = NULL")
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_roles()
        _rebuild_releases()
        _recoveries()
    else:
        _alter_roles()
        _loosen_releases()
        _recoveries()
        op.create_foreign_key(
            "fk_escrow_releases_recovery_id_escrow_recoveries",
            "escrow_releases",
            "escrow_recoveries",
            ["recovery_id"],
            ["id"],
        )
    _recovery_keys()
    _legal_holds()


def _alter_roles() -> None:
    op.drop_constraint("ck_directory_roles_role_known", "directory_roles")
    op.create_check_constraint(op.f("ck_directory_roles_role_known"), "directory_roles", ROLE_KNOWN)
    for column in _confirmation():
        op.add_column("directory_roles", column)
    for name in ("appointed_by", "confirmed_by"):
        op.create_foreign_key(
            f"fk_directory_roles_{name}_directory_people", "directory_roles", "directory_people", [name], ["id"]
        )
    for name, text in CONFIRMED.items():
        op.create_check_constraint(op.f(f"ck_directory_roles_{name}"), "directory_roles", text)
    for name in ("uq_directory_roles_agents", "uq_directory_roles_officials"):
        _unique_person(name)


def _confirmation() -> tuple["sa.Column[object]", ...]:
    return (
        sa.Column("appointed_by", sa.Uuid, nullable=True),
        sa.Column("confirmed_by", sa.Uuid, nullable=True),
        sa.Column("confirmed_at", UTCDateTime, nullable=True),
    )


def _rebuild_roles() -> None:
    op.create_table(
        "directory_roles_anew",
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("assigned_at", UTCDateTime, nullable=False),
        *_confirmation(),
        sa.PrimaryKeyConstraint("person_id", "role", name="pk_directory_roles"),
        *_of_people("directory_roles", "person_id", "appointed_by", "confirmed_by"),
        sa.CheckConstraint(ROLE_KNOWN, name=op.f("ck_directory_roles_role_known")),
        *(sa.CheckConstraint(text, name=op.f(f"ck_directory_roles_{name}")) for name, text in CONFIRMED.items()),
    )
    _copy("directory_roles", "person_id, role, assigned_at")
    for name in SEPARATED:
        _unique_person(name)
    op.create_index("ix_directory_roles_role", "directory_roles", ["role", "person_id"])


def _unique_person(name: str) -> None:
    where = sa.text(SEPARATED[name])
    op.create_index(name, "directory_roles", ["person_id"], unique=True, sqlite_where=where, postgresql_where=where)


def _loosen_releases() -> None:
    op.drop_constraint("fk_escrow_releases_recovery_id_escrow_recoveries", "escrow_releases")
    op.drop_constraint("uq_escrow_releases_recovery_id", "escrow_releases")
    op.alter_column("escrow_releases", "transport_key_sha256", nullable=True)
    op.create_check_constraint(op.f("ck_escrow_releases_has_recipient"), "escrow_releases", HAS_RECIPIENT)
    op.create_unique_constraint("uq_escrow_releases_recovery_id_key_id", "escrow_releases", ["recovery_id", "key_id"])


def _rebuild_releases() -> None:
    op.create_table(
        "escrow_releases_anew",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.Column("released_at", UTCDateTime, nullable=False),
        sa.Column("transport_key_sha256", sa.LargeBinary(32), nullable=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(300), nullable=False),
        sa.Column("recovery_id", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_releases"),
        sa.UniqueConstraint("recovery_id", "key_id", name="uq_escrow_releases_recovery_id_key_id"),
        sa.ForeignKeyConstraint(["key_id"], ["escrow_keys.id"], name="fk_escrow_releases_key_id_escrow_keys"),
        sa.ForeignKeyConstraint(
            ["recovery_id"], ["escrow_recoveries.id"], name="fk_escrow_releases_recovery_id_escrow_recoveries"
        ),
        sa.CheckConstraint(HAS_RECIPIENT, name=op.f("ck_escrow_releases_has_recipient")),
    )
    _copy("escrow_releases", "id, key_id, released_at, transport_key_sha256, reason, actor, recovery_id")
    op.create_index("ix_escrow_releases_key_id", "escrow_releases", ["key_id", "released_at"])


def _copy(table: str, columns: str) -> None:
    op.execute(f"INSERT INTO {table}_anew ({columns}) SELECT {columns} FROM {table}")  # noqa: S608 - constants
    op.drop_table(table)
    op.rename_table(f"{table}_anew", table)


def _recoveries() -> None:
    op.drop_table("escrow_recoveries")
    op.create_table(
        "escrow_recoveries",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("requestor", sa.String(200), nullable=False),
        sa.Column("authority", sa.String(20), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("document_sha256", sa.LargeBinary(32), nullable=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("notice", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("requested_by", sa.Uuid, nullable=False),
        sa.Column("requested_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        *_approval("first"),
        *_approval("second"),
        sa.Column("ended_at", UTCDateTime, nullable=True),
        sa.Column("ended_by", sa.Uuid, nullable=True),
        sa.Column("end_reason", sa.String(200), nullable=True),
        sa.Column("cause", sa.String(200), nullable=True),
        sa.Column("cause_by", sa.Uuid, nullable=True),
        sa.Column("cause_at", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_recoveries"),
        *_of_people("escrow_recoveries", "person_id", "requested_by", "first_agent", "second_agent"),
        *_of_people("escrow_recoveries", "ended_by", "cause_by"),
        *(
            sa.CheckConstraint(text, name=op.f(f"ck_escrow_recoveries_{name}"))
            for name, text in {
                "state_known": "state IN ('requested', 'half_approved', 'approved', 'delivered', 'refused', 'expired', "
                "'failed')",
                "authority_known": "authority IN ('policy', 'legalProcess')",
                "notice_known": "notice = 'told' OR (notice = 'withheld' AND authority = 'legalProcess')",
                "not_for_oneself": "requested_by <> person_id",
                "first_agent_is_another": "first_agent <> requested_by AND first_agent <> person_id",
                "second_agent_is_another": "second_agent <> requested_by AND second_agent <> person_id AND "
                "second_agent <> first_agent",
                "first_half": "(first_agent IS NULL) = (first_half_digest IS NULL)",
                "second_half": "(second_agent IS NULL) = (second_half_digest IS NULL)",
                "two_agents": "state NOT IN ('approved', 'delivered') OR "
                "(first_agent IS NOT NULL AND second_agent IS NOT NULL)",
            }.items()
        ),
    )
    op.create_index("ix_escrow_recoveries_requested_at", "escrow_recoveries", ["requested_at", "id"])
    waiting = sa.text("state IN ('requested', 'half_approved', 'approved')")
    op.create_index(
        "ix_escrow_recoveries_waiting",
        "escrow_recoveries",
        ["expires_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def _approval(which: str) -> tuple["sa.Column[object]", ...]:
    return (
        sa.Column(f"{which}_agent", sa.Uuid, nullable=True),
        sa.Column(f"{which}_approved_at", UTCDateTime, nullable=True),
        sa.Column(f"{which}_half_digest", sa.LargeBinary(32), nullable=True),
    )


def _of_people(table: str, *columns: str) -> tuple[sa.ForeignKeyConstraint, ...]:
    return tuple(
        sa.ForeignKeyConstraint([column], ["directory_people.id"], name=f"fk_{table}_{column}_directory_people")
        for column in columns
    )


def _recovery_keys() -> None:
    op.create_table(
        "escrow_recovery_keys",
        sa.Column("recovery_id", sa.Uuid, nullable=False),
        sa.Column("key_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("recovery_id", "key_id", name="pk_escrow_recovery_keys"),
        sa.ForeignKeyConstraint(
            ["recovery_id"], ["escrow_recoveries.id"], name="fk_escrow_recovery_keys_recovery_id_escrow_recoveries"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["escrow_keys.id"], name="fk_escrow_recovery_keys_key_id_escrow_keys"),
    )


def _legal_holds() -> None:
    op.create_table(
        "escrow_legal_holds",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("placed_by", sa.Uuid, nullable=False),
        sa.Column("placed_at", UTCDateTime, nullable=False),
        sa.Column("lifted_by", sa.Uuid, nullable=True),
        sa.Column("lifted_at", UTCDateTime, nullable=True),
        sa.Column("lift_reason", sa.String(200), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_escrow_legal_holds"),
        *_of_people("escrow_legal_holds", "person_id", "placed_by", "lifted_by"),
        sa.CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name=op.f("ck_escrow_legal_holds_lifted_by")),
    )
    live = sa.text("lifted_at IS NULL")
    op.create_index(
        "ix_escrow_legal_holds_live", "escrow_legal_holds", ["person_id"], sqlite_where=live, postgresql_where=live
    )
    op.create_index("ix_escrow_legal_holds_placed_at", "escrow_legal_holds", ["placed_at", "id"])
