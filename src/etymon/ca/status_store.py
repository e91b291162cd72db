# SPDX-License-Identifier: Apache-2.0
"""The queries about status: revocation, holds, lists, OCSP; every function takes an open transaction."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from etymon.ca.model import ALLOWED, CERTIFICATE_HOLD, CertificateRecord, CertificateState, RevocationReason
from etymon.ca.store import serial_text
from etymon.ca.tables import HELD, LISTED, authorities, certificates, ocsp_answers, revocation_lists
from etymon.storage.database import Transaction

ROWS_AT_A_TIME: Final = 5000
"""How many entries of a list are fetched together; PostgreSQL's driver would otherwise fetch all of them at once."""

_REVOCABLE: Final = tuple(state for state, further in ALLOWED.items() if CertificateState.REVOKED in further)
_INSERT_LIST: Final[Mapping[str, ReturningInsert[Any]]] = {
    "sqlite": sqlite.insert(revocation_lists).on_conflict_do_nothing().returning(revocation_lists.c.ca),
    "postgresql": postgresql.insert(revocation_lists).on_conflict_do_nothing().returning(revocation_lists.c.ca),
}
_HEADS: Final[sa.Select[Any]] = sa.select(
    revocation_lists.c.ca,
    revocation_lists.c.number,
    revocation_lists.c.covers,
    revocation_lists.c.this_update,
    revocation_lists.c.next_update,
    sa.func.length(revocation_lists.c.der).label("size_bytes"),
    authorities.c.revocations,
    authorities.c.profiles,
).join(authorities, authorities.c.name == revocation_lists.c.ca)
_HEAD: Final[sa.Select[Any]] = _HEADS.where(revocation_lists.c.ca == sa.bindparam("ca"))

_asked = certificates.alias("asked")
_RESPONDING: Final[sa.Select[Any]] = (
    sa.select(
        authorities.c.certificate,
        certificates.c.der,
        certificates.c.request_key,
        _asked.c.id,
        _asked.c.state,
        _asked.c.revoked_at,
        _asked.c.reason,
    )
    .select_from(
        authorities.outerjoin(
            certificates,
            sa.and_(
                certificates.c.ca == authorities.c.name,
                sa.text("ca_certificates.profile = 'ocsp-responder'"),  # RESPONDER, of two tables that have the column
                certificates.c.state == CertificateState.ISSUED,
                certificates.c.not_before <= sa.bindparam("now"),
                certificates.c.not_after > sa.bindparam("now"),
            ),
        ).outerjoin(_asked, sa.and_(_asked.c.ca == authorities.c.name, _asked.c.serial == sa.bindparam("serial")))
    )
    .where(authorities.c.name == sa.bindparam("ca"))
    .order_by(certificates.c.not_after.desc())
    .limit(1)
)
_STATUS: Final[sa.Select[Any]] = sa.select(
    certificates.c.id, certificates.c.state, certificates.c.revoked_at, certificates.c.reason
).where(certificates.c.ca == sa.bindparam("ca"), certificates.c.serial == sa.bindparam("serial"))
_KEPT: Final[sa.Select[Any]] = sa.select(
    ocsp_answers.c.der, ocsp_answers.c.produced_at, ocsp_answers.c.next_update
).where(ocsp_answers.c.ca == sa.bindparam("ca"), ocsp_answers.c.cert_id == sa.bindparam("cert_id"))
"""Statements that every question about a status runs; built once."""


def revoke(tx: Transaction, certificate_id: UUID, now: datetime, reason: RevocationReason) -> datetime | None:
    """Revoke a certificate that is issued or held; return since when it is, or None where there was nothing to revoke.

    Since a hold began nobody was to rely on it: what was held is revoked from then on.
    """
    statement = (
        certificates.update()
        .where(certificates.c.id == certificate_id, certificates.c.state.in_(_REVOCABLE))
        .values(
            state=CertificateState.REVOKED,
            reason=int(reason),
            revoked_at=sa.func.coalesce(
                certificates.c.revoked_at, sa.bindparam("now", now, certificates.c.not_after.type)
            ),
            held_until=None,
        )
        .returning(certificates.c.revoked_at)
    )
    since: datetime | None = tx.scalar(statement)
    return since


def holds_over(tx: Transaction, now: datetime, limit: int) -> tuple[UUID, ...]:
    """Return certificates whose hold has lasted as long as it may, the longest over first."""
    query = sa.select(certificates.c.id).where(HELD, certificates.c.held_until <= now)
    return tuple(tx.scalars(query.order_by(certificates.c.held_until).limit(limit)))


def count_change(tx: Transaction, ca: str) -> int:
    """Count one more change of what an authority's list says, and return how many there are now."""
    count: int = tx.execute(
        authorities.update()
        .where(authorities.c.name == ca)
        .values(revocations=authorities.c.revocations + 1)
        .returning(authorities.c.revocations)
    ).scalar_one()
    return count


def leap(tx: Transaction, numbers: int) -> None:
    """Leave numbers of lists out, count a change of every authority, and forget all kept answers."""
    tx.execute(revocation_lists.update().values(number=revocation_lists.c.number + numbers))
    tx.execute(authorities.update().values(revocations=authorities.c.revocations + 1))
    if sa.inspect(tx).has_table(ocsp_answers.name):  # a backup may be older than the table
        tx.execute(ocsp_answers.delete())


def listed(tx: Transaction, ca: str, valid_after: datetime | None) -> Iterator[tuple[int, datetime, int]]:
    """Yield serial, time and CRLReason of what is revoked or held and ends after a moment, the first to end first."""
    reason = sa.func.coalesce(certificates.c.reason, CERTIFICATE_HOLD)
    query = sa.select(certificates.c.serial, certificates.c.revoked_at, reason).where(LISTED, certificates.c.ca == ca)
    if valid_after is not None:
        query = query.where(certificates.c.not_after > valid_after)
    query = query.order_by(certificates.c.not_after, certificates.c.serial)
    for serial, revoked_at, code in tx.execute(query, execution_options={"yield_per": ROWS_AT_A_TIME}):
        yield int(serial, 16), revoked_at, code


def list_head(tx: Transaction, ca: str) -> sa.Row[Any] | None:
    """Return what there is to know of an authority's last CRL but its bytes, and of the authority what makes it due."""
    return tx.execute(_HEAD, {"ca": ca}).one_or_none()


def list_heads(tx: Transaction) -> tuple[sa.Row[Any], ...]:
    """Return the heads of all authorities' last CRLs."""
    return tuple(tx.execute(_HEADS.order_by(revocation_lists.c.ca)))


def current_list(tx: Transaction, ca: str) -> sa.Row[Any] | None:
    """Return the last published CRL of an authority: number, covers, this_update, next_update, der."""
    return tx.execute(sa.select(revocation_lists).where(revocation_lists.c.ca == ca)).one_or_none()


def replace_list(tx: Transaction, ca: str, *, after: int | None, **values: Any) -> bool:
    """Publish the CRL that follows number `after` (None: the first); say whether nobody was faster."""
    if after is None:
        return tx.scalar(_INSERT_LIST[tx.dialect.name], {"ca": ca, "number": 1, **values}) is not None
    update = (
        revocation_lists.update()
        .where(revocation_lists.c.ca == ca, revocation_lists.c.number == after)
        .values(number=after + 1, **values)
    )
    return tx.execute(update).rowcount == 1


def responding(tx: Transaction, ca: str, serial: int, now: datetime) -> sa.Row[Any] | None:
    """Return what it takes to sign an answer, all at once: every question asks for it.

    That is an authority's `certificate`; `der` and `request_key` of its responder that is valid longest, None without
    one; and id, state, revoked_at and reason of what has the serial number, None where nothing has it.
    """
    return tx.execute(_RESPONDING, {"ca": ca, "now": now, "serial": serial_text(serial)}).one_or_none()


def status(tx: Transaction, ca: str, serial: int) -> sa.Row[Any] | None:
    """Return id, state, revoked_at and reason of the certificate with a serial number of an authority."""
    return tx.execute(_STATUS, {"ca": ca, "serial": serial_text(serial)}).one_or_none()


def kept_answer(tx: Transaction, ca: str, cert_id: bytes) -> sa.Row[Any] | None:
    """Return the kept OCSP answer to a CertID: der, produced_at, next_update."""
    return tx.execute(_KEPT, {"ca": ca, "cert_id": cert_id}).one_or_none()


def keep_answer(
    tx: Transaction, ca: str, cert_id: bytes, certificate: sa.Row[Any], der: bytes, *, times: tuple[datetime, datetime]
) -> bool:
    """Keep an OCSP answer while its certificate still is what the answer says; say whether it was kept.

    The certificate's row is locked: whoever changes its status waits, and then forgets what is kept here.
    """
    locked = sa.select(certificates.c.state, certificates.c.revoked_at).where(certificates.c.id == certificate.id)
    now_so = tx.execute(locked.with_for_update(read=True)).one()
    if (now_so.state, now_so.revoked_at) != (certificate.state, certificate.revoked_at):
        return False
    values = {"certificate": certificate.id, "der": der, "produced_at": times[0], "next_update": times[1]}
    insert = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(ocsp_answers)
    tx.execute(
        insert.values(ca=ca, cert_id=cert_id, **values).on_conflict_do_update(
            index_elements=[ocsp_answers.c.ca, ocsp_answers.c.cert_id], set_=values
        )
    )
    return True


def forget_answers(tx: Transaction, record: CertificateRecord) -> None:
    """Forget the OCSP answers about a certificate; with a responder's certificate all that its authority gave."""
    about = ocsp_answers.c.certificate == record.id
    if record.profile == "ocsp-responder":
        about = ocsp_answers.c.ca == record.ca
    tx.execute(ocsp_answers.delete().where(about))


def forget_old_answers(tx: Transaction, now: datetime, limit: int) -> int:
    """Forget up to `limit` OCSP answers that nobody may use any more; return how many."""
    old = sa.select(ocsp_answers.c.ca, ocsp_answers.c.cert_id).where(ocsp_answers.c.next_update <= now)
    some = old.order_by(ocsp_answers.c.next_update).limit(limit)
    both = sa.tuple_(ocsp_answers.c.ca, ocsp_answers.c.cert_id)
    return tx.execute(ocsp_answers.delete().where(both.in_(some))).rowcount
