# SPDX-License-Identifier: Apache-2.0
"""People with cards for key ceremonies, and the lists of their cards' issuer; nothing of it is on a network."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import crl
from etymon.ca.model import RevocationReason
from etymon.directory.model import Role
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.trust_entry import TrustEntry
from etymon.server.deployment import Deployment
from etymon.server.initialization import RootKeys
from etymon.server.key_ceremony import confirmation, performance, writing
from etymon.server.key_ceremony.confirmation import Confirmation
from etymon.server.key_ceremony.listed_status import ListedStatus
from etymon.server.key_ceremony.performance import Means
from etymon.server.key_ceremony.script import Participant, Script
from etymon.server.key_places import RootToken
from support.card_office import PASSPHRASE, Card, CardOffice
from support.running_clock import RunningClock

CARD_AUTHORITIES: Final = ("card", "card-intermediate", "card-root")
PLACE: Final = "Room 1"
PEOPLE: Final = {"ada": Role.ADMINISTRATOR, "otto": Role.OFFICER, "mallory": Role.OPERATOR}


class Halt(Exception):
    """The machine stops here."""


class HaltingClock:
    """A clock that stops the machine when it was looked at so often: in the middle of whatever is being done."""

    def __init__(self, looks: int) -> None:
        self._clock, self._left = RunningClock(), looks

    def now(self) -> datetime:
        self._left -= 1
        if self._left < 0:
            raise Halt
        return self._clock.now()


class Assembly:
    """An agency's cards in the hands of Ada, Otto and Mallory."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.clock, self.entropy = directory, RunningClock(), SystemEntropy()
        self.office = CardOffice(directory, "Example Card Agency", self.clock, self.entropy, 1)
        self.cards: Mapping[str, Card] = {name: self.office.make(name, f"{name}@agency.example") for name in PEOPLE}
        for name, card in self.cards.items():
            (directory / f"{name}.pem").write_bytes(_pem(card))
        self.lists: Sequence[bytes] = self.current_lists()

    def current_lists(self) -> list[bytes]:
        """Return the lists of all authorities of the cards, in DER."""
        return [crl.refresh(self.office.issuer.authority, name).der for name in CARD_AUTHORITIES]

    def revoke(self, card: Card) -> None:
        """Have a card revoked."""
        self.office.issuer.revoke(card.made.authentication, RevocationReason.KEY_COMPROMISE)

    def participant(self, name: str, role: Role | None = None) -> Participant:
        address = f"{name}@agency.example"
        return Participant(role or PEOPLE[name], address, name.title(), address, self.cards[name].made.authentication)

    def script(self, *names: str, entries: Sequence[TrustEntry] | None = None, **configuration: object) -> Script:
        """Return the script for a new organisation."""
        return writing.organization(
            {
                "organization": "Example Agency",
                "loopback_demo": True,
                "status_url": "http://127.0.0.1:1",
                **configuration,
            },
            [self.office.entry()] if entries is None else entries,
            [self.participant(name) for name in names or ("ada", "otto")],
            PLACE,
            "p256",
            self.clock,
            self.entropy,
        )

    def confirmed(self, script: Script, *names: str, at: datetime | None = None) -> list[Confirmation]:
        """Return the confirmations of people's cards."""
        return [
            confirmation.confirm(
                script, card.made.authentication, card.identity().key, self.clock.now() if at is None else at
            )
            for card in (self.cards[name] for name in names or ("ada", "otto"))
        ]

    def means(self, data: Path, roots: RootKeys | RootToken, clock: Clock | None = None) -> Means:
        listed = ListedStatus(self.lists)
        return Means(data, PASSPHRASE, roots, lambda _: listed, clock or self.clock, self.entropy)

    def performed(self, script: Script, means: Means) -> Path:
        """Have a script confirmed by Ada and Otto, and performed."""
        return performance.perform(script, self.confirmed(script), means)

    def without_lists(self, means: Means) -> Means:
        """Return the same without any knowledge of the cards."""
        return replace(means, status_of=lambda _: ListedStatus([]))


@dataclass
class Founded:
    """An organisation that was made in a ceremony."""

    assembly: Assembly
    data: Path
    roots: RootKeys
    script: Script
    record: Path

    @classmethod
    def by(cls, assembly: Assembly, script: Script, folder: Path) -> "Founded":
        """Have a script performed in a folder."""
        roots = RootKeys(folder / "roots", PASSPHRASE)
        return cls(
            assembly, folder / "data", roots, script, assembly.performed(script, assembly.means(folder / "data", roots))
        )

    def copy(self, folder: Path) -> "Founded":
        """Return the same organisation somewhere else, for a test that leaves it another one."""
        shutil.copytree(self.data, folder / "data")
        shutil.copytree(self.roots.directory, folder / "roots")
        return replace(self, data=folder / "data", roots=RootKeys(folder / "roots", PASSPHRASE))

    def opened(self) -> Deployment:
        return Deployment.open(self.data, PASSPHRASE, self.assembly.clock, self.assembly.entropy)

    def cards(self, *names: str) -> list[Path]:
        return [self.assembly.directory / f"{name}.pem" for name in names or ("ada", "otto")]

    def later(self, script: Script, roots: RootKeys | RootToken | None = None, clock: Clock | None = None) -> Path:
        """Have a script of a later ceremony confirmed and performed."""
        return self.assembly.performed(script, self.assembly.means(self.data, roots or self.roots, clock))


def without_managed(script: Script) -> Script:
    """Return the script as it was before there was a hierarchy for what others manage."""
    return replace(script, authorities=tuple(name for name in script.authorities if not name.startswith("managed")))


@contextmanager
def assembled(directory: Path) -> Iterator[Assembly]:
    """Give people their cards until the block ends."""
    assembly = Assembly(directory)
    try:
        yield assembly
    finally:
        assembly.office.close()


def _pem(card: Card) -> bytes:
    return card.made.authentication.public_bytes(Encoding.PEM)
