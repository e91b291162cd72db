# SPDX-License-Identifier: Apache-2.0
"""Asking issuers for status over HTTP: only named hosts, bounded, OCSP before CRL, and no answer means no."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.x509 import OCSPNonce, ocsp

from etymon.kernel.entropy import SystemEntropy
from etymon.pki import status
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.pki.status import CRLCache, HTTPStatusSource, StatusEvidence, StatusKind
from etymon.pki.status_hosts import StatusHosts
from support import declared_pki
from support.declared_pki import Certified

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Answer = Callable[[bytes], tuple[int, bytes]]


def _missing(_: bytes) -> tuple[int, bytes]:
    return 404, b""


class StatusHost:
    """Somebody else's status server: answers what a test sets, and remembers who asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve(b"")

            def do_POST(self) -> None:
                self._serve(self.rfile.read(int(self.headers["Content-Length"])))

            def _serve(self, body: bytes) -> None:
                host.asked.append(f"{self.command} {self.path}")
                code, answer = host.answers.get(self.path, _missing)(body)
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", f"{host.url}/moved")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def host() -> Iterator[StatusHost]:
    found = StatusHost()
    yield found
    found.close()


@pytest.fixture
def root() -> Certified:
    return declared_pki.root(NOW)


class Asking:
    """What a process keeps, and one question."""

    def __init__(self, root: Certified, *hosts: str) -> None:
        self._root = root
        self._hosts = frozenset(hosts)
        self._asked, self._cache = StatusHosts(), CRLCache()

    def __call__(self, leaf: Certified, *, at: datetime = NOW) -> StatusEvidence:
        source = HTTPStatusSource(self._hosts, self._asked, SystemEntropy(), self._cache)
        return source.status(leaf.certificate, self._root.certificate, at=at)

    def code(self, leaf: Certified, *, at: datetime = NOW) -> str:
        with pytest.raises(NotTrusted) as caught:
            self(leaf, at=at)
        return caught.value.code


@pytest.fixture
def asking(root: Certified, host: StatusHost) -> Asking:
    return Asking(root, host.address)


@pytest.fixture
def leaf(root: Certified, host: StatusHost) -> Certified:
    return root.issue(NOW, ocsp_url=f"{host.url}/ocsp", crl_url=f"{host.url}/a.crl")


def answering(root: Certified, leaf: Certified, state: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD) -> Answer:
    """Answer like a responder: with the nonce of the request."""

    def answer(body: bytes) -> tuple[int, bytes]:
        request = ocsp.load_der_ocsp_request(body)
        nonce = next(iter(request.extensions)).value
        assert isinstance(nonce, OCSPNonce)
        return 200, root.ocsp_answer(leaf.certificate, NOW, status=state, nonce=nonce.nonce)

    return answer


def test_ocsp_is_asked_first_and_its_answer_kept(
    host: StatusHost, asking: Asking, root: Certified, leaf: Certified
) -> None:
    host.answers["/ocsp"] = answering(root, leaf)
    evidence = asking(leaf)
    assert (evidence.kind, evidence.url) == (StatusKind.OCSP, f"{host.url}/ocsp")
    assert ocsp.load_der_ocsp_response(evidence.der).serial_number == leaf.certificate.serial_number
    assert host.asked == ["POST /ocsp"]


@pytest.mark.parametrize("state", [ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN])
def test_an_authoritative_no_is_not_asked_about_again(
    state: ocsp.OCSPCertStatus, host: StatusHost, asking: Asking, root: Certified, leaf: Certified
) -> None:
    code = "revoked_by_ocsp" if state is ocsp.OCSPCertStatus.REVOKED else "status_unavailable"
    host.answers["/ocsp"] = answering(root, leaf, state)
    host.answers["/a.crl"] = lambda _: (200, root.crl(NOW))
    assert asking.code(leaf) == code
    assert host.asked == ["POST /ocsp"]


@pytest.mark.parametrize("answer", [(500, b""), (200, b"nonsense"), (302, b""), (200, b""), (200, b"x" * 100_001)])
def test_the_list_decides_where_the_responder_fails(
    answer: tuple[int, bytes], host: StatusHost, asking: Asking, root: Certified, leaf: Certified
) -> None:
    host.answers["/ocsp"] = lambda _: answer
    host.answers["/a.crl"] = lambda _: (200, root.crl(NOW))
    assert asking(leaf).kind is StatusKind.CRL
    assert host.asked == ["POST /ocsp", "GET /a.crl"]  # a redirection is not followed
    host.answers["/a.crl"] = lambda _: (200, root.crl(NOW + timedelta(days=1), leaf.certificate))
    assert asking.code(leaf, at=NOW + timedelta(days=1)) == "revoked_by_crl"


def test_a_list_is_fetched_once_until_the_next_is_due(
    host: StatusHost, asking: Asking, root: Certified, leaf: Certified
) -> None:
    host.answers["/a.crl"] = lambda _: (200, root.crl(NOW))
    for _ in range(3):
        asking(leaf)
    assert host.asked.count("GET /a.crl") == 1
    host.answers["/a.crl"] = lambda _: (200, root.crl(NOW + timedelta(days=1)))
    asking(leaf, at=NOW + timedelta(days=1))
    assert host.asked.count("GET /a.crl") == 2


def test_nobody_answering_means_no(host: StatusHost, asking: Asking, leaf: Certified) -> None:
    assert asking.code(leaf) == "status_unavailable"
    assert host.asked == ["POST /ocsp", "GET /a.crl"]


def test_a_list_that_is_too_large_is_not_read_to_its_end(host: StatusHost, asking: Asking, leaf: Certified) -> None:
    host.answers["/a.crl"] = lambda _: (200, bytes(status.CRL_LIMIT_BYTES + 1))
    assert asking.code(leaf) == "status_unavailable"


@pytest.mark.parametrize("named", [(), ("status.example",), ("127.0.0.1:1",), ("127.0.0.1.example",)])
def test_a_host_the_entry_does_not_name_is_never_contacted(
    named: tuple[str, ...], host: StatusHost, root: Certified, leaf: Certified
) -> None:
    host.answers["/ocsp"] = answering(root, leaf)
    asking = Asking(root, *named)
    assert asking.code(leaf) == "status_unavailable"
    assert host.asked == []


def test_a_host_may_be_named_without_its_port(host: StatusHost, root: Certified, leaf: Certified) -> None:
    host.answers["/ocsp"] = answering(root, leaf)
    asking = Asking(root, "127.0.0.1")
    assert asking(leaf).kind is StatusKind.OCSP


@pytest.mark.parametrize(
    "url",
    ["ldap://{host}/x", "file:///etc/passwd", "http://user:word@{host}/ocsp", "http://{host}:x/", "//{host}/ocsp"],
)
def test_an_address_of_another_form_is_not_contacted(
    url: str, host: StatusHost, asking: Asking, root: Certified
) -> None:
    leaf = root.issue(NOW, ocsp_url=url.format(host=host.address))
    assert asking.code(leaf) == "status_unavailable"
    assert host.asked == []


def test_a_certificate_without_addresses_has_no_status(asking: Asking, root: Certified) -> None:
    assert asking.code(root.issue(NOW)) == "status_unavailable"


def test_a_path_is_validated_with_the_evidence_of_every_step(host: StatusHost, root: Certified) -> None:
    issuer = root.issue(NOW, "CA", authority=True, crl_url=f"{host.url}/root.crl")
    leaf = issuer.issue(NOW, ocsp_url=f"{host.url}/ocsp")
    host.answers["/root.crl"] = lambda _: (200, root.crl(NOW))
    host.answers["/ocsp"] = answering(issuer, leaf)
    entry = declared_pki.entry(root, issuer, status_hosts=(host.address,))
    asked = StatusHosts()
    source = HTTPStatusSource(entry.status_hosts, asked, SystemEntropy(), CRLCache())
    path = validate(leaf.certificate, entry, at=NOW, status=source)
    assert [evidence.kind for evidence in path.evidence] == [StatusKind.OCSP, StatusKind.CRL]
    host.answers["/root.crl"] = lambda _: (200, root.crl(NOW, issuer.certificate))
    fresh = HTTPStatusSource(entry.status_hosts, asked, SystemEntropy(), CRLCache())
    with pytest.raises(NotTrusted) as caught:
        validate(leaf.certificate, entry, at=NOW, status=fresh)
    assert caught.value.code == "revoked_by_crl"
