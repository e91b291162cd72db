# SPDX-License-Identifier: Apache-2.0
"""A running organisation: its listeners and its worker in one process, started together and stopped cleanly."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from etymon.ca import crl
from etymon.ca.http import status
from etymon.directory import http as directory_http
from etymon.graph import http as graph_http
from etymon.idp import http as idp_http
from etymon.issuer import card_status_monitor, terminations, unknown_cards
from etymon.issuer import http as issuer_http
from etymon.kernel.errors import EtymonError, NotPermitted
from etymon.mdm import branding as mdm_branding
from etymon.mdm import http as mdm_http
from etymon.server import (
    entrances,
    follow_ups,
    process_events,
    software_integrity,
    tls_identity,
    unsafe_settings,
)
from etymon.server.health import Health
from etymon.server.metrics import Measured, Metrics
from etymon.server.proxy_files import client_cas
from etymon.server.wiring import Wiring
from etymon.server.worker import Worker
from etymon.web.branding import Branding
from etymon.web.connections import Entrance
from etymon.web.exchange import Request, endpoint
from etymon.web.listeners import ClientCertificate, Identity, Listener, Listeners
from etymon.web.pages import Pages
from etymon.web.request_source import FromClient
from etymon.web.unknown_address import nothing_here

LOOKED_AT_EVERY_SECONDS: Final = 2.0
TRIED_AGAIN_AFTER: Final = timedelta(minutes=10)
"""A server certificate that could not be made leaves a plan and an audit event each time."""

log = structlog.get_logger("etymon.server")


class Site:
    """Everything one `etymon serve` runs."""

    def __init__(self, wiring: Wiring, *, with_worker: bool) -> None:
        self._wiring = wiring
        self.metrics = Metrics()
        if with_worker:  # what the run before left unsealed would stop the issuing of the site's own certificate
            follow_ups.seal(wiring.deployment)
        made = wiring.deployment
        process_events.started(made.database, made.clock, made.entropy, "serve", software_integrity.installed())
        self._files_version = tls_identity.files_version(wiring.deployment.settings)
        identity = tls_identity.identity(wiring.deployment)
        self._branding = _branding(wiring)
        self._doors = {name: Door(app) for name, app in self._applications().items()}
        self._renew_at = wiring.deployment.clock.now() + tls_identity.RENEWED_AFTER
        self._known_cas = _known_cas(wiring)
        self.listeners = Listeners(
            _listeners(wiring, self._doors, self.metrics, identity, self._known_cas),
            entrances.limits(wiring.deployment.settings),
        )
        self._worker = worker(wiring, self.metrics) if with_worker else None
        self._clock = None if with_worker else process_events.clock_watch(made)  # a worker's duty otherwise
        self._stopping = threading.Event()

    def run(self, doors: Mapping[str, Entrance] | None = None, *, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is called from a signal handler or another thread.

        `doors` are what the listeners are reached by (`entrances.opened`); they open their own otherwise. `ready` is
        called once every listener answers.
        """
        threads = [threading.Thread(target=self._watch, name="watch")]
        if self._worker is not None:
            threads.append(threading.Thread(target=self._worker.run, name="worker"))
        for thread in threads:
            thread.start()
        try:
            asyncio.run(self.listeners.run(doors, ready=partial(self._tell_ready, ready)))
        finally:
            self._stopping.set()
            if self._worker is not None:
                self._worker.stop()
            for thread in threads:
                thread.join()
            log.info("stopped")

    def stop(self) -> None:
        """Finish what is being answered, then end."""
        self._wiring.mdm.wake_ups.close()  # waiting check-ins answer now
        self.listeners.stop()

    def _tell_ready(self, ready: Callable[[], None]) -> None:
        read = self._wiring.deployment.settings
        log.info(
            "ready",
            site=read.site_url,
            certauth=read.certauth_url,
            device=read.device_url,
            status=f"http://{read.bind}:{read.status_port}",
        )
        for told in unsafe_settings.advice(read):
            log.warning("settings_advice", detail=told)
        ready()

    def _applications(self) -> Mapping[str, Starlette]:
        """Return what each door leads to, in the organisation's present branding."""
        pages = Pages("etymon.web", self._branding)
        applications = {}
        for name, routes in self._routes().items():
            for_people = name in {"site", "certauth"}
            applications[name] = Starlette(
                routes=[*routes, *(pages.static_routes() if for_people else ())],
                exception_handlers={404: partial(nothing_here, pages if for_people else None)},
            )
        return applications

    def _routes(self) -> Mapping[str, list[BaseRoute]]:
        wiring, branding = self._wiring, self._branding
        idp, issuer = replace(wiring.idp, branding=branding), replace(wiring.issuer, branding=branding)
        return {
            "site": [
                Route("/", _to("/issuer/")),
                Route("/devicelogin", _to("/idp/device")),
                endpoint("/healthz", Health(wiring).answer, methods=("GET",)),
                endpoint("/metrics", partial(_metrics, wiring, self.metrics), methods=("GET",)),
                *directory_http.site_routes(wiring.feeds),
                *idp_http.site_routes(idp),
                *mdm_http.site_routes(wiring.mdm),
                *issuer_http.site_routes(issuer),
                Mount("/graph", graph_http.create_app(wiring.graph)),
            ],
            "certauth": [*idp_http.certauth_routes(idp), *issuer_http.certauth_routes(issuer)],
            "device": [*mdm_http.device_routes(wiring.mdm), *issuer_http.device_routes(wiring.issuer)],
            "status": [
                *status.routes(wiring.deployment.ca, lambda kind: self.metrics.ocsp_answers.labels(kind).inc()),
                *issuer_http.status_routes(issuer),
            ],
        }

    def _rebrand(self) -> None:
        """Show pages in the branding an administrator has set since."""
        branding = _branding(self._wiring)
        if branding != self._branding:
            self._branding = branding
            for name, app in self._applications().items():
                self._doors[name].leads_to = app
            log.info("branding_changed")

    def _watch(self) -> None:
        """Keep pages and TLS up to date: branding, the server's own certificate, the CAs of new trust entries.

        Where no worker runs beside, this machine's clock is watched too.

        What comes through TLS is judged in `pki`, where a CA that is trusted no more is refused at once.
        """
        while not self._stopping.wait(LOOKED_AT_EVERY_SECONDS):
            for keep_up in (self._rebrand, self._renew_identity, self._accept_cas, self._look_at_clock):
                try:
                    keep_up()
                except EtymonError as error:
                    log.warning("not_kept_up", what=keep_up.__name__, error_code=error.code)
                except Exception:  # the thread's edge: whatever keeps one from being done must not end the watch
                    log.exception("not_kept_up", what=keep_up.__name__)

    def _look_at_clock(self) -> None:
        if self._clock is not None:
            self._clock.look()

    def _renew_identity(self) -> None:
        """Show a new certificate when ours is due, or when the operator has replaced the files of the other kind."""
        deployment = self._wiring.deployment
        version = tls_identity.files_version(deployment.settings)
        changed = bool(version) and version != self._files_version
        due = not version and deployment.clock.now() >= self._renew_at
        if self.listeners.started and (changed or due):
            self._files_version = version  # unusable ones are told once; the other half is another version
            self._renew_at = deployment.clock.now() + TRIED_AGAIN_AFTER
            self.listeners.present(tls_identity.identity(deployment))
            self._renew_at = deployment.clock.now() + tls_identity.RENEWED_AFTER
            log.info("server_certificate_changed")

    def _accept_cas(self) -> None:
        present = _known_cas(self._wiring)
        if present != self._known_cas and self.listeners.started:
            for name in ("certauth", "device"):
                self.listeners.accept(name, present)
            log.info("client_cas_changed")
            self._known_cas = present


def worker(wiring: Wiring, metrics: Metrics) -> Worker:
    """Return the worker of a deployment."""
    deployment = wiring.deployment
    return Worker(
        deployment.database, deployment.clock, follow_ups.handlers(wiring, metrics), follow_ups.duties(wiring), metrics
    )


@dataclass
class Door:
    """What a listener leads to; it may be exchanged while the listener runs."""

    leads_to: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go through."""
        await self.leads_to(scope, receive, send)


def _listeners(
    wiring: Wiring, doors: Mapping[str, Door], metrics: Metrics, identity: Identity, cas: str
) -> list[Listener]:
    read = wiring.deployment.settings
    apps = {name: Measured(FromClient(door, read.proxies), name, metrics) for name, door in doors.items()}
    optional = ClientCertificate.OPTIONAL
    return [
        Listener("site", apps["site"], read.bind, read.site_port, identity),
        Listener(
            "certauth",
            apps["certauth"],
            read.bind,
            read.certauth_port,
            identity,
            optional,
            cas,
            keep_alive=False,
            tls13_only=True,
        ),
        Listener("device", apps["device"], read.bind, read.device_port, identity, optional, cas),
        Listener("status", apps["status"], read.bind, read.status_port),
    ]


def _branding(wiring: Wiring) -> Branding:
    with wiring.deployment.database.snapshot() as tx:
        return mdm_branding.current(tx, wiring.mdm)


def _known_cas(wiring: Wiring) -> str:
    with wiring.deployment.database.snapshot() as tx:
        return client_cas(tx)


def _metrics(wiring: Wiring, metrics: Metrics, request: Request) -> Response:
    read = wiring.deployment.settings
    if request.client_address in read.proxies or request.client_address not in read.metrics_readers:
        raise NotPermitted("metrics_reader_unknown", "This address may not read metrics (setting metrics_readers).")
    with wiring.deployment.database.snapshot() as tx:
        metrics.tell_lists(crl.heads(tx))
        pending, late = terminations.count(tx, wiring.issuer)
        sources = card_status_monitor.all_sources(tx)
        metrics.unknown_cards.set(unknown_cards.count(tx))
    silent = sum(source.silent_since is not None for source in sources)
    metrics.terminations.labels("pending").set(pending)
    metrics.terminations.labels("late").set(late)
    metrics.card_sources.labels("silent").set(silent)
    metrics.card_sources.labels("answering").set(len(sources) - silent)
    return metrics.exposition()


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)
