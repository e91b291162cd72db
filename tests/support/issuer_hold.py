# SPDX-License-Identifier: Apache-2.0
"""A phone that is set up, and the ways to hold, restore and end what it has."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from etymon.ca import certificates
from etymon.ca.model import CertificateRecord
from etymon.directory import bindings
from etymon.issuer import follow_ups, holds, incidents, officers
from etymon.issuer.derived_identifier import identifier_of
from etymon.issuer.holds import Order
from etymon.issuer.model import Credential, CredentialState, EndReason, Purpose
from etymon.issuer.store import credentials
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from support.applicants import Applicant, somebody
from support.clock import TurnedClock
from support.issuer_rekey import Holder
from support.issuer_site import PC, IssuerSite

LIFETIME = timedelta(days=90)
RULE = {"purposes": (Purpose.AUTHENTICATION, Purpose.SIGNATURE), "lifetime": LIFETIME, "most_derivations": 9}
A, H, E = CredentialState.ACTIVE, CredentialState.HELD, CredentialState.ENDED


BOTH = pytest.mark.parametrize(
    "site", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))], indirect=True
)
"""For what the database guards or finds; the rest asks nothing of an engine that these do not."""


def hold_site(request: pytest.FixtureRequest, directory: Path) -> Iterator[IssuerSite]:
    """Lend a site of the engine that a test asks for."""
    databases = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_databases")
    database = databases.migrated()
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), directory)
    site.save_rule(**RULE)
    yield site
    databases.drop(database)


def refused(kind: type[EtymonError], code: str, act: Callable[[], object]) -> None:
    """See an act refused."""
    with pytest.raises(kind) as found:
        act()
    assert found.value.code == code


def together(*acts: Callable[[], object]) -> list[str]:
    """Do six things at once; return how each went."""
    gate = threading.Barrier(6)

    def run(act: Callable[[], object]) -> str:
        gate.wait(timeout=30)
        try:
            act()
        except EtymonError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(6) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, act) for act in acts]]


class HoldablePhone(Holder):
    """A phone with its certificate for sign-in, its person, and who holds and restores."""

    def __init__(self, site: IssuerSite, person: Applicant | None = None) -> None:
        self.person = person or somebody(site)
        super().__init__(self.person.derived())
        site.turn(minutes=20)  # the set-up is over
        follow_ups.sweep(site.deps)
        self.held[Purpose.AUTHENTICATION] = self.first
        site.mail()

    @property
    def id(self) -> UUID:
        return self.link.begun.derivation.id

    def hold(self) -> None:
        holds.hold(self.site.deps, self.id, order(self.site))

    def restore(self) -> None:
        holds.restore(self.site.deps, self.id, order(self.site, "Showed a passport at the desk."))

    def hold_own(self) -> None:
        holds.hold_own(self.site.deps, self.person.session(), self.id, source=PC)

    def restore_own(self) -> None:
        holds.restore_own(self.site.deps, self.person.session(), self.id, source=PC)

    def end(self) -> None:
        incidents.end_one(
            self.site.deps, self.id, officers.Order(self.site.officer.id, EndReason.KEY_COMPROMISE, "Copied.")
        )

    def kept(self) -> tuple[Credential, ...]:
        with self.site.database.snapshot() as tx:
            found = credentials.of_derivation(tx, self.id)
        return tuple(sorted(found, key=lambda credential: credential.planned_at))

    def states(self) -> list[CredentialState]:
        return [credential.state for credential in self.kept()]

    def certificate(self) -> CertificateRecord:
        """Return how the first certificate stands with the authority."""
        with self.site.database.snapshot() as tx:
            found = certificates.find(tx, self.kept()[0].certificate)
        assert found is not None
        return found

    def is_bound(self) -> bool:
        """Say whether the newest certificate stands for anybody."""
        with self.site.database.snapshot() as tx:
            identifier = identifier_of(tx, self.kept()[-1].certificate)
            return bindings.person_for(tx, "derived", identifier) is not None


def order(site: IssuerSite, comment: str = "The phone was seen elsewhere.") -> Order:
    return Order(site.officer.id, comment, "192.0.2.1")
