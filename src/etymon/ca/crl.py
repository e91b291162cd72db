# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists: full, complete, numbered without a gap, made when due or when something was revoked.

An authority counts its revocations and a list says how many it covers, so that a revocation that commits while a
list is being made is never taken for covered.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact
from etymon.ca import crl_lints, issuance, store
from etymon.ca.authorities import AUTHORITY_PROFILES
from etymon.ca.crl_lints import LintedList
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import Authority
from etymon.ca.refusals import noted
from etymon.kernel.errors import Unavailable
from etymon.pki.signer import Signer, signed
from etymon.storage.database import Transaction
from etymon.wire import crl as codec

ONLINE_AGE: Final = timedelta(hours=18)
ONLINE_LIFETIME: Final = timedelta(hours=48)
"""An authority that issues to subscribers makes a list at most this often apart, valid this long (CP 4.9.7)."""

OFFLINE_AGE: Final = timedelta(days=35)
OFFLINE_LIFETIME: Final = timedelta(days=37)
"""The same for one that certifies authorities only, whose key is elsewhere most of the time."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A published list: DER, number, times, and how many of the authority's revocations it covers."""

    ca: str
    number: int
    covers: int
    this_update: datetime
    next_update: datetime
    der: bytes


def current(deps: Dependencies, ca: str) -> RevocationList:
    """Return an authority's list, a new one where it is due; the last one while the authority's key is not here.

    Raises `NotFound` for an unknown authority and `Unavailable` where no list was ever made.
    """
    try:
        return refresh(deps, ca)
    except Unavailable:
        with deps.database.snapshot() as tx:
            last = find(tx, ca)
        if last is None:
            raise
        return last


def refresh(deps: Dependencies, ca: str) -> RevocationList:
    """Return an authority's list, a new one where it is due; the handler of the job `ca.publish_crl` calls this.

    Raises `Unavailable` while the authority's key is not here, so that the job is tried again.
    """
    while True:
        with deps.database.snapshot() as tx:
            authority = issuance.find_authority(tx, ca)
            last = find(tx, ca)
        if last is not None and not _is_due(authority, last, deps.clock.now()):
            return last
        made = publish(deps, ca)
        if made is not None:
            return made


def publish(deps: Dependencies, ca: str) -> RevocationList | None:
    """Make and store the next list; None if somebody else was faster, whose list may or may not cover as much."""
    now = deps.clock.now().replace(microsecond=0)
    with deps.database.snapshot() as tx:
        authority = issuance.find_authority(tx, ca)
        last = find(tx, ca)
        revoked = store.revoked(tx, ca, last.this_update if last else None)
        entries = sorted((codec.RevokedEntry(*item) for item in revoked), key=lambda entry: entry.serial)
    number = last.number + 1 if last else 1
    next_update = now + (OFFLINE_LIFETIME if _is_offline(authority) else ONLINE_LIFETIME)
    unsigned = RevocationList(ca, number, authority.revocations, now, next_update, b"")
    with noted(deps, actor=ca, subject=f"crl:{ca}:{number}"):
        made = replace(unsigned, der=_signed_list(deps.signer(ca), authority, unsigned, entries))
    with deps.database.transaction() as tx:
        if not store.replace_list(
            tx,
            ca,
            after=last.number if last else None,
            covers=made.covers,
            this_update=now,
            next_update=next_update,
            der=made.der,
        ):
            return None
        facts: dict[str, Fact] = {"number": number, "entries": len(entries), "next_update": next_update.isoformat()}
        trail.record(tx, deps.clock, deps.entropy, AuditEvent("ca:crl:published", ca, ca, facts=facts))
    return made


def find(tx: Transaction, ca: str) -> RevocationList | None:
    """Return the last list an authority published."""
    row = store.current_list(tx, ca)
    if row is None:
        return None
    return RevocationList(row.ca, row.number, row.covers, row.this_update, row.next_update, row.der)


def _is_offline(authority: Authority) -> bool:
    return authority.profiles <= AUTHORITY_PROFILES


def _is_due(authority: Authority, last: RevocationList, now: datetime) -> bool:
    age = OFFLINE_AGE if _is_offline(authority) else ONLINE_AGE
    return last.covers < authority.revocations or now - last.this_update >= age


def _signed_list(
    signer: Signer, authority: Authority, made: RevocationList, entries: list[codec.RevokedEntry]
) -> bytes:
    certificate = authority.certificate
    head = codec.ListHead(
        algorithm=signer.algorithm.identifier(),
        issuer=certificate.subject.public_bytes(),
        authority_key_identifier=certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
        number=made.number,
        this_update=made.this_update,
        next_update=made.next_update,
    )
    tbs = codec.encode_tbs(head, entries)
    lifetime = OFFLINE_LIFETIME if _is_offline(authority) else ONLINE_LIFETIME
    drafted = crl_lints.drafted(tbs, head.algorithm)
    crl_lints.require_clean(LintedList(tbs, drafted, certificate, lifetime, previous_number=made.number - 1))
    encoded = signed(signer, tbs)
    written = x509.load_der_x509_crl(encoded)
    if not written.is_signature_valid(certificate.public_key()) or len(written) != len(entries):  # type: ignore[arg-type]  # authorities have RSA or EC keys
        raise Unavailable("signature_failed", "The revocation list does not verify under the authority's certificate.")
    return encoded
