# SPDX-License-Identifier: Apache-2.0
"""Random walks through approval and derivation, two acts at a time: whatever is tried, the promises hold."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.directory.model import Role
from etymon.issuer import approval, follow_ups, holds, incidents
from etymon.issuer.incidents import Suspect
from etymon.issuer.model import (
    CREDENTIAL_MOVES,
    DERIVATION_MOVES,
    Approval,
    CardSession,
    CredentialState,
    DerivationState,
    EndReason,
    Purpose,
)
from etymon.issuer.officers import Order
from etymon.issuer.request import REQUEST_MOVES, DerivationRequest, RequestState
from etymon.issuer.tables import credentials, derivations, requests
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from support import seen_moves
from support.applicants import Applicant, approve, somebody
from support.clock import TurnedClock
from support.databases import ENGINES, Databases
from support.issuer_rekey import Holder
from support.issuer_site import PC, IssuerSite, Link

CONFIRMED = {"confirmed", "issuing", "completed"}
MOVES = {
    requests: {one.value: {to.value for to in moves} for one, moves in REQUEST_MOVES.items()},
    derivations: {one.value: {to.value for to in moves} for one, moves in DERIVATION_MOVES.items()},
    credentials: {one.value: {to.value for to in moves} for one, moves in CREDENTIAL_MOVES.items()},
}
ALLOWED = {table.name: moves for table, moves in MOVES.items()}
RULE = {"approval": Approval.SECOND_PERSON, "purposes": (Purpose.AUTHENTICATION,), "lifetime": timedelta(days=3)}


@pytest.fixture(scope="module", params=ENGINES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all walks on an engine; each walk has a person of its own."""
    databases: Databases = request.getfixturevalue(f"{request.param}_databases")
    database = databases.migrated()
    found = IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("walks"))
    seen_moves.watch(database, MOVES)  # afterwards: what a site begins with may be the pages of a database before it
    yield found
    database.close()


class Walk:
    """One person, and everything that may be tried by or for them."""

    def __init__(self, site: IssuerSite) -> None:
        self.site = site
        site.turn(minutes=1)
        site.save_rule(**RULE)
        self.applicant: Applicant = somebody(site, role=Role.OFFICER)
        self.request: DerivationRequest | None = None
        self.session: CardSession = self.applicant.session()
        self.phone = site.phone()
        self.link: Link | None = None
        self.holder: Holder | None = None
        self.decided: set[str] = set()
        self.began = site.clock.now()
        self.states: dict[sa.Table, dict[object, str]] = {}
        self.acts: Mapping[str, Callable[[], object]] = {
            "request": self._request,
            "approve": lambda: self._decided("approved", lambda asked: approve(site, asked)),
            "approve own": lambda: self._decided("own", lambda asked: approve(site, asked, self.applicant.person)),
            "refuse": lambda: self._decided(
                "refused", lambda asked: approval.refuse(site.deps, asked.id, "No.", officer=site.officer.id)
            ),
            "present": self._present,
            "derive": self._derive,
            "enroll": self._enroll,
            "rekey": lambda: self.holder and self.holder.take(),
            "end": self._end,
            "hold": lambda: self.link and holds.hold_own(site.deps, self.session, self._id(self.link), source=PC),
            "restore": lambda: self.link and holds.restore_own(site.deps, self.session, self._id(self.link), source=PC),
            "officer holds": lambda: self.link and holds.hold(site.deps, self._id(self.link), self._held()),
            "officer restores": lambda: self.link and holds.restore(site.deps, self._id(self.link), self._held()),
            "end overdue": lambda: holds.end_overdue(site.deps),
            "officer ends all": lambda: incidents.end_all(site.deps, self.applicant.person.id, self._order()),
            "suspect": lambda: incidents.end_authorized(
                site.deps, Suspect(self.began, officer=site.officer.id), self._order()
            ),
            "wait": lambda: site.turn(minutes=6),
            "wait days": lambda: site.turn(days=2),
            "wait months": lambda: site.turn(days=91),
            "change the rule": lambda: site.save_rule(**RULE, most_derivations=2),
            "sweep": lambda: follow_ups.sweep(site.deps),
            "work": site.work,
        }

    def try_(self, act: str) -> None:
        with contextlib.suppress(EtymonError):
            self.acts[act]()

    def look(self) -> None:
        """Check that every single move was one of the model, and what the person has."""
        for name, before, after in seen_moves.seen(self.site.database):
            assert after in ALLOWED[name][before], (name, before, after)
        with self.site.database.snapshot() as tx:
            for table in MOVES:
                mine = sa.select(table.c.id, table.c.state).where(table.c.person_id == self.applicant.person.id)
                self.states[table] = {row.id: row.state for row in tx.execute(mine)}
            kept = tx.execute(
                sa.select(derivations.c.state, derivations.c.confirmed_at, requests.c.state.label("request"))
                .join(requests, requests.c.id == derivations.c.request_id, isouter=True)
                .where(derivations.c.person_id == self.applicant.person.id)
            ).all()
        confirmed = [row for row in kept if row.confirmed_at is not None]
        used = [state for state in self.states[requests].values() if state == RequestState.USED.value]
        assert len(confirmed) == len(used)  # each phone took an approval of its own
        assert all(row.request == RequestState.USED.value for row in confirmed)
        assert all(row.confirmed_at is not None for row in kept if row.state in CONFIRMED)
        assert not self.states[derivations] or "approved" in self.decided
        assert "own" not in self.decided
        live = [state for state in self.states[credentials].values() if state != CredentialState.ENDED.value]
        assert not live or CONFIRMED & set(self.states[derivations].values())
        waiting = [state for state in self.states[requests].values() if state in ("requested", "approved")]
        assert len(waiting) <= 2  # one under each rule that ever was in force here

    def _order(self) -> Order:
        return Order(self.site.officer.id, EndReason.PRIVILEGE_WITHDRAWN, "Suspected.")

    def _held(self) -> holds.Order:
        return holds.Order(self.site.officer.id, "Seen with a passport.")

    def _id(self, link: Link) -> UUID:
        return link.begun.derivation.id

    def _request(self) -> None:
        self.request = approval.ask(self.site.deps, self.session, source="192.0.2.1")

    def _decided(self, name: str, act: Callable[[DerivationRequest], object]) -> None:
        if self.request is not None:
            act(self.request)
            self.decided.add(name)

    def _present(self) -> None:
        self.session = self.applicant.session()

    def _derive(self) -> None:
        begun, phone = self.site.begin(self.session), self.site.phone()
        self.site.redeem(phone, begun)
        self.site.confirm(self.session, begun, phone)
        authorized = self.site.authorization(phone, begun)
        assert authorized is not None
        self.link = Link(self.site, phone, self.session, begun, authorized)

    def _end(self) -> None:
        if self.link is not None:
            self.site.end_own(self.link.begun)

    def _enroll(self) -> None:
        if self.link is not None:
            self.holder = Holder(self.link, {Purpose.AUTHENTICATION: self.link.enroll().certificate})


ACTS = (
    "request", "approve", "approve own", "refuse", "present", "derive", "enroll", "rekey", "end", "officer ends all",
    "suspect", "hold", "restore", "officer holds", "officer restores", "end overdue", "wait", "wait days",
    "wait months", "change the rule", "sweep", "work",
)  # fmt: skip
USUAL = [("request", "request"), ("approve", "approve own"), ("derive", "derive")]
"""Half of the walks begin as they should, or few would come far."""


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([[], USUAL]), st.lists(st.tuples(*[st.sampled_from(ACTS)] * 2), max_size=8))
def test_whatever_is_tried_at_once_the_promises_hold(
    site: IssuerSite, start: list[tuple[str, str]], steps: list[tuple[str, str]]
) -> None:
    walk = Walk(site)
    with ThreadPoolExecutor(2) as pool:
        for both in [*start, *steps]:
            list(pool.map(walk.try_, both))
            walk.look()


def test_the_walks_reach_a_rekeyed_credential(site: IssuerSite) -> None:
    walk = Walk(site)
    for act in ("request", "approve", "present", "derive", "enroll", "wait days", "rekey"):
        walk.try_(act)
        walk.look()
    assert list(walk.states[derivations].values()) == [DerivationState.COMPLETED.value]
    assert len(walk.states[credentials]) == 2
    moved = seen_moves.seen(site.database)
    assert {("issuer_requests", "requested", "approved"), ("issuer_credentials", "planned", "active")} <= moved
