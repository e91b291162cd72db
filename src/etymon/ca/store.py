# SPDX-License-Identifier: Apache-2.0
"""The queries about authorities and certificates; every function takes an open transaction and commits nothing."""

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from cryptography import x509
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from etymon.ca.model import ALLOWED, Authority, CertificateRecord, CertificateState, RevocationReason
from etymon.ca.tables import LIVE, PLANNED, RESPONDER, authorities, certificates
from etymon.kernel.errors import NotFound
from etymon.storage.database import Transaction

AUTHORITY_KEY: Final = "authority:"
"""How the request keys of authorities' own certificates begin; the authority's name follows."""

_CERTIFICATES: Final = sa.select(*(column for column in certificates.c if column.name != "thumbprint"))
_BY_ID: Final = _CERTIFICATES.where(certificates.c.id == sa.bindparam("id"))
_BY_REQUEST_KEY: Final = _CERTIFICATES.where(certificates.c.request_key == sa.bindparam("request_key"))
_BY_SERIAL: Final = _CERTIFICATES.where(
    certificates.c.ca == sa.bindparam("ca"), certificates.c.serial == sa.bindparam("serial")
)
_BY_KEY: Final = _CERTIFICATES.where(LIVE, certificates.c.spki_sha256 == sa.bindparam("spki_sha256"))
_BY_THUMBPRINT: Final = _CERTIFICATES.where(certificates.c.thumbprint == sa.bindparam("thumbprint"))
_STATE: Final = (
    sa.select(certificates.c.state)
    .join(authorities, authorities.c.name == certificates.c.ca)
    .where(certificates.c.thumbprint == sa.bindparam("thumbprint"), authorities.c.spki_sha256 == sa.bindparam("issuer"))
)
_RESPONDER: Final = (
    _CERTIFICATES.where(
        RESPONDER,
        certificates.c.ca == sa.bindparam("ca"),
        certificates.c.state == CertificateState.ISSUED,
        certificates.c.not_before <= sa.bindparam("now"),
        certificates.c.not_after > sa.bindparam("now"),
    )
    .order_by(certificates.c.not_after.desc())
    .limit(1)
)
_own = certificates.alias("own")
_AUTHORITIES: Final[sa.Select[Any]] = sa.select(
    *(column for column in authorities.c if column.name != "spki_sha256"), _own.c.revoked_at, _own.c.reason
).select_from(
    authorities.outerjoin(  # the certificate that the authority above issued to it; a root has none
        _own,
        sa.and_(
            _own.c.request_key == sa.literal_column(f"'{AUTHORITY_KEY}'").concat(authorities.c.name),
            _own.c.ca == authorities.c.parent,
        ),
    )
)
_AUTHORITY: Final = _AUTHORITIES.where(authorities.c.name == sa.bindparam("name"))
_NAMES: Final = (
    sa.select(authorities.c.name, authorities.c.parent)
    .where(authorities.c.name == sa.bindparam("name"))
    .cte("names", recursive=True)
)
_LINEAGE: Final = _AUTHORITIES.where(
    authorities.c.name.in_(
        sa.select(
            _NAMES.union(
                sa.select(authorities.c.name, authorities.c.parent).where(authorities.c.name == _NAMES.c.parent)
            ).c.name
        )
    )
)
_INSERT_PLANNED: Final[Mapping[str, ReturningInsert[Any]]] = {
    "sqlite": sqlite.insert(certificates).on_conflict_do_nothing().returning(certificates.c.id),
    "postgresql": postgresql.insert(certificates).on_conflict_do_nothing().returning(certificates.c.id),
}
_ISSUE: Final = (
    certificates.update()
    .where(certificates.c.id == sa.bindparam("planned_id"), certificates.c.state == CertificateState.PLANNED)
    .values({name: sa.bindparam(name) for name in ("state", "der", "thumbprint", "tbs", "issued_at")})
)
"""Statements that every issuance and every check of a status runs; built once."""


def serial_text(serial: int) -> str:
    """Return a serial number as the database keeps it: lower-case hexadecimal."""
    return f"{serial:x}"


def insert_authority(
    tx: Transaction,
    *,
    name: str,
    parent: str | None,
    der: bytes,
    spki_sha256: bytes,
    profiles: frozenset[str],
    policies: tuple[str, ...],
    now: datetime,
) -> None:
    """Add an authority."""
    tx.execute(
        authorities.insert().values(
            name=name,
            parent=parent,
            certificate=der,
            spki_sha256=spki_sha256,
            profiles=sorted(profiles),
            policies=list(policies),
            revocations=0,
            created_at=now,
        )
    )


def find_authority(tx: Transaction, name: str) -> Authority | None:
    """Return the authority called `name`."""
    row = tx.execute(_AUTHORITY, {"name": name}).one_or_none()
    return _authority(row) if row else None


def authority_names(tx: Transaction) -> tuple[str, ...]:
    """Return the names of all authorities."""
    return tuple(tx.scalars(sa.select(authorities.c.name).order_by(authorities.c.name)))


def revoked_authorities(tx: Transaction) -> frozenset[str]:
    """Return the names of the authorities whose own certificate was revoked."""
    return frozenset(row.name for row in tx.execute(_AUTHORITIES.where(_own.c.revoked_at.is_not(None))))


def children(tx: Transaction, name: str) -> tuple[Authority, ...]:
    """Return the authorities that `name` certified."""
    rows = tx.execute(_AUTHORITIES.where(authorities.c.parent == name).order_by(authorities.c.name))
    return tuple(_authority(row) for row in rows)


def lineage(tx: Transaction, name: str) -> tuple[Authority, ...]:
    """Return the authority called `name` and those above it, the root last."""
    above = {row.name: row for row in tx.execute(_LINEAGE, {"name": name})}
    found: list[Authority] = []
    current: str | None = name
    while current is not None:
        if current not in above:
            raise NotFound("authority_not_found", f"There is no certification authority called {current}.")
        found.append(_authority(above[current]))
        current = found[-1].parent
    return tuple(found)


def insert_planned(tx: Transaction, record: CertificateRecord) -> bool:
    """Add a planned certificate unless its request key, key or serial is taken; say whether it was added.

    Nothing is raised inside the caller's transaction, which a unique violation would end on PostgreSQL.
    """
    row = {
        "id": record.id,
        "ca": record.ca,
        "serial": serial_text(record.serial),
        "profile": record.profile,
        "state": record.state,
        "request_key": record.request_key,
        "spki_sha256": record.spki_sha256,
        "not_before": record.not_before,
        "not_after": record.not_after,
        "authorized_by": record.authorized_by,
        "planned_at": record.planned_at,
        "tbs": record.tbs,
    }
    return tx.scalar(_INSERT_PLANNED[tx.dialect.name], row) is not None


def issue(tx: Transaction, record: CertificateRecord, thumbprint: bytes) -> bool:
    """Make a planned certificate an issued one; say whether it still was planned."""
    row = {
        "planned_id": record.id,
        "state": record.state,
        "der": record.der,
        "thumbprint": thumbprint,
        "tbs": None,
        "issued_at": record.issued_at,
    }
    return tx.execute(_ISSUE, row).rowcount == 1


def is_certified_by(certificate_id: sa.ColumnElement[UUID], ca: str) -> sa.ColumnElement[bool]:
    """Return the condition that an authority made the certificate of a row; it is looked up by its id, one a row."""
    return sa.exists().where(certificates.c.id == certificate_id, certificates.c.ca == ca)


def find_certificate(tx: Transaction, certificate_id: UUID) -> CertificateRecord | None:
    """Return a certificate by its id."""
    return _one(tx, _BY_ID, id=certificate_id)


def find_by_request_key(tx: Transaction, request_key: str) -> CertificateRecord | None:
    """Return the certificate of an authorization."""
    return _one(tx, _BY_REQUEST_KEY, request_key=request_key)


def find_by_serial(tx: Transaction, ca: str, serial: int) -> CertificateRecord | None:
    """Return the certificate with a serial number of an authority."""
    return _one(tx, _BY_SERIAL, ca=ca, serial=serial_text(serial))


def find_by_thumbprint(tx: Transaction, thumbprint: bytes) -> CertificateRecord | None:
    """Return the issued certificate whose DER has this SHA-256."""
    return _one(tx, _BY_THUMBPRINT, thumbprint=thumbprint)


def find_by_key(tx: Transaction, spki_sha256: bytes) -> CertificateRecord | None:
    """Return the certificate on a key, whatever became of it, unless it was given up."""
    return _one(tx, _BY_KEY, spki_sha256=spki_sha256)


def count_in_use(tx: Transaction, ca: str, now: datetime) -> dict[str, int]:
    """Count the certificates of an authority that are issued or held and not over, by profile; reads all of them."""
    table = certificates.c
    good = (table.ca == ca, table.state.in_(["issued", "held"]), table.not_after >= now)
    number = sa.func.count().label("number")
    counted = sa.select(table.profile, number).where(*good).group_by(table.profile).order_by(table.profile)
    return {row.profile: row.number for row in tx.execute(counted)}


def state_of_issued(tx: Transaction, thumbprint: bytes, issuer_spki_sha256: bytes) -> CertificateState | None:
    """Return the state of the certificate with this SHA-256 of its DER, if the authority of this key issued it."""
    state = tx.scalar(_STATE, {"thumbprint": thumbprint, "issuer": issuer_spki_sha256})
    return None if state is None else CertificateState(state)


def newest_responder(tx: Transaction, ca: str, now: datetime) -> CertificateRecord | None:
    """Return the OCSP responder certificate of an authority that is valid longest."""
    return _one(tx, _RESPONDER, ca=ca, now=now)


def planned_before(tx: Transaction, before: datetime, limit: int) -> tuple[CertificateRecord, ...]:
    """Return plans that were left behind, the oldest first."""
    rows = tx.execute(
        _CERTIFICATES.where(PLANNED, certificates.c.planned_at < before)
        .order_by(certificates.c.planned_at)
        .limit(limit)
    )
    return tuple(_record(row) for row in rows)


def move(
    tx: Transaction, certificate_id: UUID, expected: CertificateState, new: CertificateState, **values: Any
) -> bool:
    """Move a certificate if it stands where expected; say whether it did. Only moves in `ALLOWED` are made."""
    if new not in ALLOWED[expected]:
        message = f"a certificate never moves from {expected} to {new}"
        raise ValueError(message)
    statement = (
        certificates.update()
        .where(certificates.c.id == certificate_id, certificates.c.state == expected)
        .values(state=new, **values)
    )
    return tx.execute(statement).rowcount == 1


def abandon_plans(tx: Transaction) -> None:
    """Give up every certificate that was planned and not issued."""
    tx.execute(
        certificates.update()
        .where(certificates.c.state == CertificateState.PLANNED)
        .values(state=CertificateState.ABANDONED)
    )


@functools.lru_cache(maxsize=64)
def _certificate(der: bytes) -> x509.Certificate:
    """Read an authority's certificate, which every issuance needs and which never changes, once."""
    return x509.load_der_x509_certificate(der)


def _authority(row: sa.Row[Any]) -> Authority:
    return Authority(
        name=row.name,
        parent=row.parent,
        certificate=_certificate(row.certificate),
        profiles=frozenset(row.profiles),
        policies=tuple(row.policies),
        revocations=row.revocations,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        reason=None if row.reason is None else RevocationReason(row.reason),
    )


def _one(tx: Transaction, statement: sa.Select[Any], **values: Any) -> CertificateRecord | None:
    row = tx.execute(statement, values).one_or_none()
    return _record(row) if row else None


def _record(row: sa.Row[Any]) -> CertificateRecord:
    return CertificateRecord(
        id=row.id,
        ca=row.ca,
        serial=int(row.serial, 16),
        profile=row.profile,
        state=CertificateState(row.state),
        request_key=row.request_key,
        spki_sha256=row.spki_sha256,
        not_before=row.not_before,
        not_after=row.not_after,
        authorized_by=row.authorized_by,
        planned_at=row.planned_at,
        tbs=row.tbs,
        der=row.der,
        issued_at=row.issued_at,
        revoked_at=row.revoked_at,
        reason=None if row.reason is None else RevocationReason(row.reason),
        held_until=row.held_until,
    )
