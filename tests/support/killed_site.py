# SPDX-License-Identifier: Apache-2.0
"""A site that dies at a point that was named beforehand: the whole process, by SIGKILL, in the middle of its work.

Run as a program, this keeps one process with everything imported and the keys unlocked, and forks a server from it for
each order that comes on standard input; a server is started and killed hundreds of times in a test. The points lie in
what the product takes as arguments: the keys that sign, the database's engine, and the application a listener serves.

A request says by the header `Die-At` at the how-manieth point of its own way the process dies; 0 has the points told.
An order names a point of starting by its number, or a point of the worker by its name.
"""

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NoReturn

import sqlalchemy as sa
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etymon.ca.dependencies import Dependencies as AuthorityDependencies
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import PublicKey, SignatureAlgorithm
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.server import config_file, keyring, logs
from etymon.server import deployment as deployments
from etymon.server.deployment import Deployment
from etymon.server.keyring import Keyring
from etymon.server.settings import Settings
from etymon.server.site import Site
from etymon.server.wiring import Wiring
from etymon.storage.database import Database
from etymon.web.listeners import Listeners

DIE_AT: Final = b"die-at"
WORKER_THREADS: Final = {"worker": "claim", "job": "job", "duties": "duty"}
"""First part of a thread's name, up to an underscore, to what its points are called."""


class LateClock:
    """The machine's clock and a span beyond it."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


@dataclass
class Way:
    """What one request, or the start of the process, passes on its way."""

    name: str
    die_at: int
    passed: int = 0
    commits: int = 0


class Points:
    """The places where this process may die."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._way: ContextVar[Way | None] = ContextVar("way", default=None)
        self._worker_point = str(order.get("worker", ""))
        self._way.set(Way("start", int(order.get("start", -1))))

    def started(self) -> None:
        """What follows in this thread is no part of the start."""
        self._way.set(None)

    def commit(self, moment: str) -> None:
        """Pass the commit of a transaction that may write."""
        way = self._way.get()
        if way is not None:
            way.commits += moment == "before"
            self.passed(f"commit {way.commits}:{moment}")
        else:
            self.passed(f"commit:{moment}")

    def passed(self, point: str) -> None:
        """Pass a point, or end there."""
        way = self._way.get()
        if way is not None:
            way.passed += 1
            if way.die_at == way.passed:
                die(f"{way.name}:{point}")
            if way.die_at == 0:
                tell(passed=point)
        elif self._worker_point:
            who = WORKER_THREADS.get(threading.current_thread().name.partition("_")[0])
            if who is not None and self._worker_point in {f"{who}:{point}", f"worker:{point}"}:
                die(self._worker_point)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose answers are points on the way of a request that carries the header."""

        async def dying(scope: Scope, receive: Receive, send: Send) -> None:
            wanted = dict(scope["headers"]).get(DIE_AT)
            if wanted is None:
                await app(scope, receive, send)
                return

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self.passed("answer:before")
                    await send(message)
                    self.passed("answer:begun")
                else:
                    await send(message)
                    self.passed("answer:after")

            self._way.set(Way("request", int(wanted)))
            await app(scope, receive, sending)

        return dying


class DyingSigner:
    """A key at whose use the process may die."""

    def __init__(self, name: str, signer: Signer, points: Points) -> None:
        self._name, self._signer, self._points = name, signer, points

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self._signer.algorithm

    def sign(self, tbs: bytes) -> bytes:
        self._points.passed(f"sign {self._name}:before")
        signature = self._signer.sign(tbs)
        self._points.passed(f"sign {self._name}:after")
        return signature


class DyingSigners(Mapping[str, Signer]):
    """The authorities' keys, each a point."""

    def __init__(self, signers: Mapping[str, Signer], points: Points) -> None:
        self._signers, self._points = signers, points

    def __getitem__(self, name: str) -> Signer:
        return DyingSigner(name, self._signers[name], self._points)

    def __iter__(self) -> Iterator[str]:
        return iter(self._signers)

    def __len__(self) -> int:
        return len(self._signers)


@dataclass(frozen=True)
class DyingDeployment(Deployment):
    """A deployment whose keys are points."""

    points: Points

    @cached_property
    def ca(self) -> AuthorityDependencies:
        plain = super().ca
        return dataclasses.replace(plain, signers=DyingSigners(plain.signers, self.points))

    def signer(self, name: str) -> SoftwareSigner:
        points, plain = self.points, super().signer(name)

        class Dying(SoftwareSigner):
            def sign(self, tbs: bytes) -> bytes:
                return DyingSigner(name, plain, points).sign(tbs)

        return Dying(self.private_key(name))


def die(point: str) -> NoReturn:
    """End the process here and now, as the kernel does it to whoever is out of memory."""
    tell(died=point)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def tell(**what: object) -> None:
    """Tell whoever ordered; one write, so that it is whole."""
    os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


def watch_commits(database: Database, points: Points) -> None:
    """Make each commit two points: before it is asked for, and when the connection is given back after it."""

    def committing(connection: sa.Connection) -> None:
        points.commit("before")
        connection.info["committed"] = True

    def given_back(_connection: object, record: Any) -> None:
        if record.info.pop("committed", False):
            points.commit("after")

    sa.event.listen(database.engine, "commit", committing)
    sa.event.listen(database.engine, "checkin", given_back)


def serve(directory: Path, read: Settings, ring: Keyring, order: Mapping[str, Any]) -> None:
    """Serve, the worker too, until killed."""
    points = Points(order)
    clock = LateClock(timedelta(seconds=order.get("ahead_seconds", 0)))
    database = Database(deployments.database_url(directory, read))
    watch_commits(database, points)
    deployment = DyingDeployment(directory, read, ring, database, clock, SystemEntropy(), points)
    site = Site(Wiring(deployment), with_worker=True)
    plain = site.listeners._listeners  # noqa: SLF001 - the listeners take their applications when they are made
    site.listeners = Listeners(dataclasses.replace(listener, app=points.around(listener.app)) for listener in plain)
    points.started()
    threading.Thread(target=_announce, args=(site,), daemon=True).start()
    site.run()


def _announce(site: Site) -> None:
    while not site.listeners.started:
        time.sleep(0.005)
    tell(up=os.getpid())


def main() -> None:
    """Fork a server for each order until standard input ends; tell how each ended."""
    first = json.loads(sys.stdin.readline())
    directory = Path(first["directory"])
    read = config_file.load(directory)
    ring = keyring.unlock(directory / "keys", Secret(first["passphrase"]), SystemEntropy())
    logs.configure("error")
    for line in sys.stdin:
        server = os.fork()
        if server == 0:
            serve(directory, read, ring, json.loads(line))
            os._exit(0)
        _, status = os.waitpid(server, 0)
        tell(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
