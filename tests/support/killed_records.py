# SPDX-License-Identifier: Apache-2.0
"""What is in the database after the kills, read with plain SQL and judged by what others wrote about it.

Nothing here calls the packages whose records it judges; the chain is computed from its description in `audit.chain`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.storage.database import Database

EVENTS_OF_ROWS: Final = {
    "ca:certificate:planned": "SELECT id FROM ca_certificates",
    "ca:certificate:issued": "SELECT id FROM ca_certificates WHERE issued_at IS NOT NULL",
    "ca:certificate:revoked": "SELECT id FROM ca_certificates WHERE state = 'revoked'",
    "ca:certificate:abandoned": "SELECT id FROM ca_certificates WHERE state = 'abandoned'",
    "issuer:derivation:begun": "SELECT id FROM issuer_derivations",
    "issuer:derivation:ended": "SELECT id FROM issuer_derivations WHERE ended_at IS NOT NULL",
    "issuer:link:redeemed": "SELECT id FROM issuer_derivations WHERE redeemed_at IS NOT NULL",
    "issuer:link:confirmed": "SELECT id FROM issuer_derivations WHERE confirmed_at IS NOT NULL",
    "issuer:credential:authorized": "SELECT id FROM issuer_credentials",
    "issuer:credential:issued": "SELECT id FROM issuer_credentials WHERE issued_at IS NOT NULL",
    "issuer:credential:ended": "SELECT id FROM issuer_credentials WHERE state = 'ended'",
    "issuer:invalidation:done": "SELECT id FROM issuer_invalidations",
    "mdm:enrollment:begun": "SELECT id FROM enrollment_sessions",
    "mdm:enrollment:completed": "SELECT id FROM managed_devices",
    "mdm:device:enrolled": "SELECT id FROM managed_devices WHERE state = 'managed'",
    "escrow:key:deposited": "SELECT id FROM escrow_keys",
    "escrow:key:certified": "SELECT id FROM escrow_keys WHERE certificate IS NOT NULL",
}
"""Each of these events tells of one row and each row of one event; events name the row's id last in their subject."""

UNFINISHED: Final = (
    "SELECT count(*) FROM ca_certificates WHERE state = 'planned'",
    "SELECT count(*) FROM issuer_credentials WHERE state = 'planned'",
    "SELECT count(*) FROM managed_devices WHERE state = 'enrolling'",
    "SELECT count(*) FROM audit_pending",
    "SELECT count(*) FROM jobs WHERE kind IN ('ca.publish_crl', 'mail.send')",
)


HALVES: Final = {
    "an escrowed key without a credential": (
        "SELECT id FROM escrow_keys WHERE id NOT IN"
        " (SELECT escrowed_key_id FROM issuer_credentials WHERE escrowed_key_id IS NOT NULL)"
    ),
    "an encryption credential without an escrowed key": (
        "SELECT id FROM issuer_credentials WHERE purpose = 'encryption' AND escrowed_key_id IS NULL"
    ),
    "a credential without a certificate": (
        "SELECT id FROM issuer_credentials WHERE certificate_id NOT IN (SELECT id FROM ca_certificates)"
    ),
    "a purpose twice": (
        "SELECT derivation_id FROM issuer_credentials GROUP BY derivation_id, purpose HAVING count(*) > 1"
    ),
    "a used authorization without a credential": (
        "SELECT derivation_id FROM issuer_authorizations a WHERE state = 'used' AND NOT EXISTS (SELECT 1 FROM"
        " issuer_credentials c WHERE c.derivation_id = a.derivation_id AND c.purpose = a.purpose)"
    ),
    "an unused authorization with a credential": (
        "SELECT a.derivation_id FROM issuer_authorizations a JOIN issuer_credentials c ON"
        " c.derivation_id = a.derivation_id AND c.purpose = a.purpose WHERE a.state = 'open'"
    ),
    "a device without a certificate": (
        "SELECT id FROM managed_devices WHERE state = 'managed' AND identity_certificate_id NOT IN"
        " (SELECT id FROM ca_certificates)"
    ),
    "an enrollment session with two devices": (
        "SELECT session_id FROM managed_devices GROUP BY session_id HAVING count(*) > 1"
    ),
    "a person with two devices": "SELECT person_id FROM managed_devices GROUP BY person_id HAVING count(*) > 1",
}
"""Halves of a transaction, and what there must not be twice; each person of the story enrolls one phone."""


def rows(database: Database, statement: str, **values: object) -> list[sa.Row[Any]]:
    with database.snapshot() as tx:
        return list(tx.execute(sa.text(statement), values))


def certificate_kept(database: Database, request_key: str) -> x509.Certificate | None:
    """Return the certificate that was made for a request; the request's key is unique."""
    found = rows(database, "SELECT der FROM ca_certificates WHERE request_key = :key", key=request_key)
    assert len(found) <= 1
    return x509.load_der_x509_certificate(bytes(found[0].der)) if found and found[0].der else None


def is_planned(database: Database, request_key: str) -> bool:
    """Whether what will be signed for a request is stored, or was signed."""
    return rows(database, "SELECT 1 FROM ca_certificates WHERE request_key = :key", key=request_key) != []


def certificates(database: Database) -> dict[str, x509.Certificate]:
    """Return every certificate of a subscriber by its request key; no two have the same key or the same serial."""
    found = rows(
        database,
        "SELECT request_key, serial, der FROM ca_certificates WHERE der IS NOT NULL AND"
        " profile IN ('device-identity', 'derived-piv-authentication', 'derived-digital-signature',"
        " 'derived-key-management')",
    )
    made = {row.request_key: x509.load_der_x509_certificate(bytes(row.der)) for row in found}
    by_key = Counter(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for certificate in made.values()
    )
    assert set(by_key.values()) <= {1}
    assert {int(row.serial, 16) for row in found} == {each.serial_number for each in made.values()}
    return made


def is_finished(database: Database) -> bool:
    """Whether nothing waits for a worker."""
    return all(rows(database, statement)[0][0] == 0 for statement in UNFINISHED)


def unfinished(database: Database) -> dict[str, int]:
    return {statement: rows(database, statement)[0][0] for statement in UNFINISHED}


def require_events_match_rows(database: Database) -> None:
    """Each event has its row and each row its event, once; nothing failed; CRL numbers have no gap."""
    events = rows(database, "SELECT name, subject, outcome, facts FROM audit_events")
    told: dict[str, Counter[UUID]] = {name: Counter() for name in EVENTS_OF_ROWS}
    for event in events:
        if event.name in told:
            told[event.name][UUID(event.subject.rpartition(":")[2])] += 1
    for name, statement in EVENTS_OF_ROWS.items():
        kept = Counter(UUID(str(row.id)) for row in rows(database, statement))
        assert told[name] == kept, name
    assert [event for event in events if event.outcome != "success"] == []
    _require_releases_match(database, events)
    numbers: dict[str, list[int]] = {}
    for event in events:
        if event.name == "ca:crl:published":
            numbers.setdefault(event.subject, []).append(json.loads(event.facts)["number"])
    for row in rows(database, "SELECT ca, number FROM ca_revocation_lists"):
        assert sorted(numbers.pop(row.ca)) == list(range(1, row.number + 1))
    assert numbers == {}


def _require_releases_match(database: Database, events: Iterable[sa.Row[Any]]) -> None:
    told = Counter(UUID(each.subject.rpartition(":")[2]) for each in events if each.name == "escrow:key:released")
    kept = Counter(UUID(str(row.key_id)) for row in rows(database, "SELECT key_id FROM escrow_releases"))
    assert told == kept


def require_wholeness(database: Database) -> None:
    """No half of anything is left, and nothing is there twice."""
    assert {name: found for name, statement in HALVES.items() if (found := rows(database, statement))} == {}


def require_chain(database: Database, public_key: ec.EllipticCurvePublicKey) -> int:
    """Compute the chain again from the rows, verify each checkpoint, and return how many events it has."""
    digest, digests = bytes(32), {0: bytes(32)}
    chain = rows(
        database,
        "SELECT s.sequence, s.digest, e.id, e.recorded_at, e.name, e.actor, e.subject, e.source, e.outcome, e.facts"
        " FROM audit_seals s JOIN audit_events e ON e.id = s.event_id ORDER BY s.sequence",
    )
    for place, row in enumerate(chain, start=1):
        assert row.sequence == place
        document = {
            "sequence": place,
            "id": str(UUID(str(row.id))),
            "recorded_at": _moment(row.recorded_at),
            "facts": json.loads(row.facts),
            **{name: getattr(row, name) for name in ("name", "actor", "subject", "source", "outcome")},
        }
        digest = hashlib.sha256(b"etymon audit event v1\n" + digest + _canonical(document)).digest()
        assert digest == bytes(row.digest), f"event {place}"
        digests[place] = digest
    _require_checkpoints(database, public_key, digests)
    assert rows(database, "SELECT count(*) FROM audit_events")[0][0] == len(chain)
    return len(chain)


def _require_checkpoints(
    database: Database, public_key: ec.EllipticCurvePublicKey, digests: Mapping[int, bytes]
) -> None:
    previous, covered = bytes(32), 0
    for number, row in enumerate(rows(database, "SELECT * FROM audit_checkpoints ORDER BY number"), start=1):
        assert bytes(row.digest) == digests[row.sequence]
        document = {
            "number": number,
            "id": str(UUID(str(row.id))),
            "sequence": row.sequence,
            "digest": bytes(row.digest).hex(),
            "previous": previous.hex(),
            "signed_at": _moment(row.signed_at),
            "key_id": bytes(row.key_id).hex(),
        }
        signed = b"etymon audit checkpoint v1\n" + _canonical(document)
        public_key.verify(bytes(row.signature), signed, ec.ECDSA(hashes.SHA256()))
        previous, covered = hashlib.sha256(signed).digest(), row.sequence
    assert covered == max(digests)


def _canonical(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _moment(kept: str | datetime) -> str:
    """Return a time as the chain writes it; SQLite keeps text in UTC, PostgreSQL a time with its zone."""
    moment = datetime.fromisoformat(kept) if isinstance(kept, str) else kept
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
