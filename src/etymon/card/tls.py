# SPDX-License-Identifier: Apache-2.0
"""HTTPS whose client certificate is proved by a key that cannot be exported (RFC 8446, RFC 5246).

An httpx transport: one connection for each request, TLS 1.3 or 1.2 by tlslite-ng, the handshake signed by an
`ExternalKey`: a card, through its APDUs, or a key store. The server is verified before the client's certificate
leaves, because a card's certificate tells who its holder is. A server that asks for no certificate gets none.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import h11
import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card import certificates
from etymon.card.card_key import CardKey
from etymon.card.client import PIVClient
from etymon.card.external_key import ExternalKey
from etymon.card.server_trust import ServerNotTrusted, ServerTrust
from etymon.card.tls_key import TLSKey
from etymon.card.tls_library import (
    X509,
    BaseTLSException,
    HandshakeSettings,
    TLSConnection,
    X509CertChain,
)
from etymon.card.tls_records import CIPHERS, NativeRecordLayer
from etymon.kernel.clock import Clock
from etymon.kernel.errors import DecodeError
from etymon.wire.piv import KeyReference

ANSWER_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""Longest response body read unless told otherwise."""

_READ_BYTES: Final = 16_384
_HTTPS_PORT: Final = 443
_PEER_FAULTS: Final = (
    BaseTLSException,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
)
"""What the TLS library raises for what a peer may send, besides errors of the socket."""


@dataclass(frozen=True, slots=True)
class TLSIdentity:
    """A client certificate, the intermediates sent with it (nearest first), and the key it is for."""

    certificate: x509.Certificate
    key: ExternalKey
    intermediates: tuple[x509.Certificate, ...] = ()


def card_identity(client: PIVClient, intermediates: tuple[x509.Certificate, ...] = ()) -> TLSIdentity:
    """Return the identity of a card: its PIV Authentication key (9A). The PIN is verified on `client` before use."""
    certificate = client.read_certificate(KeyReference.AUTHENTICATION)
    return TLSIdentity(certificate, CardKey(client, KeyReference.AUTHENTICATION), intermediates)


class CardTLSTransport(httpx.BaseTransport):
    """Sends each request over a TLS connection of its own and closes it (RFC 9112 §9.6).

    Raises `httpx.TransportError` for network and protocol failures, `ServerNotTrusted` when the server is not the one
    meant, and the key's own errors (a card wants its PIN) as they are. Time-outs are those of the httpx client.
    """

    def __init__(
        self,
        *,
        trust: ServerTrust,
        clock: Clock,
        identity: TLSIdentity | None = None,
        answer_limit_bytes: int = ANSWER_LIMIT_BYTES,
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._identity = identity
        self._answer_limit_bytes = answer_limit_bytes

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read the whole answer."""
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("Only https goes over this transport.", request=request)
        body = request.read()
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        with contextlib.closing(self._connect(request, timeouts.get("connect"))) as plain:
            connection = self._handshake(plain, request)
            plain.settimeout(timeouts.get("read"))
            return self._exchange(connection, request, body)

    def _connect(self, request: httpx.Request, timeout: float | None) -> socket.socket:
        address = (request.url.host, request.url.port or _HTTPS_PORT)
        try:
            return socket.create_connection(address, timeout)
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("The server does not answer.", request=request) from exc
        except OSError as exc:
            raise httpx.ConnectError(f"The server cannot be reached: {exc}", request=request) from exc

    def _handshake(self, plain: socket.socket, request: httpx.Request) -> TLSConnection:
        host = request.url.host
        connection = _VerifyingConnection(plain, self._trust, host, self._clock)
        chain = key = None
        if self._identity:
            key = TLSKey(self._identity.key)
            chain = _chain((self._identity.certificate, *self._identity.intermediates))
        with _peer_faults(request, httpx.ConnectError, httpx.ConnectTimeout):
            connection.handshakeClientCert(
                certChain=chain, privateKey=key, serverName=_server_name(host), settings=_settings(key)
            )
        if not connection.server_verified:
            raise httpx.ConnectError("The server showed no certificate.", request=request)
        return connection

    def _exchange(self, connection: TLSConnection, request: httpx.Request, body: bytes) -> httpx.Response:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=65_536)
        headers = [pair for pair in request.headers.raw if pair[0].lower() not in {b"connection", b"transfer-encoding"}]
        if body and b"content-length" not in {name.lower() for name, _ in headers}:
            headers.append((b"Content-Length", str(len(body)).encode()))
        head = h11.Request(
            method=request.method, target=request.url.raw_path, headers=[*headers, (b"Connection", b"close")]
        )
        outgoing = [http.send(head), http.send(h11.Data(body)) if body else b"", http.send(h11.EndOfMessage())]
        with _peer_faults(request, httpx.WriteError, httpx.WriteTimeout):
            connection.sendall(b"".join(part or b"" for part in outgoing))
        with _peer_faults(request, httpx.ReadError, httpx.ReadTimeout):
            try:
                return self._read(connection, http, request)
            except h11.RemoteProtocolError as exc:
                raise httpx.RemoteProtocolError(str(exc), request=request) from exc

    def _read(self, connection: TLSConnection, http: h11.Connection, request: httpx.Request) -> httpx.Response:
        head: h11.Response | None = None
        content = bytearray()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(bytes(connection.recv(_READ_BYTES)))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                content += event.data
                if len(content) > self._answer_limit_bytes:
                    raise httpx.ReadError("The answer is longer than what is read.", request=request)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise httpx.RemoteProtocolError("The server ended the connection too early.", request=request)
        return httpx.Response(
            head.status_code,
            headers=[(bytes(name), bytes(value)) for name, value in head.headers],
            stream=httpx.ByteStream(bytes(content)),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": bytes(head.reason)},
        )


class _VerifyingConnection(TLSConnection):  # type: ignore[misc] # tlslite-ng has no types
    """Judges the server's chain as soon as it is there, which is before the client's own is sent."""

    def __init__(self, plain: socket.socket, trust: ServerTrust, host: str, clock: Clock) -> None:
        super().__init__(plain)
        self._recordLayer = NativeRecordLayer(self.sock)
        self._trust = trust
        self._host = host
        self._clock = clock
        self.server_verified = False

    def _clientGetKeyFromChain(  # noqa: N802 - the library's name
        self, certificate: Any, settings: HandshakeSettings, tack_ext: Any = None
    ) -> Iterator[Any]:
        for result in super()._clientGetKeyFromChain(certificate, settings, tack_ext):
            if result not in (0, 1):
                self._trust.verify(_presented(result[1]), self._host, self._clock.now())
                self.server_verified = True
            yield result


def _presented(chain: X509CertChain) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(certificates.read(bytes(item.bytes)) for item in chain.x509List)
    except DecodeError as exc:
        raise ServerNotTrusted(detail="A certificate of the server cannot be read.") from exc


@contextlib.contextmanager
def _peer_faults(
    request: httpx.Request, failure: type[httpx.TransportError], timeout: type[httpx.TimeoutException]
) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise timeout("The server takes too long.", request=request) from exc
    except OSError as exc:
        raise failure(f"The connection broke: {exc}", request=request) from exc
    except _PEER_FAULTS as exc:
        raise failure(f"TLS with the server failed: {exc}", request=request) from exc


def _settings(key: TLSKey | None) -> HandshakeSettings:
    settings = HandshakeSettings()
    settings.minVersion, settings.maxVersion = (3, 3), (3, 4)
    settings.versions = [(3, 4), (3, 3)]
    settings.cipherNames = list(CIPHERS)
    settings.macNames = ["aead"]
    settings.keyExchangeNames = ["ecdhe_ecdsa", "ecdhe_rsa"]
    settings.eccCurves = ["secp256r1", "secp384r1"]  # 256 bits at least (Common Policy 6.1.5)
    settings.keyShares = ["secp256r1"]
    settings.dhGroups = []
    settings.rsaSchemes = ["pss", "pkcs1"]
    settings.rsaSigHashes = ["sha256", "sha384", "sha512"]
    settings.ecdsaSigHashes = ["sha256", "sha384", "sha512"]
    if key and key.preferred_hash == "sha384":
        settings.ecdsaSigHashes = ["sha384", "sha256", "sha512"]
    settings.more_sig_schemes = []
    settings.minKeySize = 2048
    settings.use_heartbeat_extension = False
    # The library's compressed certificates are not understood by every peer.
    settings.certificate_compression_send = []
    settings.certificate_compression_receive = []
    return settings


def _chain(own: tuple[x509.Certificate, ...]) -> X509CertChain:
    chain = []
    for certificate in own:
        item = X509()
        item.parseBinary(certificate.public_bytes(Encoding.DER))
        chain.append(item)
    return X509CertChain(chain)


def _server_name(host: str) -> str | None:
    """Return the name for SNI; an address is none (RFC 6066 §3)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None
