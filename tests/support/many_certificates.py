# SPDX-License-Identifier: Apache-2.0
"""Certificates by the hundred thousand in a database, for what has to stay cheap however many there are.

They are rows like those of certificates that were issued, written past the use cases: nothing signed them. The bodies
are as long as real ones, so that whoever reads a whole table pays for it.
"""

import hashlib
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg

from etymon.storage.database import Database

COLUMNS = (
    "id, ca, serial, profile, state, request_key, spki_sha256, not_before, not_after, authorized_by, planned_at, der, "
    "thumbprint, issued_at, revoked_at, reason"
)
REASONS = (0, 1, 3, 4, 5, 9)


def seed(database: Database, ca: str, numbers: range, *, one_in: int, now: datetime, body_bytes: int = 900) -> None:
    """Add a certificate of `ca` for each number, with its own serial number; every `one_in`-th of them is revoked."""
    rows = _rows(ca, numbers, one_in, now, bytes(body_bytes))
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA query_only=0")  # whoever had the connection before may only have read
            raw.execute("PRAGMA synchronous=OFF")
            raw.execute("PRAGMA cache_size=-200000")  # KiB
            raw.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" * (COLUMNS.count(",") + 1))
            raw.executemany(
                f"INSERT INTO ca_certificates ({COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants
                (tuple(_for_sqlite(value) for value in row) for row in rows),
            )
            raw.execute("COMMIT")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a log as long as the table would be searched at each read
            connection.invalidate()  # with what was set above
        else:
            assert isinstance(raw, psycopg.Connection)
            with raw.cursor() as cursor, cursor.copy(f"COPY ca_certificates ({COLUMNS}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
            raw.commit()
            raw.autocommit = True
            raw.execute("VACUUM ANALYZE ca_certificates")  # what the server does by itself after a while
            raw.autocommit = False


def serial(number: int) -> int:
    """Return the serial number of a certificate that `seed` makes."""
    return int.from_bytes(hashlib.sha256(b"serial%d" % number).digest()[:16], "big") >> 1


def _rows(ca: str, numbers: range, one_in: int, now: datetime, body: bytes) -> Iterator[tuple[object, ...]]:
    for number in numbers:
        digest = hashlib.sha256(b"%d" % number).digest()
        revoked = number % one_in == 0
        yield (
            uuid.UUID(bytes=digest[:16], version=4),
            ca,
            f"{serial(number):x}",
            "derived-piv-authentication",
            "revoked" if revoked else "issued",
            f"seed-{number}",
            digest,
            now - timedelta(days=1),
            now + timedelta(days=1 + number % 1000),
            "seed",
            now,
            body,
            hashlib.sha256(digest).digest(),
            now,
            now - timedelta(seconds=number % 86400) if revoked else None,
            REASONS[number % len(REASONS)] if revoked else None,
        )


def _for_sqlite(value: object) -> object:
    """Write a value as the program's column types do."""
    match value:
        case uuid.UUID():
            return value.hex
        case datetime():
            return value.replace(tzinfo=None).isoformat(" ", "microseconds")
        case _:
            return value
