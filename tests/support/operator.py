# SPDX-License-Identifier: Apache-2.0
"""An operator who applies files to a running site, and what was shown."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from etymon.directory.model import Person
from etymon.kernel.secret import Secret
from etymon.server.apply import applying, planning, present_state, reading
from etymon.server.apply.administration_api import AdministrationAPI
from etymon.server.apply.applying import Outcome, Wishes
from etymon.server.apply.change import Plan
from etymon.server.apply.planning import Passwords, Pruning
from support import organizations
from support.mdm_listeners import RunningSite
from support.tls_files import trusting


class Bearer:
    """Tokens of one person, from the stand-in identity provider."""

    def __init__(self, running: RunningSite, person: Person, **claims: Any) -> None:
        self._running, self._person, self._claims = running, person, claims

    def token(self) -> Secret[str]:
        return Secret(self._running.administration_token(self._person, **self._claims))


class Interrupted(httpx.BaseTransport):
    """Goes to the API so many times for writing, then breaks the connection; `answers` loses answers instead."""

    def __init__(self, inner: httpx.BaseTransport, writes: int, *, after_answer: bool = False) -> None:
        self._inner, self._left, self._after_answer = inner, writes, after_answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return self._inner.handle_request(request)
        self._left -= 1
        if self._left < 0 and not self._after_answer:
            raise httpx.ConnectError("refused", request=request)
        response = self._inner.handle_request(request)
        if self._left < 0:
            response.read()
            response.close()
            raise httpx.ReadError("broken", request=request)
        return response

    def close(self) -> None:
        self._inner.close()


class Operator:
    """One person with files."""

    def __init__(self, running: RunningSite, person: Person, folder: Path, **claims: Any) -> None:
        self.running, self.person, self.folder = running, person, folder
        self.shown = ""
        self.waited: list[float] = []
        self._claims = claims
        self._context = trusting([running.tls.certificate])

    def apply(
        self,
        organization: dict[str, Any],
        *,
        prune: bool = False,
        check: bool = False,
        passwords: Passwords = Passwords.WITH_CHANGES,
        through: Callable[[httpx.BaseTransport], httpx.BaseTransport] = lambda inner: inner,
        answer: bool = True,
    ) -> Outcome:
        """Apply a file; `shown` is what the console showed."""
        file = organizations.written(self.folder, organization)
        wishes = Wishes(Pruning.END if prune else Pruning.KEEP, passwords, only_look=check)
        console = Console(file=io.StringIO(), width=200)
        with httpx.Client(transport=through(httpx.HTTPTransport(verify=self._context)), timeout=30) as http:
            api = AdministrationAPI(http, self.site_url, self.tokens, self.waited.append)
            try:
                return applying.apply(
                    reading.read(file),
                    api,
                    str(self.person.id),
                    wishes,
                    clock=self.running.site.clock,
                    console=console,
                    confirm=lambda _: answer,
                )
            finally:
                assert isinstance(console.file, io.StringIO)
                self.shown = console.file.getvalue()

    def plan(self, organization: dict[str, Any], *, prune: bool = False) -> Plan:
        """Return what a file would do."""
        wanted = reading.read(organizations.written(self.folder, organization))
        with httpx.Client(verify=self._context, timeout=30) as http:
            api = AdministrationAPI(http, self.site_url, self.tokens, self.waited.append)
            present = present_state.fetch(api, wanted.sections, self.running.site.clock.now())
        pruning = Pruning.END if prune else Pruning.KEEP
        return planning.plan(wanted, present.sections, pruning, operator=str(self.person.id))

    @property
    def site_url(self) -> str:
        return self.running.site.deps.site_url

    @property
    def tokens(self) -> Bearer:
        return Bearer(self.running, self.person, **self._claims)
