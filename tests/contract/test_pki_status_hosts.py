# SPDX-License-Identifier: Apache-2.0
"""Status hosts in trouble: they cost few threads, a bounded time, and no second wait; and they come back."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from structlog.testing import capture_logs

from etymon.kernel.entropy import SystemEntropy
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.pki.status import CRLCache, HTTPStatusSource, StatusKind
from etymon.pki.status_hosts import MOST_AT_A_DESK, MOST_AT_ONCE, Patience, StatusHosts
from support import declared_pki, patience
from support.declared_pki import Certified
from support.silent_host import SilentHost, silent_host

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOREVER = 1000.0
PEOPLE = 60
SHORT = Patience(question=0.3, validation=FOREVER, slow=0, silence=10)


class Monotonic:
    """A monotonic clock that a test turns, and that may go on by itself whenever it is read."""

    def __init__(self, step: float = 0) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


class ListHost:
    """Somebody's status host: it has the list, and a responder that is stuck until the host closes."""

    def __init__(self, port: int, crl: bytes) -> None:
        self.asked: list[str] = []
        self._closing = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append("GET")
                self.send_response(200)
                self.end_headers()
                self.wfile.write(crl)

            def do_POST(self) -> None:
                host.asked.append("POST")
                host._closing.wait()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def list_host(root: Certified, port: int = 0) -> Iterator[ListHost]:
    host = ListHost(port, root.crl(NOW))
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def root() -> Certified:
    return declared_pki.root(NOW)


def card(root: Certified, *hosts: SilentHost | ListHost) -> Certified:
    """Return a certificate whose status those hosts know."""
    return root.issue(NOW, crl_url=[f"http://{host.address}/root.crl" for host in hosts])


def judged(leaf: Certified, root: Certified, asked: StatusHosts) -> StatusKind | str:
    """Validate a path; return of what kind the evidence was, or the refusal's code."""
    entry = declared_pki.entry(root, status_hosts=("127.0.0.1",))
    source = HTTPStatusSource(entry.status_hosts, asked, SystemEntropy(), CRLCache())
    try:
        return validate(leaf.certificate, entry, at=NOW, status=source).evidence[0].kind
    except NotTrusted as refusal:
        return refusal.code


def waiting(answers: Sequence[Future[StatusKind | str]]) -> int:
    return sum(not answer.done() for answer in answers)


def test_a_silent_host_holds_few_people_and_the_others_are_told_at_once(root: Certified) -> None:
    asked = StatusHosts(Patience(question=FOREVER, validation=FOREVER))
    with ThreadPoolExecutor(PEOPLE) as people, silent_host() as host:
        leaf = card(root, host)
        answers = [people.submit(judged, leaf, root, asked) for _ in range(PEOPLE)]
        patience.until(lambda: waiting(answers) <= MOST_AT_A_DESK, "all but a few have their answer")
        host.wait_for(MOST_AT_A_DESK)
        assert waiting(answers) == MOST_AT_A_DESK
        with list_host(root) as other:  # whoever has another card comes in meanwhile
            assert judged(card(root, other), root, asked) is StatusKind.CRL
    assert {answer.result() for answer in answers} == {"status_unavailable"}
    assert host.accepted == MOST_AT_A_DESK


def test_all_hosts_together_hold_half_of_the_threads(root: Certified) -> None:
    asked = StatusHosts(Patience(question=FOREVER, validation=FOREVER))
    with ThreadPoolExecutor(PEOPLE) as people, ExitStack() as stack:
        hosts = [stack.enter_context(silent_host()) for _ in range(5)]
        leaves = [card(root, host) for host in hosts]
        answers = [people.submit(judged, leaves[number % 5], root, asked) for number in range(PEOPLE)]
        patience.until(lambda: waiting(answers) <= MOST_AT_ONCE, "all but half have their answer")
        patience.until(lambda: sum(host.accepted for host in hosts) == MOST_AT_ONCE, "half are asking")
        assert waiting(answers) == MOST_AT_ONCE


def test_a_silent_host_is_not_asked_again_until_one_question_has_gone_to_see(root: Certified) -> None:
    monotonic = Monotonic()
    asked = StatusHosts(SHORT, monotonic=monotonic)
    with silent_host() as host:
        port, leaf = int(host.address.partition(":")[2]), card(root, host)
        with capture_logs() as logs:
            assert [judged(leaf, root, asked) for _ in range(3)] == ["status_unavailable"] * 3
        host.wait_for(1)
        assert host.accepted == 1
        assert [(one["event"], one["host"], one["kind"]) for one in logs] == [
            ("status_host_silent", host.address, "crl")
        ]
        monotonic.now += 10
        assert [judged(leaf, root, asked) for _ in range(3)] == ["status_unavailable"] * 3
        host.wait_for(2)
        assert host.accepted == 2
    with list_host(root, port) as back:
        assert judged(leaf, root, asked) == "status_unavailable"  # nobody has seen yet that it is back
        assert back.asked == []
        monotonic.now += 10
        with capture_logs() as logs:
            assert [judged(leaf, root, asked) for _ in range(3)] == [StatusKind.CRL] * 3
        assert [one["event"] for one in logs] == ["status_host_answers_again"]


def test_a_host_that_refuses_at_once_is_asked_each_time(root: Certified) -> None:
    asked = StatusHosts(monotonic=Monotonic())
    with silent_host() as gone:
        port, leaf = int(gone.address.partition(":")[2]), card(root, gone)
    assert [judged(leaf, root, asked) for _ in range(3)] == ["status_unavailable"] * 3
    with list_host(root, port):
        assert judged(leaf, root, asked) is StatusKind.CRL


def test_a_stuck_responder_does_not_take_the_list_beside_it_away(root: Certified) -> None:
    asked = StatusHosts(SHORT, monotonic=Monotonic())
    with list_host(root) as host:
        address = f"http://{host.address}"
        leaf = root.issue(NOW, ocsp_url=f"{address}/ocsp", crl_url=f"{address}/root.crl")
        assert [judged(leaf, root, asked) for _ in range(3)] == [StatusKind.CRL] * 3
        assert host.asked == ["POST", "GET", "GET", "GET"]


def test_one_validation_asks_no_more_once_its_time_is_over(root: Certified) -> None:
    asked = StatusHosts(Patience(question=0.2), monotonic=Monotonic(step=6))
    with silent_host() as first, silent_host() as second, silent_host() as third:
        assert judged(card(root, first, second, third), root, asked) == "status_unavailable"
        first.wait_for(1)
        assert (first.accepted, second.accepted, third.accepted) == (1, 0, 0)


@pytest.mark.parametrize("endless", [b"HTTP/1.1 200 OK\r\nX-More: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_goes_on_for_ever_ends_with_its_time(endless: bytes, root: Certified) -> None:
    asked = StatusHosts(SHORT, monotonic=Monotonic())
    with silent_host(endless=endless) as host:
        leaf = card(root, host)
        assert [judged(leaf, root, asked) for _ in range(3)] == ["status_unavailable"] * 3
        assert host.accepted == 1


def test_a_host_that_got_what_time_others_had_left_is_asked_by_the_next() -> None:
    """Otherwise a silent host would have the ones beside it refused as well, at which people do get an answer."""
    asked = StatusHosts(Patience(question=FOREVER, slow=0, silence=10), monotonic=Monotonic())
    with silent_host() as late:
        for number in (1, 2):
            assert asked.fetch(f"http://{late.address}/root.crl", 100, until=0.2) is None
            late.wait_for(number)
