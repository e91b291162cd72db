# SPDX-License-Identifier: Apache-2.0
"""Browser sessions of people who signed in."""

from etymon.idp.tables import sessions
from etymon.storage.database import Transaction
from etymon.storage.sessions import SessionTable


def kept(tx: Transaction) -> SessionTable:
    """Return the sessions, in one transaction."""
    return SessionTable(tx, sessions)
