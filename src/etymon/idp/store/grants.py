# SPDX-License-Identifier: Apache-2.0
"""Authorization codes, grants and the refresh tokens that hang on them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.idp.model import AuthorizationCode, Grant
from etymon.idp.store.rows import scopes_of, scopes_text, sign_in_of, sign_in_values
from etymon.idp.tables import authorization_codes, grants, refresh_tokens
from etymon.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is kept."""

    grant_id: UUID
    used: bool
    expires_at: datetime


def add_code(tx: Transaction, digest: bytes, code: AuthorizationCode) -> None:
    """Keep an authorization code."""
    tx.execute(
        authorization_codes.insert().values(
            digest=digest,
            used=False,
            client_id=code.client_id,
            redirect_uri=code.redirect_uri,
            scopes=scopes_text(code.scopes),
            code_challenge=code.code_challenge,
            nonce=code.nonce,
            grant_id=code.grant_id,
            expires_at=code.expires_at,
            **sign_in_values(code.sign_in),
        )
    )


def find_code(tx: Transaction, digest: bytes) -> AuthorizationCode | None:
    """Return the code of this digest, used or late or not."""
    row = tx.execute(sa.select(authorization_codes).where(authorization_codes.c.digest == digest)).one_or_none()
    if row is None:
        return None
    return AuthorizationCode(
        client_id=row.client_id,
        redirect_uri=row.redirect_uri,
        scopes=scopes_of(row.scopes),
        code_challenge=row.code_challenge,
        nonce=row.nonce,
        sign_in=sign_in_of(row),
        grant_id=row.grant_id,
        expires_at=row.expires_at,
    )


def use_code(tx: Transaction, digest: bytes) -> bool:
    """Use a code up; False when it was used before."""
    used = tx.execute(
        authorization_codes.update()
        .where(authorization_codes.c.digest == digest, authorization_codes.c.used.is_(False))
        .values(used=True)
    )
    return used.rowcount == 1


def add_grant(tx: Transaction, grant: Grant) -> None:
    """Keep a grant."""
    tx.execute(
        grants.insert().values(
            id=grant.id,
            client_id=grant.client_id,
            scopes=scopes_text(grant.scopes),
            started_at=grant.started_at,
            ends_at=grant.ends_at,
            device_authorization_id=grant.device_authorization,
            enrollment_session=grant.enrollment_session,
            **sign_in_values(grant.sign_in),
        )
    )


def find_live_grant(tx: Transaction, grant_id: UUID, *, now: datetime) -> Grant | None:
    """Return a grant that has not ended."""
    row = tx.execute(
        sa.select(grants).where(grants.c.id == grant_id, grants.c.ended_at.is_(None), grants.c.ends_at > now)
    ).one_or_none()
    return None if row is None else _grant(row)


def of_device_authorization(tx: Transaction, authorization_id: UUID) -> Grant | None:
    """Return the grant a device authorization led to, ended or not."""
    row = tx.execute(sa.select(grants).where(grants.c.device_authorization_id == authorization_id)).one_or_none()
    return None if row is None else _grant(row)


def end_grant(tx: Transaction, grant_id: UUID, *, now: datetime) -> bool:
    """End a grant and with it its refresh tokens; False when it had ended."""
    ended = tx.execute(grants.update().where(grants.c.id == grant_id, grants.c.ended_at.is_(None)).values(ended_at=now))
    return ended.rowcount == 1


def end_of_person(tx: Transaction, person: UUID, *, now: datetime) -> None:
    """End every grant of a person, and every code that could become one."""
    tx.execute(grants.update().where(grants.c.person_id == person, grants.c.ended_at.is_(None)).values(ended_at=now))
    tx.execute(authorization_codes.update().where(authorization_codes.c.person_id == person).values(used=True))


def add_refresh_token(tx: Transaction, digest: bytes, token: RefreshToken) -> None:
    """Keep a refresh token."""
    tx.execute(
        refresh_tokens.insert().values(
            digest=digest, grant_id=token.grant_id, used=token.used, expires_at=token.expires_at
        )
    )


def find_refresh_token(tx: Transaction, digest: bytes) -> RefreshToken | None:
    """Return the refresh token of this digest, used or late or not."""
    row = tx.execute(sa.select(refresh_tokens).where(refresh_tokens.c.digest == digest)).one_or_none()
    return None if row is None else RefreshToken(row.grant_id, row.used, row.expires_at)


def use_refresh_token(tx: Transaction, digest: bytes) -> bool:
    """Use a refresh token up; False when it was used before."""
    used = tx.execute(
        refresh_tokens.update()
        .where(refresh_tokens.c.digest == digest, refresh_tokens.c.used.is_(False))
        .values(used=True)
    )
    return used.rowcount == 1


def _grant(row: sa.Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        client_id=row.client_id,
        scopes=scopes_of(row.scopes),
        sign_in=sign_in_of(row),
        started_at=row.started_at,
        ends_at=row.ends_at,
        device_authorization=row.device_authorization_id,
        enrollment_session=row.enrollment_session,
    )
