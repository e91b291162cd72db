# SPDX-License-Identifier: Apache-2.0
"""0022 goes up on a filled database: connectors keep what they gave out; what an old replica writes is theirs too."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from etymon.issuer.scep import connector_store, store
from etymon.issuer.scep.model import ChallengeSource, Connector
from etymon.issuer.scep.tables import challenges, connectors, enrollments
from etymon.storage import migrations
from etymon.storage.database import Database

BEFORE = "0020_key_recovery"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def write(database: Database, table: sa.Table, **values: Any) -> None:
    """Write as the version before did: it names the columns it found, and no others."""
    old = sa.table(table.name, *(sa.column(name, table.c[name].type) for name in values))
    with database.transaction() as tx:
        tx.execute(old.insert(), [values])


def connector(database: Database, name: str, officer: UUID) -> None:
    write(
        database,
        connectors,
        name=name,
        source="page",
        lifetime_seconds=86400,
        key_types=["rsa2048"],
        legacy_algorithms=False,
        created_by=officer,
        created_at=NOON,
    )


def enrolled(database: Database, name: str, certificate: UUID) -> bytes:
    challenge, key = uuid4(), uuid4().bytes * 2
    whose = {"connector": name, "device_id": uuid4(), "device_name": ""}
    used = {"request_digest": bytes(32), "used_at": NOON}
    times = {"made_at": NOON, "expires_at": NOON + timedelta(hours=1)}
    write(database, challenges, id=challenge, digest=uuid4().bytes * 2, asked_by="test", **whose, **times, **used)
    write(
        database,
        enrollments,
        id=uuid4(),
        challenge_id=challenge,
        transaction_id=b"1",
        request_digest=bytes(32),
        key_thumbprint=key,
        certificate_id=certificate,
        state="planned",
        planned_at=NOON,
        **whose,
    )
    return key


def loaded(database: Database, name: str) -> Connector:
    with database.snapshot() as tx:
        found = connector_store.find(tx, name)
    assert found is not None
    return found[0]


def test_connectors_keep_what_is_theirs_and_leave_nothing_to_who_takes_their_name(empty_database: Database) -> None:
    database, officer, certificates = empty_database, uuid4(), [uuid4() for _ in range(3)]
    migrations.upgrade(database, to=BEFORE)
    for name in ("fleet", "kiosks"):
        connector(database, name, officer)
    keys = [enrolled(database, "fleet", certificates[0]), enrolled(database, "kiosks", certificates[1])]
    migrations.upgrade(database)
    keys.append(enrolled(database, "fleet", certificates[2]))  # by a replica of the version before
    fleet, kiosks = loaded(database, "fleet"), loaded(database, "kiosks")
    assert None not in {fleet.id, kiosks.id}
    assert fleet.id != kiosks.id
    with database.snapshot() as tx:
        mine = [store.enrollments_by_key(tx, fleet, key) for key in keys]
        others = [store.enrollments_by_key(tx, kiosks, key) for key in keys]
    assert [[each.certificate for each in found] for found in mine] == [[certificates[0]], [], [certificates[2]]]
    assert [each.officer for found in mine for each in found] == [officer, None]
    assert [len(found) for found in others] == [0, 1, 0]
    other = Connector("fleet", ChallengeSource.PAGE, timedelta(days=1), officer, NOON)
    with database.transaction() as tx:
        assert connector_store.withdraw(tx, "fleet", NOON)
        connector_store.save(tx, other, None, fresh=uuid4(), former=uuid4())
    assert loaded(database, "fleet").id not in {fleet.id, None}
    with database.snapshot() as tx:
        assert not any(store.enrollments_by_key(tx, loaded(database, "fleet"), key) for key in keys)
        assert {each.connector_id for each in store.page(tx, narrowed=None, after=None, limit=9)} == {
            fleet.id,
            kiosks.id,
        }
