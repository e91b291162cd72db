# SPDX-License-Identifier: Apache-2.0
"""Moves of derivations and credentials are guarded by the database itself: of two from one state one happens."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etymon.issuer.model import Credential, CredentialState, Derivation, DerivationState, EndReason, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict
from etymon.storage.database import Database, Transaction
from support.clock import TurnedClock
from support.issuer_site import IssuerSite


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def ended(site: IssuerSite, tx: Transaction, credential: Credential, reason: EndReason) -> bool:
    values = derivations.ended_values(reason, site.clock.now())
    return credentials.move(tx, credential, CredentialState.ENDED, values)


def moved(tx: Transaction, derivation: Derivation, to: DerivationState) -> bool:
    try:
        derivations.move(tx, derivation, to)
    except Conflict:
        return False
    return True


def test_a_derivation_that_moved_meanwhile_is_not_moved(site: IssuerSite) -> None:
    stale = site.begin(site.present_card()).derivation
    with site.database.transaction() as tx:
        assert moved(tx, stale, DerivationState.DENIED)
    with site.database.transaction() as tx:
        assert not moved(tx, stale, DerivationState.EXPIRED)
        kept = derivations.find(tx, stale.id)
        assert kept is not None
        assert kept.state is DerivationState.DENIED


def test_a_move_that_the_model_does_not_have_is_not_made(site: IssuerSite) -> None:
    fresh = site.begin(site.present_card()).derivation
    with site.database.transaction() as tx:
        assert not moved(tx, fresh, DerivationState.COMPLETED)


def test_a_credential_that_moved_meanwhile_is_not_moved(site: IssuerSite) -> None:
    stale = issued(site)
    with site.database.transaction() as tx:
        assert ended(site, tx, stale, EndReason.KEY_COMPROMISE)
    with site.database.transaction() as tx:
        assert not ended(site, tx, stale, EndReason.SUPERSEDED)
        kept = credentials.find(tx, stale.id)
        assert kept is not None
        assert kept.end_reason is EndReason.KEY_COMPROMISE


def test_of_two_moves_at_once_that_nothing_else_keeps_apart_one_happens(site: IssuerSite) -> None:
    """Both have read the same state, and no row is locked: each has only its own statement."""
    site.save_rule(most_derivations=2)
    credential, derivation = issued(site), site.begin(site.present_card()).derivation
    together = threading.Barrier(2)

    def move(to: tuple[EndReason, DerivationState]) -> tuple[bool, bool]:
        together.wait(30)
        with site.database.transaction() as tx:
            return ended(site, tx, credential, to[0]), moved(tx, derivation, to[1])

    ends = [(EndReason.KEY_COMPROMISE, DerivationState.DENIED), (EndReason.SUPERSEDED, DerivationState.EXPIRED)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(move, ends))
    assert sorted(done) == [(False, False), (True, True)]


def issued(site: IssuerSite) -> Credential:
    link = site.linked()
    link.enroll(Purpose.AUTHENTICATION)
    return site.credentials(link.begun)[Purpose.AUTHENTICATION]
