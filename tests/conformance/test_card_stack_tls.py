# SPDX-License-Identifier: Apache-2.0
"""TLS signed by the card, judged by OpenSSL as the server; and what does not leave for a server that is not meant."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.card.card_key import CardKey
from etymon.card.errors import CardNotPermitted, WrongPIN
from etymon.card.external_key import SignatureScheme, SoftwareKey
from etymon.card.server_trust import ServerNotTrusted, ServerTrust, spki_digest
from etymon.card.tls import CardTLSTransport, TLSIdentity, card_identity
from etymon.kernel.clock import SystemClock
from etymon.kernel.secret import Secret
from etymon.wire.piv import Algorithm, KeyReference
from support.card_issuer import PIN, Authority, CardIssuer, IssuedCard, authority, server_certificate
from support.tls_server import TLSServer, server_context, tls_server, write_pem

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
Start = Callable[..., AbstractContextManager[TLSServer]]


@pytest.fixture(scope="module")
def issuer() -> CardIssuer:
    return CardIssuer()


@pytest.fixture(scope="module")
def tls_root() -> Authority:
    return authority("TLS Root")


@pytest.fixture(scope="module")
def tls_ca(tls_root: Authority) -> Authority:
    return authority("TLS CA", tls_root)


@pytest.fixture(scope="module")
def cards(issuer: CardIssuer) -> dict[str, IssuedCard]:
    kinds = {
        "p256": Algorithm.P256,
        "p384": Algorithm.P384,
        "rsa2048": Algorithm.RSA_2048,
        "rsa3072": Algorithm.RSA_3072,
    }
    return {name: issuer.card(algorithms={KeyReference.AUTHENTICATION: kind}) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def client_cas(files: Path, issuer: CardIssuer) -> Path:
    return write_pem(files / "client-ca.pem", [issuer.root.certificate])


@pytest.fixture
def start(files: Path, tls_ca: Authority, client_cas: Path) -> Start:
    """Start a server; without `asks` it wants no client certificate."""

    def started(
        version: str = "1.3",
        *,
        asks: bool = True,
        dns: tuple[str, ...] = ("localhost",),
        body: bytes = b"",
        required: bool = False,
    ) -> AbstractContextManager[TLSServer]:
        leaf, key = server_certificate(tls_ca, dns=dns, addresses=("127.0.0.1",))
        pem = write_pem(files / "server.pem", [leaf, tls_ca.certificate], key)
        context = server_context(pem, client_cas if asks else None, version=VERSIONS[version], required=required)
        return tls_server(socket.create_server(("127.0.0.1", 0)), context, body=body)

    return started


@pytest.fixture
def client(tls_root: Authority, issuer: CardIssuer) -> Callable[..., httpx.Client]:
    def made(card: IssuedCard | None = None, *, identity: TLSIdentity | None = None, **options: int) -> httpx.Client:
        if card:
            identity = card_identity(card.client, (issuer.issuing.certificate,))
        trust = ServerTrust((tls_root.certificate,))
        transport = CardTLSTransport(trust=trust, clock=SystemClock(), identity=identity, **options)
        return httpx.Client(transport=transport, timeout=20)

    return made


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "rsa3072"])
def test_the_card_proves_itself(
    start: Start, client: Callable[..., httpx.Client], cards: dict[str, IssuedCard], kind: str, version: str
) -> None:
    card = cards[kind]
    card.client.verify_pin(PIN)
    with start(version) as server, client(card) as web:
        answer = web.post(f"https://localhost:{server.port}/", content=b"x" * 70_000)
    assert answer.text.splitlines()[0] == f"client: CN=Alice Adams; TLSv{version}; 70000 bytes sent"
    assert server.seen == [card.certificates[KeyReference.AUTHENTICATION]]


def test_each_request_is_proved_anew(
    start: Start, client: Callable[..., httpx.Client], cards: dict[str, IssuedCard]
) -> None:
    card = cards["p256"]
    card.client.verify_pin(PIN)
    with start() as server, client(card) as web:
        assert web.get(f"https://localhost:{server.port}/").status_code == 200
        card.applet.reset()  # the card was pulled and put back: its PIN is gone
        with pytest.raises(CardNotPermitted):
            web.get(f"https://localhost:{server.port}/")
    assert len(server.seen) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_does_not_ask_gets_no_certificate(
    start: Start, client: Callable[..., httpx.Client], cards: dict[str, IssuedCard], version: str
) -> None:
    cards["p256"].applet.reset()  # and no PIN is needed
    with start(version, asks=False) as server, client(cards["p256"]) as web:
        assert "nobody" in web.get(f"https://127.0.0.1:{server.port}/").text


@pytest.mark.parametrize("version", VERSIONS)
def test_without_an_identity_a_server_that_asks_is_told_nobody(
    start: Start, client: Callable[..., httpx.Client], version: str
) -> None:
    with start(version) as server, client() as web:
        assert "nobody" in web.get(f"https://127.0.0.1:{server.port}/").text
    with start(version, required=True) as server, client() as web, pytest.raises(httpx.TransportError):
        web.get(f"https://127.0.0.1:{server.port}/")


def test_a_card_of_another_issuer_is_refused_by_the_server(start: Start, client: Callable[..., httpx.Client]) -> None:
    stranger = CardIssuer().card(algorithms={KeyReference.AUTHENTICATION: Algorithm.P256})
    stranger.client.verify_pin(PIN)
    with start() as server, client(stranger) as web, pytest.raises(httpx.TransportError):
        web.get(f"https://localhost:{server.port}/")
    assert not server.seen


def test_a_key_that_is_not_the_certificates_proves_nothing(
    start: Start, client: Callable[..., httpx.Client], cards: dict[str, IssuedCard]
) -> None:
    certificate = cards["p256"].certificates[KeyReference.AUTHENTICATION]
    forged = TLSIdentity(certificate, SoftwareKey(ec.generate_private_key(ec.SECP256R1())))
    with start() as server, client(identity=forged) as web, pytest.raises(httpx.TransportError):
        web.get(f"https://localhost:{server.port}/")
    assert not server.seen


def test_a_wrong_pin_is_told_as_such(
    start: Start, client: Callable[..., httpx.Client], cards: dict[str, IssuedCard]
) -> None:
    card = cards["p256"]
    key = CardKey(card.client, KeyReference.AUTHENTICATION, pin=Secret("000000"))
    identity = TLSIdentity(card.certificates[KeyReference.AUTHENTICATION], key)
    with start() as server, client(identity=identity) as web, pytest.raises(WrongPIN) as wrong:
        web.get(f"https://localhost:{server.port}/")
    assert wrong.value.tries_left == 2
    card.client.verify_pin(PIN)


class Watched:
    """A key that remembers whether it was asked."""

    def __init__(self) -> None:
        self._key = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
        self.asked = False

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        key = self._key.public_key
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key

    def sign_digest(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        self.asked = True
        return self._key.sign_digest(digest, scheme)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrong", ["host", "root", "pin"])
def test_nothing_of_the_client_goes_to_a_server_that_is_not_meant(
    start: Start, tls_root: Authority, issuer: CardIssuer, version: str, wrong: str
) -> None:
    key = Watched()
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).public_key(key.public_key)
    identity = TLSIdentity(issuer.issuing.issue(builder), key)
    trust = {
        "host": ServerTrust((tls_root.certificate,)),
        "root": ServerTrust((authority("TLS Root").certificate,)),
        "pin": ServerTrust((tls_root.certificate,), bytes(32)),
    }[wrong]
    transport = CardTLSTransport(trust=trust, clock=SystemClock(), identity=identity)
    host = "127.0.0.1"
    with start(version, dns=("elsewhere.example",)) as server, httpx.Client(transport=transport) as web:
        if wrong == "host":
            host = "localhost"
        with pytest.raises(ServerNotTrusted):
            web.get(f"https://{host}:{server.port}/")
    assert not key.asked
    assert not server.seen


def test_a_pinned_authority_is_all_that_is_needed(start: Start, tls_ca: Authority) -> None:
    trust = ServerTrust(pin=spki_digest(tls_ca.certificate))
    transport = CardTLSTransport(trust=trust, clock=SystemClock())
    with start(asks=False) as server, httpx.Client(transport=transport) as web:
        assert web.get(f"https://localhost:{server.port}/").status_code == 200


def test_a_large_answer_comes_whole_and_one_over_the_limit_not_at_all(
    start: Start, client: Callable[..., httpx.Client]
) -> None:
    body = bytes(range(256)) * 4096
    with start(asks=False, body=body) as server:
        with client() as web:
            assert web.get(f"https://localhost:{server.port}/").content.endswith(body)
        with client(answer_limit_bytes=1_000_000) as web, pytest.raises(httpx.ReadError, match="longer"):
            web.get(f"https://localhost:{server.port}/")


def test_only_https_goes_this_way(client: Callable[..., httpx.Client]) -> None:
    with client() as web, pytest.raises(httpx.UnsupportedProtocol):
        web.get("http://localhost:1/")


def test_a_closed_port_is_a_connect_error(client: Callable[..., httpx.Client]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with client() as web, pytest.raises(httpx.ConnectError):
        web.get(f"https://127.0.0.1:{port}/")


@pytest.fixture
def odd_server() -> Iterator[Callable[[bytes], int]]:
    """A server that answers the first bytes with what it is given, and closes."""
    threads: list[threading.Thread] = []

    def serve(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer_once() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(answer)

        threads.append(threading.Thread(target=answer_once))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield serve
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes.fromhex("15030300020228"),  # a fatal alert
        bytes.fromhex("1603030004020000ff"),  # a server hello cut off
        bytes.fromhex("160303002c020000280303") + bytes(38),  # a server hello of nonsense
        bytes(300),
    ],
)
def test_a_server_that_speaks_no_tls_is_a_connect_error(
    client: Callable[..., httpx.Client], odd_server: Callable[[bytes], int], answer: bytes
) -> None:
    with client() as web, pytest.raises(httpx.ConnectError):
        web.get(f"https://127.0.0.1:{odd_server(answer)}/")


def test_a_silent_server_is_a_timeout(tls_root: Authority) -> None:
    transport = CardTLSTransport(trust=ServerTrust((tls_root.certificate,)), clock=SystemClock())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with httpx.Client(transport=transport, timeout=0.2) as web, pytest.raises(httpx.ConnectTimeout):
            web.get(f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
)
def test_an_answer_that_is_no_http_is_an_error(
    files: Path, tls_ca: Authority, client: Callable[..., httpx.Client], answer: bytes
) -> None:
    leaf, key = server_certificate(tls_ca, addresses=("127.0.0.1",))
    context = server_context(write_pem(files / "odd.pem", [leaf, tls_ca.certificate], key), None)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_once() -> None:
        with listener, listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65_536)
            connection.sendall(answer)
            connection.unwrap()

    def serve() -> None:
        try:
            answer_once()
        except OSError:
            return  # the client left first

    thread = threading.Thread(target=serve)
    thread.start()
    with client() as web, pytest.raises(httpx.TransportError):
        web.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    thread.join()
