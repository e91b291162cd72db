# SPDX-License-Identifier: Apache-2.0
"""A whole deployment on loopback ports in this process: card issuer, organisation with its worker, mail, phones.

    with founding.founded(tmp_path) as site:
        alice = site.card_for("alice")
        phone = site.enroll(site.new_phone(), alice)
        site.derive(phone, alice)

Nothing in it stands for something else: the card issuer answers for its cards on a port of its own, TLS is TLS, mail
goes by SMTP. One clock, which a test turns, is everybody's. Tests may share a site: each uses people of its own.
"""

import contextlib
import itertools
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa
from cryptography import x509

from etymon.audit import sealer, trail
from etymon.audit.model import RecordedEvent
from etymon.card.server_trust import ServerNotTrusted, ServerTrust
from etymon.card.tls import CardTLSTransport, TLSIdentity
from etymon.directory import bindings, groups, people
from etymon.directory.model import Person
from etymon.kernel.entropy import Entropy, random_token
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment_profiles, qr_images
from etymon.phone.device import Surroundings
from etymon.phone.key_store.activation import ScryptCost
from etymon.phone.key_store.attestation import PhoneMaker
from etymon.phone.phone import Phone
from etymon.phone.screen import Comparison, UserCode, View
from etymon.phone.state import Hardware
from etymon.server import tls_identity
from etymon.server.demo.browser import Browser
from etymon.server.demo.peers.mail_server import MailServer
from etymon.server.deployment import Deployment
from etymon.server.site import Site
from etymon.server.wiring import Wiring
from etymon.storage.jobs import jobs
from etymon.storage.schema import metadata
from etymon.web.listeners import NO_CHECK_TIME
from etymon.web.rate_limits import MemoryCounters
from support import patience, site_pages, tls_files
from support.card_office import ENTRY, Card, CardOffice
from support.held_phone import HeldPhone
from support.patience import NoPause
from support.running_clock import RunningClock
from support.site_pages import ShownCode
from support.traffic import Traffic

DOMAIN: Final = "agency.example"
ALL_PURPOSES: Final = "Field staff"
SIGN_IN_ONLY: Final = "Visitors"
WITH_PASSWORD: Final = "Typists"
"""Their links ask for the number beside the code."""
OWN_PHONES: Final = "Volunteers"
"""They may link phones that nobody manages."""
LONG_KEYS: Final = "Couriers"
"""Their encryption keys have 3072 bits."""
QUICK: Final = ScryptCost(n=2**10)
NOT_STATE: Final = (
    "audit_",
    "jobs",
    "idp_counters",
    "idp_sessions",
    "issuer_sessions",
    "issuer_access_tokens",
    "issuer_client_assertions",
    "issuer_card_sources",
    "ca_revocation_lists",
    "ca_ocsp_answers",
)
"""Tables in which a refusal, merely looking at a page, or the worker by itself leaves traces."""
THE_SITES_OWN: Final = ("tls-server", "ocsp-responder")
"""Certificates that a site renews by itself."""

TEST: Final = "test"


class WholeSite:
    """A running organisation and what surrounds it."""

    def __init__(
        self, directory: Path, clock: RunningClock, wiring: Wiring, cards: CardOffice, mail: MailServer
    ) -> None:
        self.directory, self.clock, self.wiring, self.cards, self.mail = directory, clock, wiring, cards, mail
        self.entropy: Entropy = wiring.deployment.entropy
        self.traffic = Traffic()
        self.codes: Mapping[str, Secret[str]] = {}
        self.running: Site | None = None
        self._cards: dict[str, Card] = {}
        self.services, self.clients = ExitStack(), ExitStack()
        self._numbers = itertools.count(1)

    # ---- addresses and ways there

    @property
    def deployment(self) -> Deployment:
        return self.wiring.deployment

    @property
    def url(self) -> str:
        return self.deployment.settings.site_url

    @property
    def device_url(self) -> str:
        return self.deployment.settings.device_url

    @property
    def status_url(self) -> str:
        return self.deployment.settings.status_url

    @cached_property
    def server_anchors(self) -> tuple[x509.Certificate, ...]:
        """What a PC of the organisation trusts as servers."""
        return tls_identity.anchors(self.deployment)

    @cached_property
    def _plain(self) -> ssl.SSLContext:
        """TLS of a program without a certificate; the machine's clock does not count."""
        context = tls_files.trusting(self.server_anchors)
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        return context

    def transport(self, identity: TLSIdentity | None = None) -> httpx.BaseTransport:
        """Return the way to the site for who shows `identity` when it is asked; servers are judged by its clock."""
        if identity is None:
            return httpx.HTTPTransport(verify=self._plain)
        return CardTLSTransport(trust=ServerTrust(self.server_anchors), clock=self.clock, identity=identity)

    def client(self, identity: TLSIdentity | None = None, *, base_url: str = "") -> httpx.Client:
        """Return a program that shows `identity` in TLS; addresses without a host are those of the site."""
        client = httpx.Client(
            transport=self.transport(identity),
            mounts={"http://": httpx.HTTPTransport()},
            base_url=base_url or self.url,
            timeout=60,
        )
        return self.clients.enter_context(client)

    def browser(self, holder: Card | TLSIdentity | None = None) -> Browser:
        """Return a browser at a PC; certauth is shown the card in its reader, or another certificate."""
        identity = holder.identity() if isinstance(holder, Card) else holder
        certauth = self.deployment.settings.certauth_url
        browser = Browser(self.transport(), self.transport(identity), certauth_origin=certauth)
        return self.clients.enter_context(browser)

    # ---- people and cards

    def person(self, name: str) -> Person:
        """Return an active person."""
        with self.deployment.database.snapshot() as tx:
            found = people.by_user_principal_name(tx, f"{name}@{DOMAIN}")
        assert found is not None
        return found

    def card_for(self, name: str, *, group: str = SIGN_IN_ONLY) -> Card:
        """Return somebody's card in a reader; made, with the account it is bound to, the first time."""
        if name not in self._cards:
            card = self.unbound_card(name)
            with self.deployment.database.transaction() as tx:
                deps = self.wiring.directory
                person = people.create(
                    tx,
                    deps,
                    user_principal_name=f"{name}@{DOMAIN}",
                    display_name=f"{name.title()} Example",
                    mail_addresses=(f"{name}@{DOMAIN}",),
                    actor=TEST,
                )
                bindings.bind(tx, deps, trust_entry=ENTRY, identifier=card.made.uuid, person_id=person.id, actor=TEST)
                found = groups.by_name(tx, group)
                assert found is not None
                groups.add_member(tx, deps, found.id, person.id, actor=TEST)
            self._cards[name] = card
        return self._cards[name]

    def unbound_card(self, name: str) -> Card:
        """Return a new card of somebody whom the organisation does not know."""
        return self.cards.make(f"{name}{next(self._numbers)}", f"{name}@{DOMAIN}")

    # ---- phones

    def new_phone(self, *, roots: Sequence[x509.Certificate] = (), maker: PhoneMaker | None = None) -> HeldPhone:
        """Return a factory-new phone; by a maker one that attests its keys."""
        number = next(self._numbers)
        surroundings = Surroundings(self.clock, self.entropy, NoPause(), QUICK)
        hardware = Hardware(f"SN-{number:04}", manufacturer="Google", model="Pixel 9")
        phone = Phone.new(self.directory / f"phone{number}", surroundings, hardware=hardware, roots=roots, maker=maker)
        self.clients.callback(phone.close)
        return HeldPhone(phone, Secret(random_token(self.entropy, bits=96)))

    def enrollment_image(self) -> bytes:
        """Return the picture of the enrollment code that the administrator hands out."""
        with self.deployment.database.snapshot() as tx:
            (profile,) = enrollment_profiles.page(tx, self.wiring.mdm, after=None, limit=2)
        code = enrollment_profiles.code(self.wiring.mdm, profile)
        assert code is not None
        return qr_images.png(code.text)

    def enroll(self, held: HeldPhone, card: Card) -> HeldPhone:
        """Enroll a phone: scan the code, approve with the card at a PC."""
        held.phone.provision(self.enrollment_image())
        browser = self.browser(card)
        held.does = lambda view: _when(view, UserCode, lambda shown: site_pages.approve(browser, shown))
        held.phone.enroll(held.show)
        held.does = lambda _: None
        return held

    def derive(self, held: HeldPhone, card: Card) -> HeldPhone:
        """Put a derived credential on an enrolled phone: card at a PC, code, six digits, confirmation."""
        browser = self.browser(card)
        site_pages.expect(site_pages.present_card(browser, self.url), "home")
        return self.link(held, browser, site_pages.show_code(browser, self.url))

    def link(self, held: HeldPhone, browser: Browser, shown: ShownCode) -> HeldPhone:
        """Scan a code that a PC shows, confirm there, and go through to installed certificates."""
        held.does = lambda view: _when(
            view, Comparison, lambda found: site_pages.confirm(browser, shown.page, found.digits)
        )
        held.numbers += [shown.password] if shown.password else []
        held.phone.set_up_derived_credential(shown.image, held)
        held.does = lambda _: None
        return held

    def phone_of(self, name: str, *, group: str = SIGN_IN_ONLY) -> HeldPhone:
        """Return somebody's phone, enrolled and with a derived credential."""
        card = self.card_for(name, group=group)
        return self.derive(self.enroll(self.new_phone(), card), card)

    # ---- time, the worker, and what is kept

    def turn(self, **by: float) -> None:
        """Set everybody's clock ahead (arguments of `timedelta`); the audit trail is sealed before and after."""
        self.seal()
        self.clock.advance(timedelta(**by))
        self.seal()
        patience.until(self._is_well, "the site shows a certificate that is good at the new time")

    def _is_well(self) -> bool:
        judging = CardTLSTransport(trust=ServerTrust(self.server_anchors), clock=self.clock)
        with contextlib.suppress(httpx.TransportError, ServerNotTrusted), httpx.Client(transport=judging) as client:
            return client.get(f"{self.url}/healthz").is_success
        return False

    def seal(self) -> None:
        """Seal both audit trails now, as their workers do every few seconds."""
        deployment = self.deployment
        sealer.seal(deployment.database, deployment.clock, deployment.entropy, deployment.signer("audit-seal"))
        self.cards.issuer.keep_up()

    def settle(self) -> None:
        """Wait until the worker has done what is due."""
        patience.until(lambda: not self._due(), "the worker does what is due")

    def _due(self) -> int:
        due = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.due_at <= self.clock.now())
        with self.deployment.database.snapshot() as tx:
            return tx.scalar(due) or 0

    def forgive(self) -> None:
        """Forget guesses, starts and refusals that were counted against addresses and browsers."""
        self.deployment.refusals.counters = MemoryCounters(self.clock)
        with self.deployment.database.transaction() as tx:
            tx.execute(sa.delete(metadata.tables["idp_counters"]))

    def events(self, name: str) -> list[RecordedEvent]:
        """Return audit events of a name, newest first."""
        with self.deployment.database.snapshot() as tx:
            return trail.page(tx, name=name, limit=200)

    def rows(self, table: str) -> list[Mapping[str, Any]]:
        """Return every row of a table."""
        with self.deployment.database.snapshot() as tx:
            return [dict(row) for row in tx.execute(sa.select(metadata.tables[table])).mappings()]

    def state(self) -> Mapping[str, frozenset[str]]:
        """Return all that is kept, but for what a refusal may leave; two of them compare."""
        tables = [name for name in metadata.tables if not name.startswith(NOT_STATE)]
        return {
            name: frozenset(
                repr(sorted(row.items())) for row in self.rows(name) if row.get("profile") not in THE_SITES_OWN
            )
            for name in tables
        }

    def close(self) -> None:
        """Close every client, phone and card."""
        self.clients.close()
        self.cards.close()


def _when(view: View, kind: type[Any], act: Any) -> None:
    if isinstance(view, kind):
        act(view)
