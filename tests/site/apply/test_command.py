# SPDX-License-Identifier: Apache-2.0
"""`etymon apply` as it is typed: with a card file, against a site that proves the card itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.directory.model import Role
from etymon.server import command_line
from support import organizations
from support.administered_site import AdministeredSite, CardFiles
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.idp_site import Files

ORGANIZATION = {
    "organization": "Test Agency",
    "groups": [{"name": "Staff", "description": "[bold]Everybody[/]", "members": ["adam@example.test"]}],
    "issuanceRules": [{"name": "staff", "groups": ["Staff"], "purposes": ["authentication"], "lifetimeDays": 365}],
}


class Command:
    """Runs the command and keeps what it wrote."""

    def __init__(self, site: AdministeredSite, folder: Path, captured: pytest.CaptureFixture[str]) -> None:
        self._site, self._folder, self._captured = site, folder, captured
        self.file = organizations.written(folder, ORGANIZATION)
        self.anchors = folder / "anchors.pem"
        self.anchors.write_bytes(site.files.tls.certificate.public_bytes(Encoding.PEM))
        self.written = ""

    def run(self, *options: str, card: CardFiles | None = None, site: str = "") -> int:
        """Return the exit status."""
        address = site or self._site.deps.site_url
        arguments = ["apply", str(self.file), "--site", address, "--ca", str(self.anchors)]
        with pytest.raises(SystemExit) as ended:
            command_line.main([*arguments, *options, *(card.options if card else [])])
        told = self._captured.readouterr()
        self.written = told.out + " ".join(told.err.split())
        return int(ended.value.code or 0)


@pytest.fixture(scope="session")
def idp_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.in_(tmp_path_factory.mktemp("idp"))


@pytest.fixture
def site(
    sqlite_databases: SQLiteDatabases, clock: TurnedClock, idp_files: Files, tmp_path: Path
) -> Iterator[AdministeredSite]:
    database = sqlite_databases.migrated()
    made = AdministeredSite(database, clock, idp_files, tmp_path)
    with made.running():
        yield made
        made.close()
    sqlite_databases.drop(database)


@pytest.fixture
def command(site: AdministeredSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(site, tmp_path, capsys)


def test_an_organisation_is_brought_about_by_two_people_with_cards(command: Command, site: AdministeredSite) -> None:
    administrator, officer = site.card_file("adam", Role.ADMINISTRATOR), site.card_file("olga", Role.OFFICER)
    assert command.run("--check", card=administrator) == 1
    assert "+ make group Staff\n    description: [bold]Everybody[/]\n" in command.written
    assert command.run("--yes", card=administrator) == 0
    assert "For the Officer remains 1 change" in command.written
    assert command.run("--check", card=officer) == 1
    assert command.run("--yes", card=officer) == 0
    for card in (administrator, officer):
        assert command.run("--dry-run", card=card) == 0
        assert "Nothing to do" in command.written


def test_without_yes_it_asks_and_takes_no_answer_for_no(
    command: Command, site: AdministeredSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator = site.card_file("adam", Role.ADMINISTRATOR)
    for answer, status in (("n\n", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", _Typed(answer))
        assert command.run(card=administrator) == status
        assert "Do 2 changes?" in command.written
    assert command.run("--check", card=administrator) == 1  # the Officer's part


def test_a_card_with_no_role_or_a_wrong_pin_is_told_why(command: Command, site: AdministeredSite) -> None:
    somebody = site.card_file("somebody")
    assert command.run(card=somebody) == 2
    assert "This account has no administrative role" in command.written
    somebody.pin.write_text("999999\n", "ascii")
    assert command.run(card=somebody) == 2
    assert "PIN" in command.written


def test_what_cannot_be_used_is_told_and_ends_with_two(command: Command, site: AdministeredSite) -> None:
    administrator = site.card_file("adam", Role.ADMINISTRATOR)
    assert command.run(card=administrator, site="http://site.test") == 2
    assert "Write it like https://HOST:8443" in command.written
    command.file.write_text("organization: [", "utf-8")
    assert command.run(card=administrator) == 2
    assert "is not YAML" in command.written
    command.file.unlink()
    assert command.run(card=administrator) == 2
    assert "cannot be read" in command.written


def test_a_card_is_shown_only_where_the_sites_anchors_are_named(
    command: Command, site: AdministeredSite, tmp_path: Path
) -> None:
    administrator = site.card_file("adam", Role.ADMINISTRATOR)
    command.anchors.write_bytes(site.strangers.certificate.public_bytes(Encoding.PEM))
    assert command.run(card=administrator) == 2
    assert "is not trusted here" in command.written
    command.anchors.unlink()
    assert command.run(card=administrator) == 2
    assert "anchors.pem cannot be read" in command.written
    with pytest.raises(SystemExit) as ended:
        command_line.main(["apply", str(organizations.written(tmp_path, ORGANIZATION))])
    assert ended.value.code == 2


class _Typed:
    """Somebody at the keyboard."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)

    def readline(self) -> str:
        return self._lines.pop(0) if self._lines else ""
