# SPDX-License-Identifier: Apache-2.0
"""Mail addresses as a version before let them in, to which no mail is sent any more."""

from typing import Final
from uuid import UUID

from etymon.directory.tables import mail_addresses
from etymon.storage.database import Database

NOT_ONE_MAILBOX: Final = "al..ice@agency.example"


def give(database: Database, person: UUID) -> None:
    """Give an account that has no address this one."""
    with database.transaction() as tx:
        tx.execute(
            mail_addresses.insert().values(
                person_id=person, position=0, address=NOT_ONE_MAILBOX, address_key=NOT_ONE_MAILBOX
            )
        )
