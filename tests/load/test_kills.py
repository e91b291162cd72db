# SPDX-License-Identifier: Apache-2.0
"""Killing the server at any moment loses nothing that was answered and issues nothing twice (design, rule 4).

The server is a process of its own, worker and listeners; it dies by SIGKILL at points that a seed chose: before and
after every commit and every signature on a request's way, before, in and after its answer, in the worker, while it
starts, and from outside at any time. Every request is asked again, and then everything that is kept is judged.
"""

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from cryptography import x509

from etymon.audit import verification
from etymon.issuer.model import Purpose
from etymon.pki.certificate import thumbprint
from etymon.server.demo.peers import mail_server
from support import killed_records
from support.databases import Databases
from support.killed_certificates import refused_by_openssl
from support.killed_journey import Journey, Operation, Story, invalidation
from support.killed_organization import PASSPHRASE, Organization, reserved_ports
from support.killed_process import OUTSIDE, killed_process
from support.killed_requests import Crowd, Killings, tell

SEED: Final = 20261123

WORKER_POINTS: Final = tuple(
    f"{who}:{what}:{moment}"
    for who, what in (
        ("claim", "commit"),
        ("worker", "sign derived"),  # a job publishes the CRL, or a duty that was faster
        ("job", "commit"),
        ("duty", "commit"),
    )
    for moment in ("before", "after")
)

SILENT_POINTS: Final = ("commit 1:before", "commit 1:after", "commit 2:before", "commit 2:after")

CROWD: Final = 3
LONGEST_LIFE_SECONDS: Final = 0.4
LEFT_BEHIND_SECONDS: Final = 290
"""With the seconds that pass in the test, enough for a worker to take over what was left behind (five minutes); no
more than certificates are backdated, so that the machine's clock takes the server's certificate."""
FINISH_LIMIT_SECONDS: Final = 60


@dataclass(frozen=True)
class Extent:
    """How many kills of each kind."""

    seeded: int
    worker_rounds: int
    silent: int
    from_outside: int


EXTENTS: Final = {"sqlite": Extent(175, 2, 12, 20), "postgresql": Extent(24, 1, 3, 6)}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    if engine == "sqlite":
        yield ""
        return
    databases: Databases = request.getfixturevalue("postgresql_databases")
    lent = databases.empty()
    yield lent.engine.url.render_as_string(hide_password=False)
    databases.drop(lent)


@pytest.fixture
def killings(database_url: str, tmp_path: Path) -> Iterator[Killings]:
    domains = frozenset({"agency.example"})
    with mail_server.serving(tmp_path / "mail", domains=domains) as mail, reserved_ports() as ports:
        organization = Organization.found(tmp_path, ports, database_url=database_url, mail_port=mail.port)
        with killed_process(tmp_path / "data", PASSPHRASE, tmp_path / "errors.log") as process:
            yield Killings(process, organization, random.Random(SEED))
        organization.close()


@pytest.mark.serial
@pytest.mark.needs("openssl")
def test_no_kill_loses_what_was_answered_or_issues_anything_twice(
    killings: Killings, engine: str, tmp_path: Path
) -> None:
    extent = EXTENTS[engine]
    ended = learn_the_ways(killings)
    for point, _ in enumerate(killings.ways["start"], start=1):
        killings.kill_starting(point)
    ended |= kill_on_the_way(killings, extent.seeded)
    ended |= kill_the_worker(killings, extent.worker_rounds)
    left = kill_and_never_ask_again(killings, extent.silent)
    kill_from_outside(killings, extent.from_outside)
    finish(killings, left)
    judge(killings, ended, tmp_path)
    if engine == "sqlite":
        require_every_kind_of_point(killings)
        assert killings.hit.total() >= 200


@dataclass(frozen=True)
class LeftBehind:
    """A request whose server was killed and which nobody asked again."""

    story: Story
    operation: Operation
    planned: bool


# ---- the kills


def learn_the_ways(killings: Killings) -> set[int]:
    """Go through everything once undisturbed; return the serial numbers of what was ended."""
    killings.learn_start()
    journey = Journey(killings.organization, "first")
    tell(journey.story(), killings.learn)
    with killings.organization.manager() as manager:
        killings.learn(end_device(manager, journey))
    return serials(journey)


def kill_on_the_way(killings: Killings, enough: int) -> set[int]:
    """Kill the server on the first way of every request until there were enough kills."""
    ended: set[int] = set()
    for number in itertools.count():
        if killings.hit.total() >= enough:
            return ended
        journey = Journey(killings.organization, f"walker{number}")
        tell(journey.story(), killings.carry_out)
        with killings.organization.manager() as manager:
            killings.carry_out(end_device(manager, journey))
        ended |= serials(journey)
    raise AssertionError


def kill_and_never_ask_again(killings: Killings, phones: int) -> list[LeftBehind]:
    """Kill the server on the way of requests whose phones then are silent."""
    left: list[LeftBehind] = []
    every = list(itertools.product(("enrollment", *Purpose), SILENT_POINTS))
    for name, point in killings.chance.sample(every, phones):
        story = Journey(killings.organization, f"silent{len(left)}").story()
        operation = next(story)
        while operation.name != name:
            operation = story.send(killings.learn(operation))
        killings.interrupt(operation, killings.ways[name].index(point) + 1)
        planned = killed_records.is_planned(killings.database, operation.request_key)
        assert planned is (point != "commit 1:before")
        left.append(LeftBehind(story, operation, planned))
        killings.start_again()
    return left


def kill_the_worker(killings: Killings, rounds: int) -> set[int]:
    """End credentials one at a time, and kill the worker at what follows from it."""
    ended: set[int] = set()
    committed = killings.ways["invalidation"].index("commit 1:after") + 1
    waiting: list[tuple[str, int]] = []
    for number, point in enumerate(WORKER_POINTS * rounds):
        if not waiting:
            journey = Journey(killings.organization, f"worker{number}")
            tell(journey.story(), killings.learn)
            waiting = credentials(killings, journey)
        credential, serial = waiting.pop()
        with killings.organization.manager() as manager:
            order = invalidation(manager, {"credential": credential})
            first = killings.interrupt(order, committed)
            killings.kill_worker(point)
            killings.start_again()
            killings.ask_again(order, first, None)
        ended.add(serial)
    return ended


def kill_from_outside(killings: Killings, enough: int) -> None:
    """Kill the server at any time while several phones ask at once."""
    crowd, finished = Crowd(killings), threading.Event()

    def phone(number: int) -> None:
        for attempt in itertools.count():
            if finished.is_set():
                return
            tell(Journey(killings.organization, f"crowd{number}x{attempt}").story(), crowd.carry_out)

    with ThreadPoolExecutor(CROWD) as threads:
        phones = [threads.submit(phone, number) for number in range(CROWD)]
        crowd.serving.set()
        try:
            for _ in range(enough):
                finished.wait(killings.chance.uniform(0, LONGEST_LIFE_SECONDS))
                crowd.serving.clear()
                killings.process.kill()
                killings.process.start()
                crowd.serving.set()
        finally:
            finished.set()
        for each in phones:
            each.result()
    assert killings.process.deaths[OUTSIDE] >= enough


def finish(killings: Killings, left: "Sequence[LeftBehind]") -> None:
    """Let the time pass after which a worker takes over; then the silent phones ask again after all."""
    killings.process.kill()
    killings.process.ahead_seconds = LEFT_BEHIND_SECONDS
    assert killings.process.start()
    wait_until_finished(killings)
    for each in left:
        kept = killed_records.certificate_kept(killings.database, each.operation.request_key)
        assert (kept is not None) is each.planned
        killings.ask_again(each.operation, None, kept)
    wait_until_finished(killings)


def wait_until_finished(killings: Killings) -> None:
    until, pause = time.monotonic() + FINISH_LIMIT_SECONDS, threading.Event()
    while not killed_records.is_finished(killings.database):
        assert time.monotonic() < until, killed_records.unfinished(killings.database)
        pause.wait(0.1)


# ---- the judgement


def require_every_kind_of_point(killings: Killings) -> None:
    expected = {f"{name} {point}" for name, way in killings.ways.items() if name != "start" for point in way}
    expected |= {f"start:{point}" for point in killings.ways["start"]}
    assert expected - set(killings.hit) == set()


def judge(killings: Killings, ended: set[int], directory: Path) -> None:
    """Hold everything that is kept against what was answered, with outside judges where there are any."""
    database, organization = killings.database, killings.organization
    lists = {
        ca: http_get(f"{organization.deployment.settings.status_url}/crl/{ca}.crl") for ca in ("derived", "device")
    }
    wait_until_finished(killings)
    killings.process.kill()
    made = killed_records.certificates(database)
    for request_key, certificate in killings.answered.items():
        assert made[request_key] == certificate
    revoked: set[int] = set()
    for ca, revocations in lists.items():
        mine = [each for key, each in made.items() if key.startswith("enrollment:") is (ca == "device")]
        revoked |= refused_by_openssl(
            organization.chain(ca), revocations, mine, directory, at=time.time() + LEFT_BEHIND_SECONDS + 60
        )
    assert revoked == ended
    assert {entry.serial_number for each in lists.values() for entry in x509.load_der_x509_crl(each)} == ended
    killed_records.require_wholeness(database)
    killed_records.require_events_match_rows(database)
    events = killed_records.require_chain(database, organization.seal_key)
    report = verification.verify(database, organization.seal_key)
    assert (report.is_intact, report.events, report.signed_sequence) == (True, events, events), report.findings


def end_device(manager: httpx.Client, journey: Journey) -> Operation:
    return invalidation(manager, {"device": thumbprint(journey.device).hex()})


def serials(journey: Journey) -> set[int]:
    return {certificate.serial_number for certificate in journey.credentials.values()}


def credentials(killings: Killings, journey: Journey) -> list[tuple[str, int]]:
    """Return the ids and serial numbers of a device's credentials as the endpoint manager sees them."""
    with killings.organization.manager() as manager:
        query = {"device": thumbprint(journey.device).hex()}
        answer = manager.get("/issuer/management/v1/credentials", params=query)
    found = [(each["credential"], int(each["serialNumber"], 16)) for each in answer.json()["credentials"]]
    assert {serial for _, serial in found} == serials(journey)
    return found


def http_get(address: str) -> bytes:
    answer = httpx.get(address, trust_env=False)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.content
