# SPDX-License-Identifier: Apache-2.0
"""The audit trail on both engines: recorded with its change, chained in order, signed, and every tampering found."""

import base64
import hashlib
import json
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.audit import chain, export, sealer, store, trail
from etymon.audit.errors import NotSealed, TrailDamaged
from etymon.audit.examination import Fault, Report
from etymon.audit.model import AuditEvent, Checkpoint, Outcome
from etymon.audit.verification import verify, verify_export
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import DecodeError, Unavailable
from etymon.pki.algorithms import PublicKey, SignatureAlgorithm
from etymon.pki.signer import SoftwareSigner
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.tampering import tamper


class Halt(Exception):
    """What a use case raises halfway."""


class BrokenSigner:
    """A signing key that cannot be reached."""

    def __init__(self, working: SoftwareSigner) -> None:
        self.public_key: PublicKey = working.public_key
        self.algorithm: SignatureAlgorithm = working.algorithm

    def sign(self, tbs: bytes) -> bytes:  # noqa: ARG002 - the seam's signature
        raise Unavailable("key_unavailable", "The signing key does not answer.")


class Office:
    """A database whose acts are recorded and sealed."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy) -> None:
        self.database, self.clock, self.entropy = database, clock, entropy
        self.signer = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))

    def record(self, count: int = 1, **facts: str | int) -> None:
        for number in range(count):
            self.clock.advance(timedelta(milliseconds=1))
            with self.database.transaction() as tx:
                done = AuditEvent("issuer:derivation:approved", "person:officer", f"derivation:{number}", facts=facts)
                trail.record(tx, self.clock, self.entropy, done)

    def seal(self) -> int:
        return sealer.seal(self.database, self.clock, self.entropy, self.signer)

    def verify(self, known: Checkpoint | None = None) -> Report:
        return verify(self.database, self.signer.public_key, known=known)

    def faults(self) -> set[tuple[Fault, int | None]]:
        return {(finding.fault, finding.sequence) for finding in self.verify().findings}

    def require_live(self) -> None:
        with self.database.snapshot() as tx:
            sealer.require_live(tx, self.clock)

    def last_checkpoint(self) -> Checkpoint:
        with self.database.snapshot() as tx:
            found = store.last_checkpoint(tx)
        assert found is not None
        return found


@pytest.fixture
def office(database: Database, clock: TurnedClock, entropy: Entropy) -> Office:
    return Office(database, clock, entropy)


@pytest.fixture
def sealed(office: Office) -> Office:
    """Ten events under two checkpoints: after the fifth and after the tenth."""
    for _ in range(2):
        office.record(5)
        office.seal()
    return office


def test_events_are_chained_in_the_order_of_their_times_and_signed(office: Office) -> None:
    office.record(3, serial_number="0a")
    assert office.seal() == 3
    report = office.verify()
    assert report == Report(events=3, checkpoints=1, signed_sequence=3, findings=())
    with office.database.snapshot() as tx:
        subjects = [entry.recorded.event.subject for entry in store.sealed(tx, 1, 3) if entry.recorded]
    assert subjects == ["derivation:0", "derivation:1", "derivation:2"]


def test_an_event_goes_with_the_transaction_of_its_change(office: Office) -> None:
    with pytest.raises(Halt), office.database.transaction() as tx:  # noqa: PT012 - the whole unit of work is the act
        trail.record(tx, office.clock, office.entropy, AuditEvent("ca:certificate:issued", "a", "b"))
        raise Halt
    assert office.seal() == 0
    assert office.verify().events == 0


def test_sealing_twice_seals_once(office: Office) -> None:
    office.record(2)
    assert (office.seal(), office.seal()) == (2, 0)
    assert office.verify().checkpoints == 1


def test_a_long_backlog_is_sealed_in_one_call(office: Office) -> None:
    with office.database.transaction() as tx:
        for number in range(sealer.BATCH + 7):
            trail.record(tx, office.clock, office.entropy, AuditEvent("mdm:device:checked_in", "d", f"d:{number}"))
    assert office.seal() == sealer.BATCH + 7
    assert office.verify() == Report(sealer.BATCH + 7, 2, sealer.BATCH + 7, ())


def test_writers_and_sealers_at_once_leave_one_unbroken_chain(office: Office) -> None:
    together = threading.Barrier(5)

    def write(number: int) -> None:
        together.wait()
        for _ in range(8):
            with office.database.transaction() as tx:
                done = AuditEvent("idp:session:started", f"person:{number}", "session")
                trail.record(tx, office.clock, office.entropy, done)

    def keep_sealing(_: int) -> None:
        together.wait()
        for _ in range(8):
            office.seal()

    with ThreadPoolExecutor(5) as people:
        acts: list[Callable[[int], None]] = [write, write, write, keep_sealing, keep_sealing]
        for done in [people.submit(act, number) for number, act in enumerate(acts)]:
            done.result()
    office.seal()
    office.seal()
    report = office.verify()
    assert (report.events, report.signed_sequence, report.findings) == (24, 24, ())


def test_a_recorder_does_not_wait_for_another(office: Office) -> None:
    """Only on PostgreSQL: SQLite lets one writer in at a time, whatever it writes."""
    if office.database.dialect == "sqlite":
        office.record(2)
        assert office.seal() == 2
        return
    event = AuditEvent("idp:session:started", "person:1", "session")

    def record_beside() -> None:
        with office.database.transaction() as second:
            second.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
            trail.record(second, office.clock, office.entropy, event)

    with ThreadPoolExecutor(1) as beside, office.database.transaction() as first:
        trail.record(first, office.clock, office.entropy, event)
        beside.submit(record_beside).result()
        assert beside.submit(office.seal).result() == 1  # and the sealer waits for nobody either
    assert office.seal() == 1
    assert office.verify().is_intact


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET actor = 'person:other' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET facts = '{\"forged\":1}' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET outcome = 'failure' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET recorded_at = '2020-01-01 00:00:00.000000' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET source = '192.0.2.1' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET name = 'issuer:derivation:denied' WHERE subject = 'derivation:2'",
    ],
)
def test_an_edited_event_is_found(sealed: Office, change: str) -> None:
    tamper(sealed.database, change)
    assert sealed.faults() == {(Fault.ALTERED, 3), (Fault.ALTERED, 8)}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET facts = 'not json' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET facts = '[1]' WHERE subject = 'derivation:2'",
        "UPDATE audit_events SET actor = '' WHERE subject = 'derivation:2'",
    ],
)
def test_a_row_that_was_never_written_like_this_is_found(sealed: Office, change: str) -> None:
    tamper(sealed.database, change)
    found = sealed.faults()
    assert {(Fault.UNREADABLE, 3), (Fault.UNREADABLE, 8)} <= found
    assert {sequence for _, sequence in found} <= {3, 4, 8, 9}


def test_a_deleted_event_is_found(sealed: Office) -> None:
    tamper(
        sealed.database,
        "DELETE FROM audit_events WHERE id = (SELECT event_id FROM audit_seals WHERE sequence = 4)",
    )
    assert sealed.faults() == {(Fault.MISSING, 4)}


def test_an_event_deleted_with_its_place_is_found(sealed: Office) -> None:
    tamper(
        sealed.database,
        "DELETE FROM audit_events WHERE id = (SELECT event_id FROM audit_seals WHERE sequence = 4)",
        "DELETE FROM audit_seals WHERE sequence = 4",
    )
    assert sealed.faults() == {(Fault.GAP, 5)}


def test_a_place_deleted_without_its_event_is_found(sealed: Office) -> None:
    tamper(sealed.database, "DELETE FROM audit_seals WHERE sequence = 4")
    assert sealed.faults() == {(Fault.GAP, 5), (Fault.ADRIFT, None)}


def test_two_events_that_changed_places_are_found(sealed: Office) -> None:
    tamper(
        sealed.database,
        "UPDATE audit_seals SET sequence = 99 WHERE sequence = 2",
        "UPDATE audit_seals SET sequence = 2 WHERE sequence = 3",
        "UPDATE audit_seals SET sequence = 3 WHERE sequence = 99",
    )
    assert {(Fault.ALTERED, 2), (Fault.ALTERED, 3)} <= sealed.faults()


def test_a_chain_computed_anew_over_an_edited_event_does_not_fit_its_checkpoint(sealed: Office) -> None:
    tamper(sealed.database, "UPDATE audit_events SET actor = 'person:other' WHERE subject = 'derivation:2'")
    with sealed.database.snapshot() as tx:
        places = store.sealed(tx, 1, 10)
    head = chain.START
    for place in places:
        assert place.recorded is not None
        digest = chain.event_digest(head, place.recorded)
        head = replace(head, sequence=place.sequence, digest=digest)
        literal = f"X'{digest.hex()}'" if sealed.database.dialect == "sqlite" else f"decode('{digest.hex()}', 'hex')"
        change = f"UPDATE audit_seals SET digest = {literal} WHERE sequence = {place.sequence}"  # noqa: S608 - the attack
        tamper(sealed.database, change)
    assert sealed.faults() == {(Fault.CHECKPOINT_MISMATCH, 5), (Fault.CHECKPOINT_MISMATCH, 10)}


def test_an_end_cut_off_below_the_last_checkpoint_is_found_and_nothing_is_added(sealed: Office) -> None:
    cut = "DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_seals WHERE sequence > 7)"
    tamper(sealed.database, cut, "DELETE FROM audit_seals WHERE sequence > 7")
    assert sealed.faults() == {(Fault.TRUNCATED, 10)}
    sealed.record()
    with pytest.raises(TrailDamaged):
        sealed.seal()
    sealed.clock.advance(timedelta(seconds=61))
    with pytest.raises(NotSealed):
        sealed.require_live()


def test_an_end_cut_off_with_its_checkpoint_is_found_by_a_checkpoint_kept_elsewhere(sealed: Office) -> None:
    known = sealed.last_checkpoint()
    tamper(
        sealed.database,
        "DELETE FROM audit_checkpoints WHERE sequence > 5",
        "DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_seals WHERE sequence > 5)",
        "DELETE FROM audit_seals WHERE sequence > 5",
    )
    assert sealed.verify().is_intact
    assert [finding.fault for finding in sealed.verify(known).findings] == [Fault.TRUNCATED]
    sealed.record(6)
    sealed.seal()
    assert [finding.fault for finding in sealed.verify(known).findings] == [Fault.CHECKPOINT_MISMATCH]


def test_an_event_slipped_in_beside_the_chain_is_found(sealed: Office) -> None:
    sealed.record()
    tamper(sealed.database, "DELETE FROM audit_pending")
    assert sealed.faults() == {(Fault.ADRIFT, None)}


def test_an_event_deleted_while_it_waits_is_found(sealed: Office) -> None:
    sealed.record()
    tamper(sealed.database, "DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_pending)")
    assert sealed.faults() == {(Fault.ADRIFT, None)}


def test_a_checkpoint_taken_out_is_found(sealed: Office) -> None:
    sealed.record()
    sealed.seal()
    tamper(sealed.database, "DELETE FROM audit_checkpoints WHERE number = 2")
    assert sealed.faults() == {(Fault.CHECKPOINT_GAP, 11)}


def test_a_checkpoint_that_was_changed_is_found(sealed: Office) -> None:
    tamper(sealed.database, "UPDATE audit_checkpoints SET signed_at = '2020-01-01 00:00:00.000000' WHERE number = 2")
    assert sealed.faults() == {(Fault.CHECKPOINT_FORGED, 10)}


def test_a_trail_signed_by_somebody_else_is_found(sealed: Office) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    findings = verify(sealed.database, other).findings
    assert {finding.fault for finding in findings} == {Fault.CHECKPOINT_FORGED}
    assert verify(sealed.database, other, sealed.signer.public_key).is_intact


def test_the_database_refuses_to_change_what_was_recorded(sealed: Office) -> None:
    for change in (
        "UPDATE audit_events SET actor = 'x'",
        "UPDATE audit_seals SET digest = digest",
        "UPDATE audit_checkpoints SET digest = digest",
        "DELETE FROM audit_events",
        "DELETE FROM audit_seals",
        "DELETE FROM audit_checkpoints",
    ):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), sealed.database.transaction() as tx:
            tx.execute(sa.text(change))
    assert sealed.verify().is_intact


def test_a_trail_without_waiting_events_is_live(sealed: Office) -> None:
    sealed.clock.advance(timedelta(days=1))
    sealed.require_live()


def test_an_event_that_waits_more_than_a_minute_stops_issuance_until_it_is_sealed(office: Office) -> None:
    office.record()
    office.clock.advance(timedelta(seconds=60))
    office.require_live()
    office.clock.advance(timedelta(microseconds=1))
    with pytest.raises(NotSealed) as refusal:
        office.require_live()
    assert refusal.value.code == "audit_not_sealed"
    office.seal()
    office.require_live()


def test_a_chain_that_cannot_be_signed_stops_issuance_too(office: Office) -> None:
    office.record()
    with pytest.raises(Unavailable):
        sealer.seal(office.database, office.clock, office.entropy, BrokenSigner(office.signer))
    office.clock.advance(timedelta(seconds=61))
    with pytest.raises(NotSealed):
        office.require_live()
    office.seal()
    office.require_live()
    assert office.verify() == Report(1, 1, 1, ())


def test_an_export_says_what_the_trail_says(sealed: Office) -> None:
    sealed.record()  # not signed yet: left to the next export
    lines = list(export.lines(sealed.database))
    assert len(lines) == 1 + 10 + 2
    assert verify_export(lines, sealed.signer.public_key) == Report(10, 2, 10, ())


def test_an_export_goes_on_where_the_last_one_ended(sealed: Office) -> None:
    known = sealed.last_checkpoint()
    sealed.record(3)
    sealed.seal()
    lines = list(export.lines(sealed.database, after=known))
    assert verify_export(lines, sealed.signer.public_key) == Report(3, 1, 13, ())


def test_an_export_with_an_edited_or_missing_line_is_found(sealed: Office) -> None:
    lines = list(export.lines(sealed.database))
    edited = [line.replace("derivation:2", "derivation:7") for line in lines]
    assert {finding.fault for finding in verify_export(edited, sealed.signer.public_key).findings} == {Fault.ALTERED}
    shorter = lines[:3] + lines[4:]
    assert Fault.GAP in {finding.fault for finding in verify_export(shorter, sealed.signer.public_key).findings}


@pytest.mark.parametrize("line", ["", "{", "[]", "null", '{"event":{}}', '{"start":{}}', '"start"', "[" * 100_000])
def test_a_line_that_is_none_of_an_export_is_refused(line: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(DecodeError):
        verify_export([line], key)


@pytest.mark.needs("openssl")
def test_an_export_is_verified_with_nothing_but_sha_256_and_openssl(sealed: Office, tmp_path: Path) -> None:
    """The rules of the chain are written out again, and OpenSSL checks the signatures."""
    key = tmp_path / "key.pem"
    key.write_bytes(sealed.signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    digest, judged = bytes(32), 0
    for line in list(export.lines(sealed.database))[1:]:
        document = json.loads(line)
        if "event" in document:
            text = json.dumps(document["event"], sort_keys=True, separators=(",", ":")).encode()
            digest = hashlib.sha256(b"etymon audit event v1\n" + digest + text).digest()
            assert digest.hex() == document["digest"]
            continue
        statement = document["checkpoint"]
        (tmp_path / "signature").write_bytes(base64.b64decode(statement.pop("signature")))
        text = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
        (tmp_path / "statement").write_bytes(b"etymon audit checkpoint v1\n" + text)
        assert statement["digest"] == digest.hex()
        command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "statement"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout == "Verified OK\n", done.stderr
        judged += 1
    assert judged == 2


def test_pages_go_back_in_time_without_a_gap_or_a_repetition(office: Office) -> None:
    office.record(7)
    with office.database.transaction() as tx:  # one moment, so that only the id tells them apart
        for _ in range(4):
            failed = AuditEvent("mdm:device:retired", "person:2", "device:1", Outcome.FAILURE)
            trail.record(tx, office.clock, office.entropy, failed)
    seen = []
    with office.database.snapshot() as tx:
        before = None
        while found := trail.page(tx, before=before, limit=3):
            seen += found
            before = (found[-1].recorded_at, found[-1].id)
        assert len({entry.id for entry in seen}) == len(seen) == 11
        assert [entry.recorded_at for entry in seen] == sorted((entry.recorded_at for entry in seen), reverse=True)
        assert len(trail.page(tx, actor="person:2")) == 4
        assert len(trail.page(tx, subject="derivation:3")) == 1
        assert len(trail.page(tx, name="mdm:device:retired", actor="person:officer")) == 0
