# SPDX-License-Identifier: Apache-2.0
"""Issuance rules. A rule is never edited: what changes it writes a new one and withdraws the old."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.model import Approval, Attestation, IssuanceRule, Purpose
from etymon.issuer.tables import issuance_rules as table
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken
from etymon.wire.key_description import SecurityLevel

_IN_FORCE: Final = sa.select(*table.c).where(table.c.withdrawn_at.is_(None)).order_by(table.c.name)
_BY_ID: Final = sa.select(*table.c).where(table.c.id == sa.bindparam("id"))
"""Statements of every enrollment, built once; to build one takes longer than to run it."""


def add(tx: Transaction, rule: IssuanceRule) -> bool:
    """Keep a rule that is in force from now on; False when one of its name came into force meanwhile."""
    return insert_unless_taken(
        tx,
        table,
        id=rule.id,
        name=rule.name,
        group_ids=sorted(str(group) for group in rule.groups),
        managed_devices_only=rule.managed_devices_only,
        link_password=rule.link_password,
        key_history=rule.key_history,
        purposes=[purpose.value for purpose in rule.purposes],
        lifetime_seconds=int(rule.lifetime.total_seconds()),
        key_types=sorted(kind.value for kind in rule.key_types),
        encryption_key_type=rule.encryption_key_type.value,
        most_derivations=rule.most_derivations,
        instructions_url=rule.instructions_url,
        approval=rule.approval.value,
        device_models=list(rule.device_models),
        attestation=rule.attestation.value,
        attestation_level=rule.attestation_level.name.lower(),
        verified_boot=rule.verified_boot,
        created_by=rule.created_by,
        created_at=rule.created_at,
        withdrawn_at=None,
    )


def withdraw(tx: Transaction, rule: UUID, now: datetime) -> bool:
    """End a rule that is in force; False when it was not."""
    done = tx.execute(table.update().where(table.c.id == rule, table.c.withdrawn_at.is_(None)).values(withdrawn_at=now))
    return done.rowcount == 1


def in_force(tx: Transaction) -> tuple[IssuanceRule, ...]:
    """Return the rules in force, by name."""
    return tuple(_rule(row) for row in tx.execute(_IN_FORCE))


def find(tx: Transaction, rule: UUID) -> tuple[IssuanceRule, datetime | None] | None:
    """Return a rule and when it was withdrawn."""
    row = tx.execute(_BY_ID, {"id": rule}).one_or_none()
    return None if row is None else (_rule(row), row.withdrawn_at)


def authorized_by(tx: Transaction, *, name: str = "", officer: UUID | None = None) -> tuple[UUID, ...]:
    """Return the rules of a name or an officer, in force or not."""
    condition = table.c.created_by == officer if officer is not None else table.c.name == name
    return tuple(tx.scalars(sa.select(table.c.id).where(condition).order_by(table.c.id)))


def _rule(row: sa.Row[Any]) -> IssuanceRule:
    return IssuanceRule(
        id=row.id,
        name=row.name,
        groups=frozenset(UUID(group) for group in row.group_ids),
        purposes=tuple(Purpose(purpose) for purpose in row.purposes),
        lifetime=timedelta(seconds=row.lifetime_seconds),
        created_by=row.created_by,
        created_at=row.created_at,
        managed_devices_only=row.managed_devices_only,
        link_password=row.link_password,
        key_history=row.key_history,
        key_types=frozenset(KeyType(kind) for kind in row.key_types),
        encryption_key_type=KeyType(row.encryption_key_type),
        most_derivations=row.most_derivations,
        instructions_url=row.instructions_url,
        approval=Approval(row.approval),
        device_models=tuple(row.device_models),
        attestation=Attestation(row.attestation),
        attestation_level=SecurityLevel[row.attestation_level.upper()],
        verified_boot=row.verified_boot,
    )
