# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the present schema, from nothing or from any released version."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from etymon.storage.database import Database


def upgrade(database: Database, *, to: str = "head") -> None:
    """Run every migration that `database` has not seen."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    with database.engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, to)
