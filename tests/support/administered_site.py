# SPDX-License-Identifier: Apache-2.0
"""A site where a person signs in with a card file and administers: identity provider, certauth and API over TLS."""

from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from etymon.card import storage
from etymon.card.personalization import Cardholder
from etymon.directory import bindings, roles, trust
from etymon.directory.model import Role
from etymon.idp.model import Client, DeviceAuthorizationKind
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage.database import Database
from support.card_issuer import PIN, Authority, CardIssuer
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR
from support.idp_site import ADMIN_TOOL, ALL_SCOPES, Files, IdPSite
from support.mdm_listeners import AUTHORITIES, RunningSite
from support.mdm_site import MDMSite

PASSPHRASE = Secret("a passphrase for tests")
ENTRY = "software-cards"


@dataclass(frozen=True, slots=True)
class CardFiles:
    """A card in a file, and the files that open it."""

    card: Path
    pin: Path
    passphrase: Path

    @property
    def options(self) -> list[str]:
        return [
            *("--card", str(self.card)),
            *("--pin-file", str(self.pin)),
            *("--passphrase-file", str(self.passphrase)),
        ]


@dataclass(frozen=True, slots=True)
class _Provider:
    """What the endpoint manager of the site is told of its identity provider."""

    issuer: str
    http: httpx.Client
    entropy: SystemEntropy
    tls: Authority


class AdministeredSite(IdPSite):
    """One site; its cards come from an issuer of software cards."""

    def __init__(self, database: Database, clock: TurnedClock, files: Files, directory: Path) -> None:
        self.cards_of_files = CardIssuer()
        self._directory = directory
        further = (self.cards_of_files.root.certificate, self.cards_of_files.issuing.certificate)
        super().__init__(database, clock, files, further_cas=further)
        entry = TrustEntry(
            ENTRY,
            TrustKind.CARD,
            (self.cards_of_files.issuing.certificate,),  # above it nobody asserts policies
            frozenset({"2.999.1.13"}),
            IdentifierKind.UUID,
        )
        with database.transaction() as tx:
            trust.save(tx, self.directory.deps, entry, actor=ADMINISTRATOR)

    def card_file(self, name: str, *held: Role) -> CardFiles:
        """Make a card in a file for a new person with roles."""
        card = self.cards_of_files.card(Cardholder(name.title(), f"{name}@example.test", f"{name}@example.test"))
        files = CardFiles(*(self._directory / f"{name}.{kind}" for kind in ("card", "pin", "passphrase")))
        with storage.create(files.card, PASSPHRASE, card.applet.state):
            files.pin.write_text(PIN.reveal() + "\n", "ascii")
            files.passphrase.write_text(PASSPHRASE.reveal() + "\n", "ascii")
        person = self.directory.person(name)
        with self.database.transaction() as tx:
            for role in held:
                roles.assign(tx, self.directory.deps, person.id, role, actor=ADMINISTRATOR, authority="letter")
            bindings.bind(
                tx,
                self.directory.deps,
                trust_entry=ENTRY,
                identifier=str(card.uuid),
                person_id=person.id,
                actor=ADMINISTRATOR,
            )
        return files

    def close(self) -> None:
        """End the connections that the site's services have among each other."""
        self._http.close()

    def _applications(self, site_url: str, certauth_url: str) -> tuple[Starlette, Starlette]:
        site, certauth = super()._applications(site_url, certauth_url)
        self._http = httpx.Client(verify=self.files.trusting(), trust_env=False, timeout=30)
        provider = _Provider(f"{site_url}/idp", self._http, self.entropy, self.files.tls)
        manager = MDMSite(self.database, self.clock, self._directory, provider, authorities=AUTHORITIES)  # type: ignore[arg-type]  # has what is asked for
        running = RunningSite(manager, self._directory)
        port = int(site_url.rpartition(":")[2])
        running._applications({"site": port, "device": port})  # noqa: SLF001 - its listeners are this site's
        return Starlette(routes=[Mount("/graph", running.app), Mount("/", site)]), certauth

    def _register(self) -> None:
        super()._register()
        client = Client(
            ADMIN_TOOL,
            "Administration",
            ("http://127.0.0.1/",),
            scopes=ALL_SCOPES | {"administration"},
            device_authorization=DeviceAuthorizationKind.OPEN,
        )
        self.register(client)
