# SPDX-License-Identifier: Apache-2.0
"""Registered clients, and the ids of assertions they have used."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etymon.idp.model import Client, ClientAuthentication, DeviceAuthorizationKind
from etymon.idp.store.rows import scopes_of, scopes_text
from etymon.idp.tables import assertion_ids, clients
from etymon.storage.database import Transaction


def save(tx: Transaction, client: Client) -> None:
    """Add the client, or replace the one with this id."""
    values = {
        "id": client.id,
        "name": client.name,
        "redirect_uris": list(client.redirect_uris),
        "scopes": scopes_text(client.scopes),
        "authentication": client.authentication.value,
        "keys": [dict(key) for key in client.keys],
        "device_authorization": client.device_authorization.value,
        "assertion_issuer": client.assertion_issuer,
        "assertion_keys": [dict(key) for key in client.assertion_keys],
    }
    insert = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(clients).values(values)
    tx.execute(insert.on_conflict_do_update(index_elements=[clients.c.id], set_=values))


def find(tx: Transaction, client_id: str) -> Client | None:
    """Return the client of this id."""
    row = tx.execute(sa.select(clients).where(clients.c.id == client_id)).one_or_none()
    return None if row is None else _client(row)


def all_of(tx: Transaction) -> list[Client]:
    """Return every client; an organisation has a handful."""
    return [_client(row) for row in tx.execute(sa.select(clients).order_by(clients.c.id))]


def remove(tx: Transaction, client_id: str) -> bool:
    """Remove the client; False when there is none."""
    return tx.execute(clients.delete().where(clients.c.id == client_id)).rowcount == 1


def use_assertion(tx: Transaction, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Remember that an assertion was used; False when it was already."""
    insert = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(assertion_ids)
    done = tx.execute(
        insert.values(client_id=client_id, jti=jti, expires_at=expires_at)
        .on_conflict_do_nothing(index_elements=[assertion_ids.c.client_id, assertion_ids.c.jti])
        .returning(assertion_ids.c.jti)
    )
    return done.one_or_none() is not None


def _client(row: sa.Row[Any]) -> Client:
    return Client(
        id=row.id,
        name=row.name,
        redirect_uris=tuple(row.redirect_uris),
        scopes=scopes_of(row.scopes),
        authentication=ClientAuthentication(row.authentication),
        keys=_keys(row._mapping["keys"]),  # noqa: SLF001 - SQLAlchemy's public name; `keys` is a method of rows
        device_authorization=DeviceAuthorizationKind(row.device_authorization),
        assertion_issuer=row.assertion_issuer,
        assertion_keys=_keys(row.assertion_keys),
    )


def _keys(values: list[Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    return tuple(dict(value) for value in values)
