# SPDX-License-Identifier: Apache-2.0
"""Random walks through linking and issuance: whatever is tried in whatever order, the promises hold."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.ca import certificates
from etymon.ca.model import CertificateState
from etymon.issuer import follow_ups, holds
from etymon.issuer.holds import Order
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.linking import Authorized
from etymon.issuer.model import (
    CREDENTIAL_MOVES,
    DERIVATION_MOVES,
    CardSession,
    Credential,
    CredentialState,
    DerivationState,
    EndReason,
    Purpose,
)
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_site import PC, IssuerSite, Link

CONFIRMED = frozenset({DerivationState.CONFIRMED, DerivationState.ISSUING, DerivationState.COMPLETED})


@pytest.fixture(scope="module")
def site(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all walks; each walk is a derivation of its own."""
    database = sqlite_databases.migrated()
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("walks"))
    yield site
    database.close()


class Walk:
    """One derivation, and everything that may be tried with it."""

    def __init__(self, site: IssuerSite) -> None:
        self.site = site
        site.turn(minutes=20)  # what earlier walks left waiting is over
        site.card = site.cards.issue(site.clock.now(), site.alice.display_name, upn=site.alice.user_principal_name)
        self.session: CardSession = site.present_card()
        self.begun: Begun = site.begin(self.session)
        self.phone, self.other = site.phone(), site.phone()
        self.authorized: Authorized | None = None
        self.states = [DerivationState.BEGUN]
        self._order = Order(site.officer.id, "Seen with a passport.")
        self.confirmed = self._waited_long = False
        self.acts: Mapping[str, Callable[[], object]] = {
            "redeem": lambda: site.redeem(self.phone, self.begun),
            "guess": lambda: site.redeem(self.phone, self.begun, secret=Secret(bytes(16))),
            "redeem with another phone": lambda: site.redeem(self.other, self.begun),
            "confirm": self._confirm,
            "deny": lambda: site.deny(self.session, self.begun),
            "ask": self._ask,
            "authenticate": lambda: self._enroll(Purpose.AUTHENTICATION),
            "sign": lambda: self._enroll(Purpose.SIGNATURE),
            "end": lambda: site.end_own(self.begun, EndReason.KEY_COMPROMISE),
            "hold": lambda: holds.hold_own(site.deps, site.present_card(), self.id, source=PC),
            "restore": lambda: holds.restore_own(site.deps, site.present_card(), self.id, source=PC),
            "officer holds": lambda: holds.hold(site.deps, self.id, self._order),
            "officer restores": lambda: holds.restore(site.deps, self.id, self._order),
            "end overdue": lambda: holds.end_overdue(site.deps),
            "wait long": self._wait_long,
            "wait": lambda: site.turn(minutes=6),
            "sweep": lambda: follow_ups.sweep(site.deps),
            "work": site.work,
        }

    @property
    def id(self) -> UUID:
        return self.begun.derivation.id

    def try_(self, act: str) -> None:
        with contextlib.suppress(EtymonError):
            self.acts[act]()
        state = self.site.derivation(self.begun).state
        if state is not self.states[-1]:
            self.states.append(state)

    def _wait_long(self) -> None:
        """Let a hold be over, once a walk: the authorities live on."""
        self.site.turn(days=0 if self._waited_long else 31)
        self._waited_long = True

    def _confirm(self) -> None:
        self.site.confirm(self.session, self.begun, self.phone)
        self.confirmed = True

    def _ask(self) -> None:
        self.authorized = self.site.authorization(self.phone, self.begun)

    def _enroll(self, purpose: Purpose) -> None:
        if self.authorized is not None:
            Link(self.site, self.phone, self.session, self.begun, self.authorized).enroll(purpose)


ACTS = (
    "redeem", "guess", "redeem with another phone", "confirm", "deny", "ask", "authenticate", "sign", "end", "wait",
    "hold", "restore", "officer holds", "officer restores", "end overdue", "wait long", "sweep", "work",
)  # fmt: skip

USUAL = ["redeem", "confirm", "ask"]
ISSUED = [*USUAL, "authenticate", "sign"]
"""Most of the walks begin as they should, or few would come far."""

STANDING = {
    CredentialState.PLANNED: {CertificateState.PLANNED, CertificateState.ISSUED},
    CredentialState.ACTIVE: {CertificateState.ISSUED},
    CredentialState.HELD: {CertificateState.HELD},
    CredentialState.ENDED: {CertificateState.REVOKED, CertificateState.ABANDONED},
}
"""What the authority says of a certificate that stands so with the issuer."""


@settings(max_examples=40)
@given(st.sampled_from([[], USUAL, ISSUED]), st.lists(st.sampled_from(ACTS), max_size=10))
def test_whatever_is_tried_the_promises_hold(site: IssuerSite, start: list[str], acts: list[str]) -> None:
    site.save_rule(purposes=(Purpose.AUTHENTICATION, Purpose.SIGNATURE), most_derivations=100)
    walk, moved = Walk(site), dict[UUID, CredentialState]()
    for act in [*start, *acts]:
        walk.try_(act)
        kept = site.derivation(walk.begun)
        credentials = site.credentials(walk.begun)
        for credential in credentials.values():
            was = moved.get(credential.id, credential.state)
            assert credential.state in {was, *CREDENTIAL_MOVES[was]}  # one act makes one move
            moved[credential.id] = credential.state
            assert certificate_state(site, credential) in STANDING[credential.state]
        assert len({one.state for one in credentials.values()} & {CredentialState.ACTIVE, CredentialState.HELD}) < 2
        # moves are those of the model; two may happen in one act (the last certificate completes)
        for before, after in zip(walk.states, walk.states[1:], strict=False):
            reachable = DERIVATION_MOVES[before]
            assert after in reachable.union(*(DERIVATION_MOVES[state] for state in reachable))
        assert not CONFIRMED & set(walk.states) or walk.confirmed
        assert not credentials or walk.confirmed
        assert kept.link is None or kept.link.key in {walk.phone.spki, walk.other.spki}
        assert kept.wrong_secrets < 5 or kept.state is not DerivationState.BEGUN
        live = {one.purpose for one in credentials.values() if one.state is not CredentialState.ENDED}
        assert not live or kept.state in {DerivationState.ISSUING, DerivationState.COMPLETED}


def certificate_state(site: IssuerSite, credential: Credential) -> CertificateState:
    with site.database.snapshot() as tx:
        found = certificates.find(tx, credential.certificate)
    assert found is not None
    return found.state


def test_the_walks_reach_the_end(site: IssuerSite) -> None:
    site.save_rule(purposes=(Purpose.AUTHENTICATION, Purpose.SIGNATURE), most_derivations=100)
    walk = Walk(site)
    for act in ISSUED:
        walk.try_(act)
    assert walk.states[-1] is DerivationState.COMPLETED
    reached = []
    for act in ("hold", "restore", "officer holds", "restore", "officer restores", "hold", "wait long", "end overdue"):
        walk.try_(act)
        reached.append({one.state.value for one in site.credentials(walk.begun).values()})
    assert reached == [{"held"}, {"active"}, {"held"}, {"held"}, {"active"}, {"held"}, {"held"}, {"ended"}]
