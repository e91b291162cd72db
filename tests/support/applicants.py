# SPDX-License-Identifier: Apache-2.0
"""People of an issuer site with a card of their own, who ask for approval and derive."""

import itertools
from dataclasses import dataclass
from typing import Final

from etymon.directory.model import Person, Role
from etymon.issuer import approval
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.model import CardSession
from etymon.issuer.request import DerivationRequest, RequestState
from etymon.issuer.store import requests
from support.appointments import appoint_officer
from support.declared_pki import Certified
from support.issuer_phone import Phone
from support.issuer_site import PC, IssuerSite, Link

NUMBERS: Final = itertools.count()


@dataclass(frozen=True)
class Applicant:
    """Somebody the rule covers, with a card."""

    site: IssuerSite
    person: Person
    card: Certified

    def session(self) -> CardSession:
        return self.site.present_card(self.card)

    def ask(self) -> DerivationRequest:
        return approval.ask(self.site.deps, self.session(), source=PC)

    def waiting(self) -> tuple[CardSession, Begun, Phone]:
        """Go as far as a phone that waits for the PC."""
        session = self.session()
        begun, phone = self.site.begin(session), self.site.phone()
        self.site.redeem(phone, begun)
        return session, begun, phone

    def derived(self) -> Link:
        """Go as far as a phone with its certificate for sign-in."""
        link = self.site.linked(card=self.card)
        link.enroll()
        return link

    def state(self) -> RequestState:
        """Return where the latest request under the present rule stands."""
        with self.site.database.snapshot() as tx:
            found = requests.latest(tx, self.person.id, self.site.rule.id)
        assert found is not None
        return found.state


def somebody(site: IssuerSite, *, role: Role | None = None) -> Applicant:
    """Return a new person whom the rule covers."""
    person = site.person(f"person{next(NUMBERS)}", role=role)
    site.join(person)
    return Applicant(site, person, site.bound_card(person))


def unconfirmed_officer(site: IssuerSite) -> Person:
    """Return somebody new whom an Officer made an Officer, and whom nobody confirmed."""
    person = site.person(f"person{next(NUMBERS)}")
    with site.database.transaction() as tx:
        appoint_officer(tx, site.deps, person)
    return person


def approve(site: IssuerSite, request: DerivationRequest, officer: Person | None = None) -> DerivationRequest:
    """Approve as an officer, usually the site's."""
    return approval.approve(site.deps, request.id, officer=(officer or site.officer).id, source=PC)


def told(site: IssuerSite, applicant: Applicant, subject: str) -> str:
    """Return the one mail about a subject that a person was sent since mail was last taken."""
    mine = [mail for mail in site.mail() if mail["to"] == list(applicant.person.mail_addresses)]
    (text,) = [mail["text"] for mail in mine if mail["subject"].startswith(subject)]
    return str(text)
