# SPDX-License-Identifier: Apache-2.0
"""What every face of the identity provider works with: pages, sessions, the certificate hand-off."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from etymon.audit.refusals import ANONYMOUS
from etymon.idp import card_authentication, sign_in
from etymon.idp.dependencies import Dependencies
from etymon.idp.store import sessions as session_store
from etymon.idp.store.proofs import ProofTable
from etymon.idp.tables import sessions as sessions_table
from etymon.kernel.errors import EtymonError, NotFound
from etymon.storage import sessions as browser_sessions
from etymon.storage.database import Transaction
from etymon.web import csrf
from etymon.web.certificate_proof import CertificateProof
from etymon.web.exchange import Request, endpoint
from etymon.web.pages import PageErrors, Pages
from etymon.web.problem import ErrorFace
from etymon.web.rate_limits import RateLimit, household
from etymon.web.sessions import Sessions, Visit


@dataclass(frozen=True, slots=True)
class Visiting:
    """A request of a browser inside a transaction."""

    tx: Transaction
    request: Request
    visit: Visit
    browser: str


@dataclass(frozen=True, slots=True)
class Site:
    """The identity provider's site."""

    deps: Dependencies
    sessions: Sessions
    pages: Pages
    proof: CertificateProof

    @classmethod
    def of(cls, deps: Dependencies) -> "Site":
        """Return the site made of `deps`."""
        sessions = sign_in.sessions(deps)
        pages = Pages(
            "etymon.idp",
            deps.branding,
            sessions,
            translations=deps.translations,
            form_targets=(deps.certauth_url,),
        )
        proof = CertificateProof("idp", deps.site_url, deps.certauth_url, deps.digest_key, deps.clock, deps.entropy)
        return cls(deps, sessions, pages, proof)

    @contextmanager
    def looking(self, request: Request) -> Iterator[Visiting]:
        """Open a reading transaction in which the browser is known: looking at a page keeps no writer waiting."""
        visit = browser_sessions.visit(self.deps.database, self.sessions, sessions_table, request)
        with self.deps.database.snapshot() as tx:
            yield Visiting(tx, request, visit, self.sessions.browser(visit))

    @contextmanager
    def visiting(self, request: Request) -> Iterator[Visiting]:
        """Open a transaction in which the browser is known."""
        with self.deps.database.transaction() as tx:
            visit = self.sessions.visit(session_store.kept(tx), request)
            self.sessions.note(session_store.kept(tx), visit)
            yield Visiting(tx, request, visit, self.sessions.browser(visit))

    @contextmanager
    def submitted(self, request: Request) -> Iterator[tuple[Visiting, dict[str, str]]]:
        """Open a transaction for a form that one of our pages sent; refuse every other form."""
        visit = browser_sessions.visit(self.deps.database, self.sessions, sessions_table, request)
        form = csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        with self.visiting(request) as visiting:  # nobody else's form keeps a writer waiting
            yield visiting, dict(form)

    def page(
        self, visiting: Visiting, template: str, values: Mapping[str, object] | None = None, *, status: int = 200
    ) -> Response:
        """Return a page for this browser; `came_back` tells it that a proof was begun and not brought back."""
        told = {"came_back": self.proof.cookie_name in visiting.request.cookies, **(values or {})}
        return self.pages.page(template, told, status=status, visit=visiting.visit, request=visiting.request)

    def go(self, visit: Visit, path: str) -> Response:
        """Send the browser on to a path of this site."""
        response = RedirectResponse(path, 303, {"Cache-Control": "no-store"})
        return self.sessions.remember(response, visit)

    def prove(
        self,
        visiting: Visiting,
        *,
        purpose: str,
        continue_at: str,
        back_at: str,
        form_targets: tuple[str, ...] = (),
    ) -> Response:
        """Send the browser to certauth."""
        response = self.proof.begin(
            ProofTable(visiting.tx),
            visiting.request,
            purpose=purpose,
            continue_at=continue_at,
            back_at=back_at,
            form_targets=form_targets,
        )
        return self.sessions.remember(response, visiting.visit)

    def noted(
        self, name: str, request: Request, subject: str, *, but: Collection[str] = ()
    ) -> AbstractContextManager[None]:
        """Have written down what is refused, inside, to a browser; open transactions inside it."""
        return self.deps.refusals.noted(name, actor=ANONYMOUS, subject=subject, source=request.client_address, but=but)

    def limited(self, limit: RateLimit, visiting: Visiting) -> "Tries":
        """Return the tries of this browser and this address under a limit."""
        return Tries(limit, (f"address {household(visiting.request.client_address)}", f"browser {visiting.browser}"))

    def route(
        self,
        path: str,
        handler: Callable[[Request], Response],
        *,
        methods: Collection[str],
        errors: ErrorFace | None = None,
    ) -> Route:
        """Return a route whose errors are pages, unless told otherwise."""
        face = errors or PageErrors(self.pages, home="/idp/account")
        return endpoint(path, handler, methods=methods, errors=face, proxies=self.deps.proxies)

    def certauth_routes(self) -> list[BaseRoute]:
        """Return the routes of the certauth listener."""

        @contextmanager
        def reading() -> Iterator[ProofTable]:
            with self.deps.database.snapshot() as tx:
                yield ProofTable(tx)

        @contextmanager
        def writing() -> Iterator[ProofTable]:
            with self.deps.database.transaction() as tx:
                yield ProofTable(tx)

        return self.proof.certauth_routes(
            reading, writing, partial(card_authentication.judge, self.deps), self.pages, proxies=self.deps.proxies
        )


@dataclass(frozen=True, slots=True)
class Tries:
    """Guesses of one address and one browser. They are counted before the guess is looked at.

    The address comes first: when it has no guess left, browsers that it makes up leave no count behind.
    """

    limit: RateLimit
    identifiers: tuple[str, ...]

    def count(self) -> None:
        """Count a guess against each; raises Throttled."""
        for identifier in self.identifiers:
            self.limit.count(identifier)

    def give_back(self) -> None:
        """The guess was right: it does not count."""
        for identifier in self.identifiers:
            self.limit.give_back(identifier)


def uuid_of(text: str, error: EtymonError) -> UUID:
    """Return the id that `text` is; raises `error` when it is none."""
    try:
        return UUID(text)
    except ValueError:
        raise error from None


def not_found() -> NotFound:
    """There is nothing at this address."""
    return NotFound("page_unknown", "There is nothing here: the address is wrong, or its time is over.")
