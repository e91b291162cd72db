# SPDX-License-Identifier: Apache-2.0
"""Random walks through a device authorization agree, step by step, with a small model of RFC 8628 §3.5."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etymon.audit.refusals import Refusals
from etymon.directory import bindings
from etymon.directory.model import Person
from etymon.idp import accounts, clients, device_authorization, tokens, undo
from etymon.idp.dependencies import Dependencies
from etymon.idp.model import (
    ACR_CARD,
    DEVICE_MOVES,
    PROOF_MOVES,
    Client,
    DeviceAuthorizationKind,
    DeviceState,
    ProofState,
    ProvenCertificate,
    Purpose,
)
from etymon.idp.signing_keys import SigningKey
from etymon.idp.store.proofs import ProofTable
from etymon.kernel.entropy import SystemEntropy, random_id
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import DigestKey, Secret
from etymon.storage.database import Database
from etymon.web.branding import Branding
from etymon.web.certificate_proof import ProofRequest
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.declared_pki import AllGood
from support.directory_site import ADMINISTRATOR, DirectorySite
from support.idp_site import signing_pem

CLIENT: Final = Client("tool", "Tool", device_authorization=DeviceAuthorizationKind.OPEN)
SIGNING: Final = SigningKey.from_pem(Secret(signing_pem()))
BROWSER: Final = "browser"
START: Final = datetime(2026, 11, 23, tzinfo=UTC)

MOVES: Final = st.sampled_from(
    [
        "poll",
        "type",
        "approve",
        "poll",
        "type",
        "approve",
        "type elsewhere",
        "deny",
        "undo",
        "end account",
        1,
        5,
        10,
        60,
        299,
        300,
    ]
)
"""What leads somewhere comes up more often."""


@dataclass
class Model:
    """What ought to be."""

    state: DeviceState = DeviceState.PENDING
    typed_in: str | None = None
    now: datetime = START
    next_poll: datetime = START
    interval: timedelta = timedelta(seconds=5)
    account: bool = True

    @property
    def late(self) -> bool:
        return self.now >= START + timedelta(minutes=5)

    def wait(self, time: timedelta) -> None:
        self.now += time

    def poll(self) -> str:
        if self.state in {DeviceState.USED, DeviceState.ENDED}:
            return "invalid_grant"
        if self.state is DeviceState.DENIED:
            return "access_denied"
        if self.late:
            return "expired_token"
        if self.state is DeviceState.APPROVED:
            self.state = DeviceState.USED
            return "token" if self.account else "invalid_grant"
        if self.now >= self.next_poll:
            self.next_poll = self.now + self.interval
            return "authorization_pending"
        self.interval += timedelta(seconds=5)
        self.next_poll = self.now + self.interval
        return "slow_down"

    def type(self, browser: str) -> str:
        if self.state is not DeviceState.PENDING or self.late:
            return "user_code_unknown"
        self.typed_in = browser
        return "found"

    def decide(self, to: DeviceState) -> str:
        if self.typed_in != BROWSER:
            return "user_code_unknown"
        if self.state is not DeviceState.PENDING or self.late:
            return "device_not_waiting"
        if not self.account:
            return "proof_not_valid"
        self.state = to
        return to.value

    def undo(self) -> str:
        if self.state is DeviceState.PENDING:
            return "undo_unknown"
        if self.state in {DeviceState.APPROVED, DeviceState.USED}:
            self.state = DeviceState.ENDED
            return "undone"
        return "nothing"

    def end_account(self) -> None:
        self.account = False
        if self.state in {DeviceState.APPROVED, DeviceState.USED}:
            self.state = DeviceState.ENDED


@dataclass
class Real:
    """What is."""

    database: Database
    clock: TurnedClock = field(default_factory=lambda: TurnedClock(START))

    def __post_init__(self) -> None:
        self.entropy = SystemEntropy()
        self.directory = DirectorySite(self.database, self.clock, self.entropy)
        self.active = True
        self.alice: Person = self.directory.person()
        self.directory.trust("cards")
        self.deps = Dependencies(
            database=self.database,
            clock=self.clock,
            entropy=self.entropy,
            refusals=Refusals(self.database, self.clock, self.entropy),
            digest_key=DigestKey(Secret(bytes(32))),
            site_url="https://idp.test",
            certauth_url="https://idp.test:8444",
            branding=Branding("Agency"),
            signing_key=SIGNING,
            status_of=lambda _: AllGood(),
        )
        with self.database.transaction() as tx:
            clients.register(tx, self.deps, CLIENT, actor=ADMINISTRATOR)
            bindings.bind(
                tx,
                self.deps,
                trust_entry="cards",
                identifier="alice",
                person_id=self.alice.id,
                actor=ADMINISTRATOR,
            )
            self.started = device_authorization.begin(tx, self.deps, CLIENT, "openid", device=None, source="")

    def wait(self, time: timedelta) -> None:
        self.clock.advance(time)

    def poll(self) -> str:
        with self.database.transaction() as tx:
            try:
                answer = device_authorization.exchange(tx, self.deps, CLIENT, self.started.device_code)
            except EtymonError as refusal:
                return refusal.code
        assert isinstance(answer, tokens.Tokens)
        return "token"

    def type(self, browser: str) -> str:
        try:
            with self.database.transaction() as tx:
                device_authorization.enter(tx, self.deps, self.started.user_code.reveal(), browser=browser)
        except EtymonError as refusal:
            return refusal.code
        return "found"

    def decide(self, to: DeviceState) -> str:
        id_ = self.started.authorization.id
        proof = self.prove(f"{Purpose.APPROVAL.value}:{id_}")
        approve = to is DeviceState.APPROVED
        try:
            with self.database.transaction() as tx:
                device_authorization.decide(tx, self.deps, id_, proof, approve=approve, browser=BROWSER, source="")
        except EtymonError as refusal:
            return refusal.code
        return to.value

    def prove(self, purpose: str) -> UUID:
        now = self.clock.now()
        cookie, code, id_ = self.entropy.octets(32), self.entropy.octets(32), random_id(self.entropy)
        proven = ProvenCertificate(ACR_CARD, "cards", "alice", self.alice.id, now, {"certificates": []})
        with self.database.transaction() as tx:
            table = ProofTable(tx, BROWSER)
            table.add(ProofRequest(id_, purpose, cookie, "/", "/", (), now + timedelta(minutes=5)))
            assert table.accept(id_, code_digest=code, code_expires_at=now + timedelta(minutes=1), proof=proven)
            assert table.redeem(code, cookie, now) is not None
        return id_

    def undo(self) -> str:
        try:
            with self.database.transaction() as tx:
                return "undone" if undo.undo(tx, self.deps, self.started.authorization.undo_id) else "nothing"
        except EtymonError as refusal:
            return refusal.code

    def end_account(self) -> None:
        if self.active:
            self.directory.end_account(self.alice)
        self.active = False
        accounts.account_ended(self.deps, self.alice.id)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVES, max_size=14))
def test_every_walk_through_a_device_authorization_agrees_with_the_model(
    sqlite_databases: SQLiteDatabases, moves: list[str | int]
) -> None:
    real, model = Real(sqlite_databases.migrated()), Model()
    answers = [(made(real, move), made(model, move)) for move in moves]
    real.database.close()

    assert [answer for answer, _ in answers] == [expected for _, expected in answers]
    assert sum(answer == "token" for answer, _ in answers) <= 1


def made(side: Real | Model, move: str | int) -> str | None:
    """Make a move and return what came of it."""
    match move:
        case int():
            side.wait(timedelta(seconds=move))
        case "poll":
            return side.poll()
        case "type":
            return side.type(BROWSER)
        case "type elsewhere":
            return side.type("elsewhere")
        case "approve" | "deny":
            return side.decide(DeviceState.APPROVED if move == "approve" else DeviceState.DENIED)
        case "undo":
            return side.undo()
        case "end account":
            side.end_account()
    return None


@pytest.mark.parametrize("moves", [DEVICE_MOVES, PROOF_MOVES])
def test_every_state_says_where_it_leads(moves: dict[DeviceState | ProofState, frozenset[DeviceState]]) -> None:
    states = type(next(iter(moves)))
    assert set(moves) == set(states)
    reachable = {state for after in moves.values() for state in after}
    assert reachable | {next(iter(states))} == set(states)


def test_nothing_leads_back_to_pending_and_the_end_is_the_end() -> None:
    assert not any(DeviceState.PENDING in after for after in DEVICE_MOVES.values())
    for over in (DeviceState.DENIED, DeviceState.SUPERSEDED, DeviceState.ENDED):
        assert DEVICE_MOVES[over] == frozenset()
