# SPDX-License-Identifier: Apache-2.0
"""A trail that the database does not let be written, on both engines: nothing is done that would not be on record."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from etymon.audit.errors import NotRecorded
from etymon.audit.refusals import ANONYMOUS, Refusals
from etymon.ca import issuance, revocation
from etymon.ca.model import CertificateState, PlannedCertificate, RevocationReason
from etymon.directory import roles
from etymon.directory.model import Role
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotPermitted
from etymon.storage.database import Database
from etymon.storage.schema import metadata
from support.ca_site import CASite
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR, DirectorySite
from support.tampering import refusing_events


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path)


@pytest.fixture
def directory(site: CASite, clock: TurnedClock, entropy: Entropy) -> DirectorySite:
    return DirectorySite(site.deps.database, clock, entropy)


def everything(database: Database) -> dict[str, list[str]]:
    """Return every row of every table."""
    with database.snapshot() as tx:
        return {name: sorted(map(str, tx.execute(sa.select(table)).all())) for name, table in metadata.tables.items()}


def not_done(database: Database, act: Callable[[], object]) -> None:
    """Check that an act is refused while events are, and leaves nothing behind."""
    before = everything(database)
    with refusing_events(database), pytest.raises(NotRecorded) as refusal:
        act()
    assert (refusal.value.code, "nothing was done" in str(refusal.value)) == ("audit_not_recorded", True)
    assert everything(database) == before


def test_no_certificate_is_planned_signed_into_force_or_revoked_without_its_event(site: CASite) -> None:
    database, request = site.deps.database, site.request()

    def plan() -> PlannedCertificate:
        with database.transaction() as tx:
            return issuance.plan(tx, site.deps, request)

    not_done(database, plan)
    planned = plan()
    not_done(database, lambda: issuance.complete(site.deps, planned.id))
    issued = issuance.complete(site.deps, planned.id)

    def revoke() -> None:
        with database.transaction() as tx:
            revocation.revoke(tx, site.deps, issued.id, RevocationReason.KEY_COMPROMISE, actor="officer:7")

    not_done(database, revoke)
    assert issuance.complete(site.deps, planned.id).certificate == issued.certificate, "it is in force as before"
    revoke()
    with database.snapshot() as tx:
        assert issuance.find_record(tx, issued.id).state is CertificateState.REVOKED


def test_no_role_is_given_or_taken_without_its_event(directory: DirectorySite) -> None:
    person, database = directory.person(), directory.database

    def held() -> set[Role]:
        with database.snapshot() as tx:
            return set(roles.roles_of(tx, person.id))

    def give() -> None:
        with database.transaction() as tx:
            roles.assign(tx, directory.deps, person.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")

    def take() -> None:
        with database.transaction() as tx:
            roles.withdraw(tx, directory.deps, person.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")

    not_done(database, give)
    assert held() == set()
    give()
    not_done(database, take)
    assert held() == {Role.OFFICER}


def test_a_refusal_that_cannot_be_recorded_stays_a_refusal(directory: DirectorySite) -> None:
    refusals = Refusals(directory.database, directory.clock, directory.deps.entropy)

    def refuse() -> None:
        with refusals.noted("idp:proof:refused", actor=ANONYMOUS, subject="proof"):
            raise NotPermitted("proof_used", "No.")

    not_done(directory.database, refuse)
