# SPDX-License-Identifier: Apache-2.0
"""The migrated database is the one that the contexts' `tables` declare, on both engines."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import etymon
from etymon.storage import jobs, migrations
from etymon.storage.database import Database
from etymon.storage.schema import metadata

PACKAGES = Path(etymon.__file__).parent
VERSION_TABLE = "alembic_version"


@pytest.fixture(scope="module", autouse=True)
def declared() -> None:
    """Load every declaration there is; `storage` has its own."""
    assert jobs.jobs.metadata is metadata
    for tables in sorted(PACKAGES.glob("**/tables.py")):
        importlib.import_module(".".join(("etymon", *tables.relative_to(PACKAGES).with_suffix("").parts)))


def test_no_declared_table_column_or_index_is_missing_from_the_migrations(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_build_the_same_constraints_as_the_declarations(
    database: Database, empty_database: Database
) -> None:
    """Alembic compares no checks, no names of keys and no conditions of indexes; the engine lists them all."""
    with empty_database.transaction() as tx:
        metadata.create_all(tx)
    assert described(database) == described(empty_database)


def test_the_migrations_form_one_line_from_the_first_to_the_last() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert len(scripts.get_heads()) == 1
    for script in scripts.walk_revisions():
        assert Path(script.path).stem == script.revision


def described(database: Database) -> dict[str, list[Any]]:
    inspector = sa.inspect(database.engine)
    return {
        table: [
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            ordered(inspector.get_foreign_keys(table)),
            ordered(inspector.get_unique_constraints(table)),
            ordered(
                {"name": check["name"], "text": normal(check["sqltext"])}
                for check in inspector.get_check_constraints(table)
            ),
            ordered(plain(index) for index in inspector.get_indexes(table)),
        ]
        for table in inspector.get_table_names()
        if table != VERSION_TABLE
    }


def ordered(entries: Any) -> list[Any]:
    return sorted(entries, key=lambda entry: str(entry["name"]))


def plain(index: Any) -> dict[str, Any]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


def normal(condition: str) -> str:
    return re.sub(r"\s+", " ", condition).strip()
