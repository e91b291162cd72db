# SPDX-License-Identifier: Apache-2.0
"""The audit trail on both engines: recorded with its change, chained in order, signed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from etymon.audit import sealer, store, trail
from etymon.audit.errors import NotSealed
from etymon.audit.examination import Report
from etymon.audit.model import AuditEvent, Outcome
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.storage.database import Database
from support.audit_office import BrokenSigner, Office
from support.clock import TurnedClock


class Halt(Exception):
    """What a use case raises halfway."""


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
