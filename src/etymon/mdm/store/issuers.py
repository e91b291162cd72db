# SPDX-License-Identifier: Apache-2.0
"""Issuers of derived credentials and the invalidations they were asked for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.mdm.credential_issuer import CredentialIssuer, Invalidation, IssuerDescription, IssuerKind, IssuerTerms
from etymon.mdm.model import InvalidationReason
from etymon.mdm.tables import credential_invalidations as invalidations
from etymon.mdm.tables import derived_credential_issuers as issuers
from etymon.storage.database import Transaction


def insert(tx: Transaction, issuer: CredentialIssuer) -> None:
    """Add the live issuer; the database refuses a second one."""
    tx.execute(
        issuers.insert().values(
            id=issuer.id,
            live=1,
            created_at=issuer.created_at,
            modified_at=issuer.modified_at,
            **_terms(issuer.terms),
        )
    )


def update(tx: Transaction, id_: UUID, terms: IssuerTerms, now: datetime) -> bool:
    """Change a live issuer; False where it is not live."""
    saved = tx.execute(
        issuers.update().where(issuers.c.id == id_, issuers.c.live == 1).values(modified_at=now, **_terms(terms))
    )
    return saved.rowcount == 1


def end(tx: Transaction, id_: UUID, now: datetime) -> bool:
    """End a live issuer; False where it is not live."""
    ended = tx.execute(issuers.update().where(issuers.c.id == id_, issuers.c.live == 1).values(live=None, ended_at=now))
    return ended.rowcount == 1


def describe(tx: Transaction, id_: UUID, description: IssuerDescription) -> None:
    """Keep what an issuer says of itself."""
    tx.execute(
        issuers.update()
        .where(issuers.c.id == id_)
        .values(described_name=description.name, self_service=description.self_service)
    )


def find(tx: Transaction, id_: UUID) -> CredentialIssuer | None:
    """Return an issuer, live or ended."""
    row = tx.execute(sa.select(issuers).where(issuers.c.id == id_)).one_or_none()
    return _issuer(row) if row else None


def live(tx: Transaction) -> CredentialIssuer | None:
    """Return the live issuer."""
    row = tx.execute(sa.select(issuers).where(issuers.c.live == 1)).one_or_none()
    return _issuer(row) if row else None


def insert_invalidation(tx: Transaction, invalidation: Invalidation) -> None:
    """Add an order."""
    tx.execute(
        invalidations.insert().values(
            id=invalidation.id,
            issuer_id=invalidation.issuer,
            device_id=invalidation.device,
            reason=invalidation.reason.value,
            comment=invalidation.comment,
            state="pending",
            ended_credentials=[],
            created_at=invalidation.created_at,
        )
    )


def find_invalidation(tx: Transaction, id_: UUID) -> Invalidation | None:
    """Return an order."""
    row = tx.execute(sa.select(invalidations).where(invalidations.c.id == id_)).one_or_none()
    return _invalidation(row) if row else None


def invalidations_of(tx: Transaction, device: UUID) -> list[Invalidation]:
    """Return the orders for a device, the oldest first."""
    query = sa.select(invalidations).where(invalidations.c.device_id == device)
    return [_invalidation(row) for row in tx.execute(query.order_by(invalidations.c.created_at, invalidations.c.id))]


def finish_invalidation(tx: Transaction, id_: UUID, ended_credentials: Sequence[str], now: datetime) -> bool:
    """Keep what an issuer answered; False when it had answered before."""
    finished = tx.execute(
        invalidations.update()
        .where(invalidations.c.id == id_, invalidations.c.state == "pending")
        .values(state="done", ended_credentials=list(ended_credentials), done_at=now)
    )
    return finished.rowcount == 1


def _terms(terms: IssuerTerms) -> dict[str, Any]:
    return {
        "display_name": terms.display_name,
        "kind": terms.kind.value,
        "url": terms.url,
        "help_url": terms.help_url,
        "notify_phone": terms.notify_phone,
        "notify_mail": terms.notify_mail,
        "renewal_threshold_percentage": terms.renewal_threshold_percentage,
    }


def _issuer(row: sa.Row[Any]) -> CredentialIssuer:
    return CredentialIssuer(
        id=row.id,
        terms=IssuerTerms(
            display_name=row.display_name,
            url=row.url,
            kind=IssuerKind(row.kind),
            help_url=row.help_url,
            notify_phone=row.notify_phone,
            notify_mail=row.notify_mail,
            renewal_threshold_percentage=row.renewal_threshold_percentage,
        ),
        described_name=row.described_name,
        self_service=row.self_service,
        created_at=row.created_at,
        modified_at=row.modified_at,
        ended_at=row.ended_at,
    )


def _invalidation(row: sa.Row[Any]) -> Invalidation:
    return Invalidation(
        id=row.id,
        issuer=row.issuer_id,
        device=row.device_id,
        reason=InvalidationReason(row.reason),
        comment=row.comment,
        is_done=row.state == "done",
        created_at=row.created_at,
    )
