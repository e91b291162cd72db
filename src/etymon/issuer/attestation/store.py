# SPDX-License-Identifier: Apache-2.0
"""Attestation authorities and evidence, as they are kept."""

import base64
import functools
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from cryptography import x509

from etymon.issuer.attestation.model import MOST_ROOTS, AttestationAuthority, KeyAttestation, KeyUse
from etymon.issuer.attestation.tables import authorities, key_attestations
from etymon.issuer.model import Purpose
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.certificate import load_der, to_der
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


def all_authorities(tx: Transaction) -> tuple[AttestationAuthority, ...]:
    """Return the authorities by name."""
    rows = tx.execute(sa.select(*authorities.c).order_by(authorities.c.name))
    return tuple(_authority(row) for row in rows)


def save_authority(tx: Transaction, authority: AttestationAuthority, now: datetime) -> None:
    """Keep an authority, new or in place of the one of its name."""
    values = {
        "roots": [_text(to_der(root)) for root in authority.roots],
        "revoked_serials": sorted(authority.status.serials) if authority.status else [],
        "has_status_list": authority.status is not None,
        "saved_at": now,
    }
    if not insert_unless_taken(tx, authorities, name=authority.name, **values):
        tx.execute(authorities.update().where(authorities.c.name == authority.name).values(values))


def remove_authority(tx: Transaction, name: str) -> bool:
    """Forget an authority; False when there is none of the name."""
    return tx.execute(authorities.delete().where(authorities.c.name == name)).rowcount == 1


def add(tx: Transaction, found: KeyAttestation) -> None:
    """Keep evidence."""
    tx.execute(
        key_attestations.insert().values(
            id=found.id,
            derivation_id=found.derivation,
            purpose=found.purpose.value,
            key_sha256=found.key_sha256,
            verdict=found.verdict,
            authority=found.authority,
            security_level=found.security_level,
            manufacturer=found.manufacturer,
            model=found.model,
            os_patch_level=found.os_patch_level,
            status_list=found.status_list,
            chain=[_text(certificate) for certificate in found.chain],
            judged_at=found.judged_at,
            key_use=found.use.value,
        )
    )


def of_key(tx: Transaction, derivation: UUID, key_sha256: bytes) -> KeyAttestation | None:
    """Return what was found of a key."""
    table = key_attestations
    wanted = sa.and_(table.c.derivation_id == derivation, table.c.key_sha256 == key_sha256)
    row = tx.execute(sa.select(*table.c).where(wanted)).one_or_none()
    return None if row is None else _evidence(row)


def first_proved(tx: Transaction, derivation: UUID) -> KeyAttestation | None:
    """Return what was found of a derivation's first key whose chain holds."""
    table = key_attestations
    wanted = sa.and_(table.c.derivation_id == derivation, table.c.security_level != "")
    row = tx.execute(sa.select(*table.c).where(wanted).order_by(table.c.judged_at, table.c.id).limit(1)).one_or_none()
    return None if row is None else _evidence(row)


def of_derivation(tx: Transaction, derivation: UUID) -> tuple[KeyAttestation, ...]:
    """Return what was found of a derivation's keys, in the order in which it was."""
    table = key_attestations
    rows = tx.execute(
        sa.select(*table.c).where(table.c.derivation_id == derivation).order_by(table.c.judged_at, table.c.id)
    )
    return tuple(_evidence(row) for row in rows)


def _authority(row: sa.Row[Any]) -> AttestationAuthority:
    return AttestationAuthority(
        name=row.name,
        roots=tuple(map(_root, row.roots)),
        status=_status(tuple(row.revoked_serials)) if row.has_status_list else None,
    )


@functools.lru_cache(maxsize=2 * MOST_ROOTS)
def _root(text: str) -> x509.Certificate:
    """Return a root as it is kept; each is read once, since every request is judged by them."""
    return load_der(base64.b64decode(text))


@functools.lru_cache(maxsize=4)
def _status(serials: tuple[str, ...]) -> AttestationStatusList:
    """Return a list as it is kept; checking twenty thousand numbers takes longer than to find it again."""
    return AttestationStatusList(frozenset(serials))


def _evidence(row: sa.Row[Any]) -> KeyAttestation:
    return KeyAttestation(
        id=row.id,
        derivation=row.derivation_id,
        purpose=Purpose(row.purpose),
        key_sha256=bytes(row.key_sha256),
        verdict=row.verdict,
        judged_at=row.judged_at,
        chain=tuple(base64.b64decode(certificate) for certificate in row.chain),
        authority=row.authority,
        security_level=row.security_level,
        manufacturer=row.manufacturer,
        model=row.model,
        os_patch_level=row.os_patch_level,
        status_list=row.status_list,
        use=KeyUse(row.key_use),
    )


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
