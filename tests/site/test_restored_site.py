# SPDX-License-Identifier: Apache-2.0
"""A site that runs again from its backup: what its page has an Administrator type, and the next phone that enrolls.

What had been handed out before is shown again there, and refused.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
import zxingcpp
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image

from etymon.directory import bindings
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment_profiles
from etymon.mdm.enrollment_profile import ProfileTerms
from etymon.phone.screen import UserCode
from etymon.pki.keys import write_once
from etymon.wire import enrollment_qr
from etymon.wire.enrollment_qr import SetupNetwork
from support import founding, site_pages
from support.card_office import ENTRY, PASSPHRASE, Card
from support.held_phone import HeldPhone
from support.page_commands import commands
from support.site_pages import ShownCode
from support.typed_command import Typed, typed
from support.whole_site import TEST, WholeSite

NETWORK = SetupNetwork("Setup", "WPA", Secret("correct horse battery"))
PROFILE = {"name": "Phones", "tokenDays": 30, "wifi": {"ssid": "Setup", "security": "wpa", "passwordFile": "wifi.txt"}}


@dataclass
class Desk:
    """A directory where commands are typed."""

    folder: Path
    captured: pytest.CaptureFixture[str]

    def type(self, command: str, **replaced: str | Path) -> Typed:
        words = [str(replaced.get(word, word)) for word in shlex.split(command)[1:]]
        return typed(self.captured, *words)

    def done(self, command: str, **replaced: str | Path) -> Typed:
        done = self.type(command, **replaced)
        assert done.status == 0, (command, done)
        return done

    def restore(self) -> None:
        """Take a backup of the site and restore it."""
        recipient = self.done("etymon backup-key identity").out.strip()
        self.done(f"etymon backup site.age --data data --recipient {recipient}")
        self.done("etymon restore site.age --data newsite --identity identity --passphrase-file card.pass")


@dataclass
class HandedOut:
    """What a person had from the site before its backup: the cookies of a browser, a link, an enrollment code."""

    card: Card
    cookies: dict[tuple[str, str], str]
    link: ShownCode
    invitation: bytes


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WholeSite]:
    with founding.founded(tmp_path) as site:
        yield site


@pytest.fixture
def desk(site: WholeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A directory with the Administrator's card and the organisation's file; its profile is as the file says."""
    monkeypatch.chdir(tmp_path)
    card = site.unbound_card("ada")
    card.stored.close()
    with site.deployment.database.transaction() as tx:
        ada, mdm = site.person("ada"), site.wiring.mdm
        bindings.bind(
            tx, site.wiring.directory, trust_entry=ENTRY, identifier=card.made.uuid, person_id=ada.id, actor=TEST
        )
        (phones,) = enrollment_profiles.page(tx, mdm, after=None, limit=2)
        enrollment_profiles.update(tx, mdm, phones.id, ProfileTerms("Phones", network=NETWORK), actor=TEST)
    Path("ada.card").symlink_to(card.made.file)
    write_once(Path("card.pin"), card.pin.reveal().encode())
    write_once(Path("card.pass"), PASSPHRASE.reveal().encode())
    Path("wifi.txt").write_text("correct horse battery\n")
    document = {"organization": "Example Agency", "enrollmentProfiles": [PROFILE]}
    Path("organization.yaml").write_text(yaml.safe_dump(document))
    return Desk(tmp_path, capsys)


def handed_out(site: WholeSite) -> HandedOut:
    card = site.card_for("pat")
    browser = site.browser(card)
    site_pages.expect(site_pages.present_card(browser, site.url), "home")
    link = site_pages.show_code(browser, site.url)
    return HandedOut(card, dict(browser.cookies), link, site.enrollment_image())


def test_a_restored_site_takes_the_file_gives_new_codes_and_refuses_the_old(site: WholeSite, desk: Desk) -> None:
    before = handed_out(site)
    desk.restore()
    with founding.restored(site, desk.folder / "newsite") as again:
        assert again.client().get("/healthz").json()["status"] == "ok"
        administer(again, desk)
        held = again.new_phone()
        held.phone.provision(before.invitation)
        with pytest.raises(EtymonError, match=r"enrollment_token_unknown.*Ask for a new code"):
            held.phone.enroll(held.show)
        held = again.new_phone()
        held.phone.provision(Path("new.png").read_bytes())
        held.phone.enroll(lambda shown: approve(again, before.card, shown))
        assert len(again.events("mdm:enrollment:completed")) == 1
        (restored,) = again.events("server:backup:restored")
        assert restored.event.facts["admissions_closed"] == 1
        refuses(again, held, before)


def administer(site: WholeSite, desk: Desk) -> None:
    """Type what the page says for a running restored site."""
    seal = site.deployment.signer("audit-seal").public_key
    Path("audit-seal.pem").write_bytes(seal.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    verify, apply, code = [
        command
        for command in commands("backup-and-restore.md")
        if command.startswith(("etymon audit", "etymon apply", "etymon enrollment-code"))
    ]
    assert json.loads(desk.done(verify, NEWDIR="newsite").out)["valid"] is True
    desk.type(code, NEWDIR="newsite").refused("The profile Phones has no token", "no_enrollment_token")
    applied = desk.done(f"{apply} --yes", NEWDIR="newsite")
    done = [line for line in (applied.out + applied.err).splitlines() if line.startswith("done:")]
    assert done == ["done: enrollment profile Phones: a token for 30 days"], "nobody has to send the password again"
    desk.done(f"{code} --output new.png", NEWDIR="newsite")
    (found,) = zxingcpp.read_barcodes(Image.open("new.png"))
    assert enrollment_qr.decode(found.text).network == NETWORK


def refuses(site: WholeSite, held: HeldPhone, before: HandedOut) -> None:
    """Show the restored site a link and a session of before the backup."""
    with pytest.raises(EtymonError, match=r"link_secret_wrong.*have a new one shown"):
        held.phone.set_up_derived_credential(before.link.image, held)
    browser = site.browser()
    browser.cookies |= before.cookies
    page = browser.get(f"{site.url}/issuer/derivations/new")
    assert (page.status, page.code) == (200, "start"), "who was signed in is asked for the card"


def approve(site: WholeSite, card: Card, shown: UserCode) -> None:
    site_pages.approve(site.browser(card), shown)
