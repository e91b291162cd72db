# SPDX-License-Identifier: Apache-2.0
"""Whatever is done to a sealed trail behind its back is found, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.audit import chain, store
from etymon.audit.errors import NotSealed, TrailDamaged
from etymon.audit.examination import Fault
from etymon.audit.verification import verify
from etymon.kernel.entropy import Entropy
from etymon.storage.database import Database
from support.audit_office import Office
from support.clock import TurnedClock
from support.tampering import tamper


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
