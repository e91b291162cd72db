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


def test_roles_and_releases_from_before_and_of_an_old_replica_stay(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    found = [written(empty_database, "ada@agency.example", "administrator")]
    migrations.upgrade(empty_database)
    found.append(written(empty_database, "otto@agency.example", "administrator"))
    with empty_database.snapshot() as tx:
        assert [roles.roles_of(tx, person) for person, _ in found] == [{Role.ADMINISTRATOR}] * 2
        assert set(tx.scalars(sa.select(releases.c.id))) == {release for _, release in found}
    person = found[0][0]
    for role in ("auditor", "keyRecoveryAgent", "keyRecoveryOfficial"):
        with pytest.raises(sa.exc.IntegrityError), empty_database.transaction() as tx:
            tx.execute(roles_table.insert().values(person_id=person, role=role, assigned_at=NOON))
