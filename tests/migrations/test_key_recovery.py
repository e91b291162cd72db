# SPDX-License-Identifier: Apache-2.0
"""0020 goes up on a filled database: roles and releases stay, and an old replica writes them as before."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.directory.tables import people
from etymon.directory.tables import roles as roles_table
from etymon.escrow.tables import keys, releases
from etymon.storage import migrations
from etymon.storage.database import Database
from etymon.storage.schema import UTCDateTime

BEFORE = "0019_held_credentials"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def written(database: Database, name: str, role: str) -> tuple[UUID, UUID]:
    """Write a person with a role, and a release of a key of theirs, as the version before does."""
    person, key, release = uuid4(), uuid4(), uuid4()
    rows: list[tuple[sa.Table, dict[str, object]]] = [
        (
            people,
            {
                "id": person,
                "user_principal_name": name,
                "principal_key": name,
                "display_name": name,
                "created_at": NOON,
                "updated_at": NOON,
                "ended_at": None,
            },
        ),
        (roles_table, {"person_id": person, "role": role, "assigned_at": NOON}),
        (
            keys,
            {
                "id": key,
                "person_id": person,
                "key_type": "rsa2048",
                "public_key": b"k",
                "public_key_sha256": person.bytes * 2,
                "wrapped": b"w",
                "wrapped_by": "x",
                "state": "released",
                "deposited_at": NOON,
            },
        ),
        (
            releases,
            {
                "id": release,
                "key_id": key,
                "released_at": NOON,
                "transport_key_sha256": bytes(32),
                "reason": "new phone",
                "actor": "test",
                "recovery_id": None,
            },
        ),
    ]
    with database.transaction() as tx:
        for table, values in rows:
            tx.execute(table.insert().values(**values))
    return person, release


def recovered(database: Database, person: UUID, release: UUID) -> None:
    """Write a recovery of the version before, which a release names, as only a library call made one."""
    id_ = {"id": uuid4(), "person": person, "release": release}
    types = [sa.bindparam(name, value, sa.Uuid) for name, value in id_.items()]
    at = sa.bindparam("at", NOON, UTCDateTime)
    insert = sa.text(
        "INSERT INTO escrow_recoveries (id, key_id, transport_key, reason, state, requested_by, requested_at, "
        "expires_at, decided_by) SELECT :id, key_id, :blob, 'why', 'refused', :person, :at, :at, NULL "
        "FROM escrow_releases WHERE id = :release"
    ).bindparams(*types, at, sa.bindparam("blob", b"k", sa.LargeBinary))
    update = sa.text("UPDATE escrow_releases SET recovery_id = :id WHERE id = :release").bindparams(types[0], types[2])
    with database.transaction() as tx:
        tx.execute(insert)
        tx.execute(update)


def test_roles_and_releases_from_before_and_of_an_old_replica_stay(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    found = [written(empty_database, "ada@agency.example", "administrator")]
    recovered(empty_database, *found[0])
    migrations.upgrade(empty_database)
    found.append(written(empty_database, "otto@agency.example", "administrator"))
    with empty_database.snapshot() as tx:
        assert [roles.roles_of(tx, person) for person, _ in found] == [{Role.ADMINISTRATOR}] * 2
        kept = {row.id: row.recovery_id for row in tx.execute(sa.select(releases.c.id, releases.c.recovery_id))}
        assert kept == {release: None for _, release in found}
        assert tx.scalar(sa.text("SELECT count(*) FROM escrow_recoveries")) == 0
        assert roles.counting(tx, found[0][0]) == {Role.ADMINISTRATOR}
    person = found[0][0]
    for role in ("auditor", "keyRecoveryAgent", "keyRecoveryOfficial"):
        with pytest.raises(sa.exc.IntegrityError), empty_database.transaction() as tx:
            tx.execute(roles_table.insert().values(person_id=person, role=role, assigned_at=NOON))
