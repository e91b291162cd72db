# SPDX-License-Identifier: Apache-2.0
"""A clock that was set leaves an event: forwards, backwards, and while nothing ran."""

from datetime import timedelta

import pytest

from etymon.audit import trail
from etymon.audit.clock_watch import ClockWatch
from etymon.audit.model import RecordedEvent
from etymon.kernel.entropy import Entropy
from etymon.storage.database import Database
from support.clock import TurnedClock


class Machine:
    """Its time that nobody can set, and its clock."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy) -> None:
        self.database, self.clock, self.entropy, self.seconds = database, clock, entropy, 1000.0
        self.watch = self.booted()

    def booted(self) -> ClockWatch:
        return ClockWatch(self.database, self.clock, self.entropy, lambda: self.seconds, "host.example")

    def passes(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(timedelta(seconds=seconds))

    def steps(self) -> list[RecordedEvent]:
        with self.database.snapshot() as tx:
            return trail.page(tx, name="audit:clock:stepped")


@pytest.fixture
def machine(database: Database, clock: TurnedClock, entropy: Entropy) -> Machine:
    return Machine(database, clock, entropy)


@pytest.mark.parametrize("seconds", [-3600, -1.5, 1.5, 86_400])
def test_a_step_of_the_clock_is_recorded_once_with_its_size(machine: Machine, seconds: float) -> None:
    machine.watch.look()
    machine.passes(2)
    machine.clock.advance(timedelta(seconds=seconds))
    machine.watch.look()
    machine.passes(2)
    machine.watch.look()
    (recorded,) = machine.steps()
    assert (recorded.event.facts["seconds"], recorded.event.source) == (seconds, "host.example")


def test_time_that_passes_is_no_step_however_long_nobody_looked(machine: Machine) -> None:
    for seconds in (2, 2.9, 40 * 86_400):
        machine.watch.look()
        machine.passes(seconds)
        machine.clock.advance(timedelta(milliseconds=400))  # what a time service may slew
    machine.watch.look()
    assert machine.steps() == []


def test_a_clock_that_was_set_back_while_nothing_ran_is_recorded_at_the_start(machine: Machine) -> None:
    machine.clock.advance(timedelta(hours=1))
    machine.watch.look()
    machine.clock.advance(timedelta(hours=1))
    machine.watch.look()
    machine.clock.advance(timedelta(hours=-5))
    assert machine.booted().look() == timedelta(hours=-5)
    assert machine.steps()[-1].event.facts["seconds"] == -5 * 3600


def test_a_pause_between_two_readings_is_no_step(database: Database, clock: TurnedClock, entropy: Entropy) -> None:
    readings = iter([10.0, 10.0, 12.0, 17.0, 17.0, 17.0])  # the second look is interrupted for five seconds
    watch = ClockWatch(database, clock, entropy, lambda: next(readings), "host.example")
    watch.look()
    clock.advance(timedelta(seconds=7))
    assert watch.look() == timedelta(0)
