# SPDX-License-Identifier: Apache-2.0
"""0026 goes up on a filled database: Officers stay Officers, and whom an old replica makes one waits."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.directory.tables import people
from etymon.directory.tables import roles as roles_table
from etymon.storage import migrations
from etymon.storage.database import Database

BEFORE = "0025_key_attestation"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def written(database: Database, role: Role, *, by: UUID | None = None, confirmed: UUID | None = None) -> UUID:
    """Write a person with a role, as the version before does."""
    person = uuid4()
    name = f"{person}@agency.example"
    values = {"user_principal_name": name, "principal_key": name, "display_name": name, "ended_at": None}
    held = {"appointed_by": by, "confirmed_by": confirmed, "confirmed_at": confirmed and NOON}
    with database.transaction() as tx:
        tx.execute(people.insert().values(id=person, created_at=NOON, updated_at=NOON, **values))
        tx.execute(roles_table.insert().values(person_id=person, role=role.value, assigned_at=NOON, **held))
    return person


def test_officers_from_before_count_and_those_of_an_old_replica_wait(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    founder = written(empty_database, Role.OFFICER)
    given = written(empty_database, Role.OFFICER, by=founder)
    administrator = written(empty_database, Role.ADMINISTRATOR)
    agent = written(empty_database, Role.KEY_RECOVERY_AGENT, by=founder)
    confirmed = written(empty_database, Role.KEY_RECOVERY_AGENT, by=founder, confirmed=administrator)
    migrations.upgrade(empty_database)
    late = written(empty_database, Role.OFFICER, by=founder)
    with empty_database.snapshot() as tx:
        counting = {person: roles.counting(tx, person) for person in (founder, given, administrator, confirmed)}
        assert counting == {
            founder: {Role.OFFICER},
            given: {Role.OFFICER},
            administrator: {Role.ADMINISTRATOR},
            confirmed: {Role.KEY_RECOVERY_AGENT},
        }
        assert not roles.counting(tx, agent) | roles.counting(tx, late)
        assert {one.appointed_by for one in roles.appointments(tx, agent)} == {founder}
