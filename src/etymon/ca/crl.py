# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists: full, complete, numbered without a gap, made when due or when something was revoked.

An authority counts the changes of its certificates' status and a list says how many it covers, so that a revocation
that commits while a list is being made is never taken for covered. A worker makes the lists; whoever asks for one gets
the last.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
import structlog
from cryptography import x509

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact
from etymon.ca import crl_lints, issuance, publication, status_store
from etymon.ca.authorities import AUTHORITY_PROFILES
from etymon.ca.crl_lints import LintedList
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import Authority
from etymon.ca.refusals import noted
from etymon.kernel.errors import Unavailable
from etymon.pki.signer import Signer, signed
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.storage.jobs import Job
from etymon.wire import crl as codec

log = structlog.get_logger("etymon.ca")

ONLINE_AGE: Final = timedelta(hours=17, minutes=30)
ONLINE_LIFETIME: Final = timedelta(hours=48)
"""An authority that issues to subscribers makes a list every 18 hours, valid for 48 at most (CP 4.9.7).

The half hour is for a worker that was just being started again.
"""

OFFLINE_AGE: Final = timedelta(days=35)
OFFLINE_LIFETIME: Final = timedelta(days=37)
"""The same for one that certifies authorities only, whose key is elsewhere most of the time."""

BYTES_A_SECOND: Final = 100_000
"""How much of list an authority publishes at most: a list of 4 MB, a hundred thousand entries, every 40 seconds.

However many certificates are revoked in a row, the lists between them take a few hundredths of a processor.
"""

LAPSES_WITHIN: Final = timedelta(hours=24)
"""A list that ends so soon should have been replaced long ago: online ones are, when they have 30 hours to go."""


@dataclass(frozen=True, slots=True)
class ListHead:
    """What there is to know of a published list but its bytes. It covers so many of the authority's changes."""

    ca: str
    number: int
    covers: int
    this_update: datetime
    next_update: datetime
    size_bytes: int
    changes: int
    offline: bool

    def is_due(self, now: datetime) -> bool:
        """Say whether another list has to be made: after a change of status, or because this one is old enough."""
        return self.covers < self.changes or now - self.this_update >= (OFFLINE_AGE if self.offline else ONLINE_AGE)

    def is_about_to_lapse(self, now: datetime) -> bool:
        """Say whether relying parties will soon be without a list."""
        return self.next_update - now < LAPSES_WITHIN


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A published list: DER, number, times, and how many of the authority's changes it covers."""

    ca: str
    number: int
    covers: int
    this_update: datetime
    next_update: datetime
    der: bytes


def head(tx: Transaction, ca: str) -> ListHead:
    """Return the head of an authority's last list.

    Raises `NotFound` for an unknown authority, and `Unavailable` where no list was ever made.
    """
    row = status_store.list_head(tx, ca)
    if row is None:
        raise _missing(tx, ca)
    return _head(row)


def heads(tx: Transaction) -> tuple[ListHead, ...]:
    """Return the heads of all authorities' lists."""
    return tuple(map(_head, status_store.list_heads(tx)))


def current(deps: Dependencies, ca: str) -> RevocationList:
    """Return the last list that an authority published; raises like `head`."""
    with deps.database.snapshot() as tx:
        last = find(tx, ca)
        if last is None:
            raise _missing(tx, ca)
    return last


def refresh(deps: Dependencies, ca: str) -> RevocationList:
    """Return an authority's list, a new one where it is due.

    Raises `NotFound`, and `Unavailable` while the authority's key is not here.
    """
    while True:
        with deps.database.snapshot() as tx:
            row = status_store.list_head(tx, ca)
            last = None if row is None or _head(row).is_due(deps.clock.now()) else find(tx, ca)
        found = last or publish(deps, ca)
        if found is not None:
            return found


def publish_asked(deps: Dependencies, job: Job) -> None:
    """Do the job `ca.publish_crl`; it waits while a long list would follow the one before too soon."""
    until = refresh_in_turn(deps, str(job.payload["ca"]))
    with deps.database.transaction() as tx:
        if until is None:
            jobs.complete(tx, job)
        else:
            jobs.defer(tx, job, until)


def refresh_in_turn(deps: Dependencies, ca: str) -> datetime | None:
    """Make an authority's list where it is due and its turn has come; return when to look again, None if all is said.

    How soon its turn comes is a matter of its length and of `BYTES_A_SECOND`.
    """
    with deps.database.snapshot() as tx:
        last = head(tx, ca)
    now = deps.clock.now()
    if not last.is_due(now):
        return None
    turn = last.this_update + timedelta(seconds=last.size_bytes // BYTES_A_SECOND)
    if now < turn:
        return turn
    refresh(deps, ca)
    return None


def publish(deps: Dependencies, ca: str) -> RevocationList | None:
    """Make and store the next list; None if somebody else was faster, whose list may or may not cover as much."""
    now = deps.clock.now().replace(microsecond=0)
    with deps.database.snapshot() as tx:
        authority = issuance.find_authority(tx, ca)
        last = status_store.list_head(tx, ca)
        listed = status_store.listed(tx, ca, last.this_update if last else None)
        entries = codec.encode_entries(codec.RevokedEntry(*item) for item in listed)
    previous = last.number if last else 0
    number = previous + 1
    next_update = now + (OFFLINE_LIFETIME if _is_offline(authority.profiles) else ONLINE_LIFETIME)
    unsigned = RevocationList(ca, number, authority.revocations, now, next_update, b"")
    with noted(deps, actor=ca, subject=f"crl:{ca}:{number}"):
        made = replace(unsigned, der=_signed_list(deps.signer(ca), authority, unsigned, entries, previous))
    with deps.database.transaction() as tx:
        if not status_store.replace_list(
            tx,
            ca,
            after=last.number if last else None,
            covers=made.covers,
            this_update=now,
            next_update=next_update,
            der=made.der,
        ):
            return None
        facts: dict[str, Fact] = {"number": number, "entries": entries.count, "next_update": next_update.isoformat()}
        trail.record(tx, deps.clock, deps.entropy, AuditEvent("ca:crl:published", ca, ca, facts=facts))
    try:
        publication.write_list(deps, ca)
    except OSError as error:  # the list is published by the status listener; the worker tries to write it again
        log.warning("list_not_written", ca=ca, reason=error.strerror)
    return made


def find(tx: Transaction, ca: str) -> RevocationList | None:
    """Return the last list an authority published."""
    row = status_store.current_list(tx, ca)
    if row is None:
        return None
    return RevocationList(row.ca, row.number, row.covers, row.this_update, row.next_update, row.der)


def _missing(tx: Transaction, ca: str) -> Unavailable:
    issuance.find_authority(tx, ca)
    return Unavailable("list_missing", f"The authority {ca} has no revocation list yet. Run the worker.")


def _head(row: sa.Row[Any]) -> ListHead:
    return ListHead(
        row.ca,
        row.number,
        row.covers,
        row.this_update,
        row.next_update,
        row.size_bytes,
        row.revocations,
        _is_offline(frozenset(row.profiles)),
    )


def _is_offline(profiles: frozenset[str]) -> bool:
    return profiles <= AUTHORITY_PROFILES


def _signed_list(
    signer: Signer, authority: Authority, made: RevocationList, entries: codec.EncodedEntries, previous: int
) -> bytes:
    certificate = authority.certificate
    top = codec.ListHead(
        algorithm=signer.algorithm.identifier(),
        issuer=certificate.subject.public_bytes(),
        authority_key_identifier=certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
        number=made.number,
        this_update=made.this_update,
        next_update=made.next_update,
    )
    tbs = codec.encode_tbs(top, entries)
    lifetime = OFFLINE_LIFETIME if _is_offline(authority.profiles) else ONLINE_LIFETIME
    drafted = crl_lints.drafted(tbs, top.algorithm)
    crl_lints.require_clean(LintedList(tbs, drafted, certificate, lifetime, previous_number=previous))
    encoded = signed(signer, tbs)
    written = x509.load_der_x509_crl(encoded)
    if not written.is_signature_valid(certificate.public_key()) or len(written) != entries.count:  # type: ignore[arg-type]  # authorities have RSA or EC keys
        raise Unavailable("signature_failed", "The revocation list does not verify under the authority's certificate.")
    return encoded
