# SPDX-License-Identifier: Apache-2.0
"""Metrics for operators (Prometheus text format); labels never carry a person, device or card."""

import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etymon.ca.crl import ListHead

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Counted each for itself. A client may send any word as a method, and each label is kept for ever."""


class Metrics:
    """The counters of one site."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "etymon_http_requests", "Answered requests", ["listener", "method", "status"], registry=self._registry
        )
        self.seconds = Histogram("etymon_http_seconds", "Time to answer", ["listener"], registry=self._registry)
        self.jobs = Counter("etymon_jobs", "Follow-ups run", ["kind", "outcome"], registry=self._registry)
        self.notices_refused = Counter(
            "etymon_notices_refused", "Addresses that the mail server refused for good", registry=self._registry
        )
        self.notices_delayed = Counter(
            "etymon_notices_delayed", "Notices that an address did not get within a day", registry=self._registry
        )
        self.terminations = Gauge(
            "etymon_terminations", "Ends of accounts that are not published yet", ["state"], registry=self._registry
        )
        self.card_sources = Gauge(
            "etymon_card_status_sources", "Sources of the status of cards", ["state"], registry=self._registry
        )
        self.unknown_cards = Gauge(
            "etymon_card_status_unknown_cards", "Cards whose status nobody tells", registry=self._registry
        )
        self.duties_failed = Counter(
            "etymon_duties_failed", "Regular duties that failed", ["duty"], registry=self._registry
        )
        self.ocsp_answers = Counter("etymon_ocsp_answers", "OCSP answers", ["kind"], registry=self._registry)
        self.crl_this_update = Gauge(
            "etymon_crl_this_update_timestamp_seconds", "When a CRL was made", ["ca"], registry=self._registry
        )
        self.crl_next_update = Gauge(
            "etymon_crl_next_update_timestamp_seconds", "When a CRL lapses", ["ca"], registry=self._registry
        )
        self.crl_changes_waiting = Gauge(
            "etymon_crl_changes_waiting", "Changes of status that a CRL lacks", ["ca"], registry=self._registry
        )

    def tell_lists(self, heads: Iterable[ListHead]) -> None:
        """Set what is known of the published CRLs."""
        for head in heads:
            self.crl_this_update.labels(head.ca).set(head.this_update.timestamp())
            self.crl_next_update.labels(head.ca).set(head.next_update.timestamp())
            self.crl_changes_waiting.labels(head.ca).set(head.changes - head.covers)

    def exposition(self) -> Response:
        """Return all metrics as text."""
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")


class Measured:
    """Counts and times what a listener's application answers."""

    def __init__(self, app: ASGIApp, listener: str, metrics: Metrics) -> None:
        self._app = app
        self._listener = listener
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.requests.labels(self._listener, method, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)
        self._metrics.seconds.labels(self._listener).observe(time.perf_counter() - started)
