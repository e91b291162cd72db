# SPDX-License-Identifier: Apache-2.0
"""Certificates that are to be rekeyed, and how far each issuer was heard."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from etymon.mdm.store.devices import TO_BE_COMPUTED
from etymon.mdm.tables import credential_rekeys as rekeys
from etymon.mdm.tables import derived_credential_issuers as issuers
from etymon.mdm.tables import managed_devices as devices
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


def remember(tx: Transaction, due: Mapping[bytes, bytes]) -> list[UUID]:
    """Keep which certificates (by device identity) are to be rekeyed; return the devices for which that is new.

    Their states are worked out again. Devices that are not known here are left out.
    """
    known = sa.select(devices.c.identity_thumbprint, devices.c.id).where(
        devices.c.identity_thumbprint.in_(set(due.values()))
    )
    by_identity = {row.identity_thumbprint: row.id for row in tx.execute(known)}
    new = {
        by_identity[device]
        for certificate, device in due.items()
        if device in by_identity
        and insert_unless_taken(tx, rekeys, thumbprint=certificate, device_id=by_identity[device])
    }
    tx.execute(devices.update().where(devices.c.id.in_(new)).values(computed_change=TO_BE_COMPUTED))
    return sorted(new)


def due_on(tx: Transaction, device: UUID) -> frozenset[bytes]:
    """Return the thumbprints of a device's certificates that are to be rekeyed, or were."""
    return frozenset(tx.scalars(sa.select(rekeys.c.thumbprint).where(rekeys.c.device_id == device)))


def heard_until(tx: Transaction, issuer: UUID) -> datetime | None:
    """Return when what was last heard of an issuer became due."""
    return tx.scalar(sa.select(issuers.c.rekeys_heard_until).where(issuers.c.id == issuer))


def set_heard_until(tx: Transaction, issuer: UUID, moment: datetime) -> None:
    """Keep when what was last heard became due."""
    tx.execute(issuers.update().where(issuers.c.id == issuer).values(rekeys_heard_until=moment))
