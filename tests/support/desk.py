# SPDX-License-Identifier: Apache-2.0
"""Somebody with roles and a card at a site, who types commands."""

import shlex
from pathlib import Path

import pytest

from etymon.directory import bindings, people
from etymon.directory.model import Role
from etymon.pki.keys import write_once
from support.appointments import give
from support.card_office import ENTRY, PASSPHRASE
from support.typed_command import Typed, typed
from support.whole_site import DOMAIN, TEST, WholeSite


class Desk:
    """A card whose person holds roles, and commands typed beside the site."""

    def __init__(
        self, site: WholeSite, folder: Path, captured: pytest.CaptureFixture[str], name: str, *held: Role
    ) -> None:
        self.site, self._captured = site, captured
        card = site.unbound_card(name)
        card.stored.close()
        for kind, secret in (("pin", card.pin), ("pass", PASSPHRASE)):
            write_once(folder / f"{name}.{kind}", secret.reveal().encode())
        self.options = f"--card {card.made.file} --pin-file {folder / name}.pin --passphrase-file {folder / name}.pass"
        deps = site.wiring.directory
        with site.deployment.database.transaction() as tx:
            self.person = people.create(
                tx,
                deps,
                user_principal_name=f"{name}@{DOMAIN}",
                display_name=name.title(),
                mail_addresses=(f"{name}@{DOMAIN}",),
                actor=TEST,
            )
            give(tx, deps, self.person, *held)
            bindings.bind(tx, deps, trust_entry=ENTRY, identifier=card.made.uuid, person_id=self.person.id, actor=TEST)

    def type(self, command: str, **replaced: str) -> Typed:
        """Type a command of the documentation, with other texts for some of its own."""
        for usual, other in {"/var/lib/etymon": str(self.site.directory / "data"), **replaced}.items():
            command = command.replace(usual, other)
        return typed(self._captured, *shlex.split(command)[1:])
