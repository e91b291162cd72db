# SPDX-License-Identifier: Apache-2.0
"""The cardholder's pages: present the card, accept the duties, link a phone, see what there is."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import people
from etymon.issuer import (
    approval,
    card_authentication,
    duties,
    eligibility,
    initial_issuance,
    linking,
    revoked_authorities,
)
from etymon.issuer.attestation import store as attestations
from etymon.issuer.attestation.model import KeyAttestation
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import card_required, derivation_unknown, duties_not_accepted, too_many_derivations
from etymon.issuer.http.views import DerivationView, derivation_view, qr_image, without_replaced
from etymon.issuer.model import (
    PROOF_LIFETIME,
    PROOF_LIFETIME_AT_START,
    CardSession,
    Derivation,
    DerivationState,
)
from etymon.issuer.store import card_sessions, credentials, derivations
from etymon.issuer.store.card_sessions import ProofRequests
from etymon.issuer.tables import sessions as sessions_table
from etymon.kernel.errors import EtymonError
from etymon.storage import sessions as browser_sessions
from etymon.storage.database import Transaction
from etymon.web import csrf, documents
from etymon.web.certificate_proof import CertificateProof
from etymon.web.documents import Problems
from etymon.web.exchange import Request, endpoint, json_response
from etymon.web.pages import PageErrors, Pages
from etymon.web.sessions import Sessions, Visit

HOME: Final = "/issuer/"
NEW: Final = "/issuer/derivations/new"
KEYS: Final = "/issuer/keys"
NEXT: Final[Mapping[str, str]] = {"new": NEW, "keys": KEYS}
"""Where a form may have the card's proof lead to, instead of home."""

SHOWN: Final = frozenset({DerivationState.CONFIRMED, DerivationState.ISSUING, DerivationState.COMPLETED})

NO_REFERRER: Final[Mapping[str, str]] = {"Referrer-Policy": "no-referrer"}
"""For pages that show a code; they have no form (a form would say `Origin: null`)."""

DONE: Final = ("ended", "held", "restored")
"""What the page may say was done just now."""


@dataclass(frozen=True, slots=True)
class SelfService:
    """The handlers of the self-service pages."""

    deps: Dependencies
    pages: Pages
    sessions: Sessions
    hand_off: CertificateProof

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the site listener."""
        errors = PageErrors(self.pages, HOME)
        pages = [
            (HOME, self.home, "GET"),
            ("/issuer/card", self.present_card, "POST"),
            (self.hand_off.return_path, self.card_presented, "POST"),
            ("/issuer/sign-out", self.sign_out, "POST"),
            ("/issuer/link", self.landing, "GET"),
            (NEW, self.show_duties, "GET"),
            ("/issuer/requests", self.ask_approval, "POST"),
            ("/issuer/derivations", self.begin, "POST"),
            ("/issuer/derivations/{derivation}", self.show_link, "GET"),
            ("/issuer/derivations/{derivation}/confirm", self.confirm, "POST"),
            ("/issuer/derivations/{derivation}/deny", self.deny, "POST"),
        ]
        return [
            *(
                endpoint(path, handler, methods=[method], errors=errors, proxies=self.deps.proxies)
                for path, handler, method in pages
            ),
            endpoint("/issuer/derivations/{derivation}/state", self.state, methods=["GET"], errors=Problems()),
        ]

    def home(self, request: Request) -> Response:
        """Show what the card session has, or how to begin."""
        visit = self.visit(request)
        if visit.session is None:
            came_back = self.hand_off.cookie_name in request.cookies
            return self.pages.page("start.html", visit=visit, request=request, came_back=came_back)
        session = card_authentication.card_session(visit.session)
        now = self.deps.clock.now()
        with self.deps.database.snapshot() as tx:
            person = people.find(tx, session.person)
            found = derivations.of_person(tx, session.person, SHOWN)
            views = without_replaced([self.view(tx, each) for each in found])
        if person is None:
            raise card_required()
        refusal = self._refusal(session)
        return self.pages.page(
            "home.html",
            visit=visit,
            request=request,
            person=person,
            devices=[view for view in views if view.is_live],
            refusal=refusal.detail if refusal else "",
            approval=None if refusal else approval.standing(self.deps, session.person),
            card_again=now >= session.proved_at + PROOF_LIFETIME_AT_START,
            may_restore=now < session.proved_at + PROOF_LIFETIME,
            done=next((act for act in DONE if act in request.query), ""),
        )

    def present_card(self, request: Request) -> Response:
        """Send the browser to certauth."""
        visit = self.visit(request)
        form = csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        with self.deps.database.transaction() as tx:
            return self.hand_off.begin(
                ProofRequests(tx),
                request,
                purpose=card_authentication.PURPOSE,
                continue_at=NEXT.get(form.get("next", ""), HOME),
                back_at=HOME,
            )

    def card_presented(self, request: Request) -> Response:
        """Take the proof that certauth sent and open a card session."""
        deps = self.deps
        with self.noted("issuer:proof:refused", request), deps.database.transaction() as tx:
            redeemed = self.hand_off.redeem(ProofRequests(tx), request)
            visit = self.sessions.visit(card_sessions.kept(tx), request)
            opened = card_authentication.sign_in(
                tx,
                deps,
                self.sessions,
                visit,
                redeemed.proof,
                source=request.client_address,
                for_keys=redeemed.request.continue_at == KEYS,
            )
        response = self.hand_off.forget(see_other(redeemed.request.continue_at))
        return self.sessions.remember(response, opened)

    def sign_out(self, request: Request) -> Response:
        """End the card session."""
        visit = self.visit(request)
        csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        with self.deps.database.transaction() as tx:
            visit = card_authentication.sign_out(tx, self.deps, self.sessions, visit, source=request.client_address)
        return self.sessions.remember(see_other(HOME), visit)

    def landing(self, request: Request) -> Response:
        """Tell whoever opened the code's address in a browser to scan it; the fragment stays in the browser."""
        return self.pages.page("landing.html", request=request, headers=NO_REFERRER)

    def show_duties(self, request: Request) -> Response:
        """Show what the cardholder accepts."""
        visit = self.visit(request)
        if visit.session is None:
            return see_other(HOME)
        session = card_authentication.card_session(visit.session)
        if self.deps.clock.now() >= session.proved_at + PROOF_LIFETIME_AT_START:
            return see_other(HOME)
        with self.deps.database.snapshot() as tx:
            rule = eligibility.applicant(tx, session.person).rule
            revoked_authorities.require_in_force(tx, self.deps)
            approval.required(tx, self.deps, session.person, rule)
        return self.pages.page(
            "duties.html", visit=visit, request=request, sentences=duties.SENTENCES, version=duties.VERSION, rule=rule
        )

    def ask_approval(self, request: Request) -> Response:
        """Ask an officer to approve, and tell how the request stands."""
        visit = self.visit(request)
        csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        session = card_authentication.card_session(visit.session)
        with self.noted("issuer:approval:refused", request, session):
            approval.ask(self.deps, session, source=request.client_address)
        return see_other(HOME)

    def begin(self, request: Request) -> Response:
        """Take the acceptance and show the QR code, once."""
        visit = self.visit(request)
        form = csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        session = card_authentication.card_session(visit.session)
        if form.get("accepted") != "yes":
            raise duties_not_accepted()
        with self.noted("issuer:derivation:refused", request, session):
            begun = initial_issuance.begin(
                self.deps, session, duties_version=form.get("version", ""), source=request.client_address
            )
        return self.pages.page(
            "qr.html",
            request=request,
            headers=NO_REFERRER,
            qr=qr_image(begun.qr),
            derivation=begun.derivation,
            password=begun.password.reveal() if begun.password else "",
            minutes=int((begun.derivation.expires_at - self.deps.clock.now()).total_seconds() // 60),
        )

    def show_link(self, request: Request) -> Response:
        """Show how far the link is; once a phone has redeemed it, what to compare."""
        visit = self.visit(request)
        if visit.session is None:
            return see_other(HOME)
        derivation = self.own(card_authentication.card_session(visit.session), request)
        with self.deps.database.snapshot() as tx:
            view = self.view(tx, derivation, attestations.of_derivation(tx, derivation.id))
        return self.pages.page("link.html", visit=visit, request=request, view=view)

    def state(self, request: Request) -> Response:
        """Tell the page's script whether to load anew."""
        derivation = self.own(card_authentication.card_session(self.visit(request).session), request)
        with self.deps.database.snapshot() as tx:
            view = self.view(tx, derivation)
        return json_response({"state": view.progress})

    def confirm(self, request: Request) -> Response:
        """Confirm that both screens show the same digits."""
        visit = self.visit(request)
        form = csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        session = card_authentication.card_session(visit.session)
        derivation = derivation_id(request)
        key = documents.thumbprint(form.get("key", ""), "key")
        with self.noted("issuer:link:refused", request, session, subject=str(derivation)):
            linking.confirm(self.deps, session, derivation, key, source=request.client_address)
        return see_other(f"/issuer/derivations/{derivation}")

    def deny(self, request: Request) -> Response:
        """Refuse the phone."""
        visit = self.visit(request)
        csrf.require_own_form(request, self.sessions, visit, self.deps.site_url)
        session = card_authentication.card_session(visit.session)
        derivation = derivation_id(request)
        with self.noted("issuer:link:refused", request, session, subject=str(derivation)):
            linking.deny(self.deps, session, derivation, source=request.client_address)
        return see_other(f"/issuer/derivations/{derivation}")

    def noted(
        self, name: str, request: Request, session: CardSession | None = None, *, subject: str = ""
    ) -> AbstractContextManager[None]:
        """Have written down what is refused inside."""
        actor = ANONYMOUS if session is None else f"person:{session.person}"
        subject = subject or name.split(":")[1]
        return self.deps.refusals.noted(name, actor=actor, subject=subject, source=request.client_address)

    def visit(self, request: Request) -> Visit:
        """Return the browser's visit, with its card session if there is one."""
        return browser_sessions.visit(self.deps.database, self.sessions, sessions_table, request)

    def view(self, tx: Transaction, derivation: Derivation, proved: Iterable[KeyAttestation] = ()) -> DerivationView:
        """Return what pages show of a derivation."""
        found = credentials.of_derivation(tx, derivation.id)
        revoked = revoked_authorities.of_credentials(tx, found)
        return derivation_view(derivation, found, self.deps.clock.now(), proved, revoked=revoked)

    def own(self, session: CardSession, request: Request) -> Derivation:
        """Return the derivation that the path names, if it is the person's own."""
        with self.deps.database.snapshot() as tx:
            derivation = derivations.find(tx, derivation_id(request))
        if derivation is None or derivation.person != session.person:
            raise derivation_unknown()
        return derivation

    def _refusal(self, session: CardSession) -> EtymonError | None:
        try:
            with self.deps.database.snapshot() as tx:
                rule = eligibility.applicant(tx, session.person).rule
                if eligibility.devices_in_use(tx, self.deps.clock, session.person) >= rule.most_derivations:
                    return too_many_derivations(rule.most_derivations)
                revoked_authorities.require_in_force(tx, self.deps)
        except EtymonError as refusal:
            return refusal
        return None


def derivation_id(request: Request) -> UUID:
    """Return which derivation the path names."""
    try:
        return UUID(request.path_parameters["derivation"])
    except ValueError as exc:
        raise derivation_unknown() from exc


def see_other(path: str) -> RedirectResponse:
    """Send the browser to another page."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})
