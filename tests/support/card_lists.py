# SPDX-License-Identifier: Apache-2.0
"""Somebody else's revocation list over HTTP: what it says is set by a test, and how often it was asked is counted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from etymon.kernel.entropy import SystemEntropy
from etymon.pki.status import CRLCache, HTTPStatusSource
from etymon.pki.status_hosts import StatusHosts
from etymon.pki.trust_entry import TrustEntry


class ListHost:
    """Answers every address with `body`; with 503 while there is none."""

    def __init__(self) -> None:
        self.body = b""
        self.asked = 0
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                self.send_response(200 if host.body else 503)
                self.send_header("Content-Length", str(len(host.body)))
                self.end_headers()
                self.wfile.write(host.body)

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
        return f"http://{self.address}/cards.crl"

    def lists_of(self, _: TrustEntry) -> HTTPStatusSource:
        """Return what fetches lists from here."""
        return HTTPStatusSource(frozenset({self.address}), StatusHosts(), SystemEntropy(), CRLCache())

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def list_host() -> Iterator[ListHost]:
    host = ListHost()
    try:
        yield host
    finally:
        host.close()
