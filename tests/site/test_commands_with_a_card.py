# SPDX-License-Identifier: Apache-2.0
"""`etymon card bind`, `etymon enrollment-code` and `etymon audit list` as they are typed, against a whole site."""

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from cryptography.hazmat.primitives.serialization import Encoding
from PIL import Image

from etymon.ca.model import RevocationReason
from etymon.directory import bindings, people, roles
from etymon.directory.model import Person, Role
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment_profiles
from etymon.mdm.enrollment_profile import ProfileTerms
from etymon.mdm.tables import enrollment_profiles as profiles
from etymon.pki.keys import write_once
from etymon.wire import enrollment_qr
from support.card_office import ENTRY, PASSPHRASE, Card
from support.founding import founded
from support.page_commands import commands
from support.typed_command import Typed, typed
from support.whole_site import DOMAIN, TEST, WholeSite


class Desk:
    """Commands typed beside a site, with files of their own."""

    def __init__(self, site: WholeSite, folder: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.site, self.folder, self._captured = site, folder, captured
        self.anchors = folder / "anchors.pem"
        self.anchors.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in site.server_anchors))
        self.passphrase = self.file("passphrase", PASSPHRASE)

    def file(self, name: str, content: Secret[str]) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        write_once(path, content.reveal().encode())
        return path

    def card(self, name: str) -> Card:
        """Return a new card that is in no reader."""
        card = self.site.unbound_card(name)
        card.stored.close()
        return card

    def bind(self, card: Card, code: Secret[str], *options: str | Path, pin: Secret[str] | None = None) -> Typed:
        where = options or ("--site", self.site.url, "--ca", self.anchors)
        return typed(
            self._captured,
            *("card", "bind", card.made.file, "--code-file", self.file("code", code), *where),
            *("--pin-file", self.file("pin", pin or card.pin), "--passphrase-file", self.passphrase),
        )

    def enrollment_code(self, card: Card, profile: str, *options: str | Path) -> Typed:
        return typed(
            self._captured,
            *("enrollment-code", profile, "--site", self.site.url, "--ca", self.anchors, *options),
            *("--card", card.made.file, "--pin-file", self.file("pin", card.pin)),
            *("--passphrase-file", self.passphrase),
        )

    def audit_list(self, card: Card, *options: str | Path) -> Typed:
        return typed(
            self._captured,
            *("audit", "list", "--site", self.site.url, "--ca", self.anchors, *options),
            *("--card", card.made.file, "--pin-file", self.file("pin", card.pin)),
            *("--passphrase-file", self.passphrase),
        )

    def person(self, name: str, *held: Role) -> Person:
        deps = self.site.wiring.directory
        with self.site.deployment.database.transaction() as tx:
            person = people.create(
                tx,
                deps,
                user_principal_name=f"{name}@{DOMAIN}",
                display_name=f"{name.title()} Example",
                mail_addresses=(),
                actor=TEST,
            )
            for role in held:
                roles.assign(tx, deps, person.id, role, actor=TEST, authority="letter")
        return person

    def code(self, person: Person) -> Secret[str]:
        with self.site.deployment.database.transaction() as tx:
            return bindings.issue_code(tx, self.site.wiring.directory, person_id=person.id, actor=TEST)

    def bound(self, name: str, *held: Role) -> Card:
        """Return the card of a new person with roles."""
        card, person = self.card(name), self.person(name, *held)
        with self.site.deployment.database.transaction() as tx:
            deps = self.site.wiring.directory
            bindings.bind(tx, deps, trust_entry=ENTRY, identifier=card.made.uuid, person_id=person.id, actor=TEST)
        return card

    def profile(self, name: str, *, with_token: bool = True) -> str:
        """Make an enrollment profile and return its token."""
        mdm = self.site.wiring.mdm
        with self.site.deployment.database.transaction() as tx:
            made = enrollment_profiles.create(tx, mdm, ProfileTerms(name), actor=TEST)
            if with_token:
                enrollment_profiles.create_token(tx, mdm, made.id, lifetime=None, actor=TEST)
                made = enrollment_profiles.get(tx, mdm, made.id)
        return made.token.value.reveal() if made.token else ""


@pytest.fixture(scope="module")
def lent_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """A site of these tests' own: they make enrollment profiles, and phones of other tests look for the only one."""
    with founded(tmp_path_factory.mktemp("lent")) as site:
        yield site


@pytest.fixture
def desk(lent_site: WholeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    lent_site.forgive()
    return Desk(lent_site, tmp_path, capsys)


def test_a_card_is_bound_by_its_code_and_signs_in_from_then_on(desk: Desk) -> None:
    card, person = desk.card("bea"), desk.person("bea", Role.ADMINISTRATOR)
    code = desk.code(person)
    done = desk.bind(card, code)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{card.made.file} is bound. From now on your card signs you in as Bea Example.\n"
    with desk.site.deployment.database.snapshot() as tx:
        assert bindings.person_for(tx, ENTRY, card.made.uuid) == person
    token = desk.profile("Bea's phones")
    fetched = desk.enrollment_code(card, "Bea's phones")
    assert token in fetched.out
    desk.bind(card, code).refused("The code is refused: This code is not valid, or no longer", "binding_code_refused")


def test_a_wrong_code_a_wrong_card_or_a_wrong_pin_binds_nothing(desk: Desk) -> None:
    card, person = desk.card("cid"), desk.person("cid")
    code = desk.code(person)
    desk.bind(card, Secret("CKM68-9VJ74-DP960-CM50S-5GG3Q-3YBGG")).refused("binding_code_refused")
    wrong = Secret(f"{(int(card.pin.reveal()) + 1) % 10**8:08}")
    desk.bind(card, code, pin=wrong).refused("The PIN or PUK is wrong; 2 tries are left.")
    desk.bind(card, code, pin=Secret("12")).refused("A PIN has six to eight decimal digits")
    desk.site.cards.issuer.revoke(card.made.authentication, RevocationReason.KEY_COMPROMISE)
    desk.bind(card, code).refused("The card is refused", "revoked")
    with desk.site.deployment.database.snapshot() as tx:
        assert bindings.person_for(tx, ENTRY, card.made.uuid) is None


def test_a_card_of_somebody_else_stays_theirs(desk: Desk) -> None:
    theirs = desk.bound("dora")
    desk.bind(theirs, desk.code(desk.person("eve"))).refused("The code is refused", "identifier_bound")


def test_a_card_is_shown_to_nobody_but_the_site(desk: Desk) -> None:
    card, code = desk.card("fay"), Secret("CKM68-9VJ74-DP960-CM50S-5GG3Q-3YBGG")
    strangers = desk.folder / "strangers.pem"
    strangers.write_bytes(desk.site.cards.issuer.chain()[0].public_bytes(Encoding.PEM))
    url = desk.site.url
    desk.bind(card, code, "--site", url, "--ca", strangers).refused("Name the site's TLS anchors with --ca")
    desk.bind(card, code, "--site", url).refused("Name the TLS anchors of the site")
    desk.bind(card, code, "--site", "https://127.0.0.1:1", "--ca", desk.anchors).refused("cannot be reached")
    desk.bind(card, code, "--site", desk.site.device_url, "--ca", desk.anchors).refused("answers 404. Is that the site")
    desk.bind(card, code, "--ca", desk.anchors).refused("Name the site with --site")


def test_an_enrollment_code_is_given_as_token_picture_and_drawing(desk: Desk) -> None:
    card, token = desk.bound("gus", Role.ADMINISTRATOR), desk.profile("Tablets")
    png, svg = desk.folder / "code.png", desk.folder / "code.SVG"
    for output in (png, svg):
        told = desk.enrollment_code(card, "Tablets", "--output", output)
        assert (told.status, told.err) == (0, "")
        assert told.out.splitlines() == [
            f"The QR code is in {output}.",
            f"token    {token}",
            "expires  when it is revoked",
            "The code is for simulated phones only: no Android agent is configured (`etymon settings`).",
        ]
        assert output.stat().st_mode & 0o777 == 0o600
    (scanned,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(png.read_bytes())))
    assert enrollment_qr.decode(scanned.text).invitation.token.reveal() == token
    assert b"<svg" in svg.read_bytes()
    drawn = desk.enrollment_code(card, "Tablets").out
    assert "▀" in drawn
    assert token in drawn


def test_an_auditor_lists_the_trail_by_role(desk: Desk) -> None:
    auditor, ina = desk.bound("aude", Role.AUDITOR), desk.person("ina", Role.OPERATOR)
    about = ("--subject", f"person:{ina.id}", "--since", "2020-01-01T00:00:00Z")
    told = desk.audit_list(auditor, *about, "--name", "directory:role:assigned", "--json")
    assert (told.status, told.err) == (0, "")
    (event,) = map(json.loads, told.out.splitlines())
    assert (event["actor"], event["facts"]["role"]) == (TEST, "operator")
    by_name = ("--subject", f"ina@{DOMAIN}", "--name", "directory:role:assigned", "--json")
    assert [json.loads(each)["id"] for each in desk.audit_list(auditor, *by_name).out.splitlines()] == [event["id"]]
    others = desk.audit_list(auditor, *about, "--not-name", "directory:role:assigned", "--json").out
    assert [json.loads(each)["name"] for each in others.splitlines()] == ["directory:person:created"]
    (created,) = map(json.loads, others.splitlines())
    assert created["facts"]["user_principal_name"] == f"ina@{DOMAIN}"
    desk.audit_list(auditor, "--name", "directory:role:asigned").refused("The nearest: directory:role:assigned")
    desk.audit_list(auditor, "--actor", f"nobody@{DOMAIN}").refused("user_not_found")
    desk.audit_list(auditor, "--actor", "otto").refused("No actor is called otto. It is KIND:ID")
    (line,) = desk.audit_list(auditor, *about, "--limit", "1").out.splitlines()
    assert 'role="operator"' in line
    nothing = desk.audit_list(auditor, *about, "--until", "2020-01-02T00:00:00Z")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "No such event is in the trail.\n")
    of_the_page = [found for found in commands("audit-trail.md") if found.startswith("etymon audit list")]
    for command in of_the_page:
        options = shlex.split(command.replace("person:ID", f"person:{ina.id}"))[3:]
        del options[options.index("--site") :]  # the last, and this site has another address
        assert desk.audit_list(auditor, *options).status == 0, command
    assert len(of_the_page) == 4
    desk.audit_list(auditor, "--since", "yesterday").refused("--since is a time with its offset")
    refused = desk.audit_list(desk.bound("adam", Role.ADMINISTRATOR))
    assert refused.status == 2
    assert "This needs the role auditor. An Officer gives it." in refused.err


def test_an_enrollment_code_is_for_administrators_and_for_one_profile_with_a_token(desk: Desk) -> None:
    administrator, officer = desk.bound("hal", Role.ADMINISTRATOR), desk.bound("ida", Role.OFFICER)
    nobody = desk.bound("jon")
    desk.enrollment_code(officer, "Phones").refused("shown to Administrators only")
    desk.enrollment_code(nobody, "Phones").refused("This account has no administrative role")
    desk.enrollment_code(administrator, "Fones").refused("No enrollment profile is called Fones. There are: ")
    desk.profile("Empty", with_token=False)
    desk.enrollment_code(administrator, "Empty").refused("The profile Empty has no token", "tokenDays")
    desk.profile("Wireless")
    with desk.site.deployment.database.transaction() as tx:  # as a password that lies under a key of before
        damaged = {"network_ssid": "setup", "network_security": "WPA", "network_password": bytes(40)}
        tx.execute(profiles.update().where(profiles.c.display_name == "Wireless").values(damaged))
    desk.enrollment_code(administrator, "Wireless").refused("The password of the Wi-Fi setup", "passwordFile")
    desk.profile("Phones")
    desk.enrollment_code(administrator, "Phones").refused("2 enrollment profiles are called Phones")


def test_an_enrollment_code_goes_into_a_new_picture_only(desk: Desk) -> None:
    card, there = desk.card("kim"), desk.folder / "there.png"
    there.write_bytes(b"")
    for output, told in (
        (there, "is there already"),
        (desk.folder / "code.jpg", "neither a .png nor an .svg"),
        (desk.folder / "none" / "code.png", "There is no directory"),
    ):
        desk.enrollment_code(card, "Phones", "--output", output).refused(told)
    assert there.read_bytes() == b""
