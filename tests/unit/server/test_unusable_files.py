# SPDX-License-Identifier: Apache-2.0
"""Files and directories that a command cannot use end it with one line, not with a traceback."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from etymon.kernel.errors import Malformed
from etymon.server import settings, trust_documents
from support import declared_pki
from support.typed_command import typed

CARD = ("--passphrase-file", "{folder}/secret")
DATA = ("--data", "{folder}/none", "--passphrase-file", "{folder}/secret")
SIGN_IN = ("--site", "https://localhost:1", "--ca", "{folder}/secret")
INIT = (
    *("init", "--organization", "Agency", "--root-keys", "{folder}/roots", "--root-passphrase-file", "{folder}/secret"),
    *("--passphrase-file", "{folder}/secret", "--administrator", "a@b,A,a@b", "--officer", "o@b,O,o@b"),
)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["phone", "new", "{folder}/phone", "--trust", "{folder}/none.pem"], "none.pem cannot be used: No such file"),
        (["phone", "new", "{folder}/phone", "--trust", "{folder}"], "cannot be used: Is a directory"),
        (["phone", "new", "{folder}/phone", "--trust", "{folder}/secret"], "holds no certificate"),
        (["phone", "status", "{folder}"], "etymon phone new"),
        (["phone", "run", "{folder}/none"], "etymon phone new"),
        (["card", "info", "{folder}/none.card", *CARD], "There is no card file {folder}/none.card. `etymon card new`"),
        (["card", "info", "{folder}/secret", *CARD], "{folder}/secret is not a card file."),
        (["card", "info", "{folder}", *CARD], "There is no card file {folder}."),
        (["card", "insert", "{folder}/none.card", *CARD], "There is no card file"),
        (
            ["card", "info", "{folder}/none.card", "--passphrase-file", "{folder}/bytes"],
            "{folder}/bytes cannot be read",
        ),
        (["card-issuer", "serve", "{folder}", "--passphrase-file", "{folder}/bytes"], "{folder}/bytes cannot be read"),
        (["demo", "--directory", "{folder}"], "{folder} is not empty. Choose a new directory."),
        (
            ["card", "insert", "{folder}/none.card", "--passphrase-file", "{folder}/none"],
            "{folder}/none cannot be read",
        ),
        (["card", "bind", "{folder}/none.card", *SIGN_IN, *CARD], "holds no certificate"),
        (["card", "bind", "{folder}/none.card", "--data", "{folder}/none", *CARD], "`etymon init --data"),
        (["enrollment-code", "Phones"], "Name the site with --site https://HOST:8443"),
        (["enrollment-code", "Phones", "--site", "https://localhost:1"], "does not answer"),
        (["apply", "{folder}/none.yaml"], "none.yaml cannot be read"),
        (["serve", *DATA], "`etymon init --data"),
        (["worker", *DATA], "the organisation's data directory? `etymon init --data"),
        (
            ["appointments", *DATA, "confirm", "x", "--role", "officer", "--assigned", "X"],
            "--assigned is a time with its offset",
        ),
        (["serve", "--data", "{folder}", "--passphrase-file", "{folder}/none"], "{folder}/none cannot be read"),
        (
            [*INIT, "--data", "{folder}/a", "--status-url", "http://s.test", "--trust", "{folder}/none"],
            "cannot be read",
        ),
        ([*INIT, "--data", "{folder}/a", "--status-url", "https://s.test", "--trust", "{folder}/list"], "plain http"),
        ([*INIT, "--data", "{folder}", "--status-url", "http://s.test", "--trust", "{folder}/list"], "is not empty"),
        (
            [*INIT, "--data", "{folder}/a", "--status-url", "http://s.test", "--trust", "{folder}/list", "--set", "x"],
            "'x' is not NAME=VALUE",
        ),
        (["card-issuer", "serve", "{folder}/none", "--passphrase-file", "{folder}/secret"], "etymon card-issuer init"),
        (
            [
                *("card", "new", "{folder}/a.card", "--issuer", "{folder}/none", "--name", "A", "--upn", "a@b"),
                *("--mail", "a@b", "--issuer-passphrase-file", "{folder}/secret"),
            ],
            "etymon card-issuer init",
        ),
        (
            [
                *("card-issuer", "init", "{folder}", "--organization", "Agency"),
                *("--status-url", "http://localhost:9080", "--passphrase-file", "{folder}/secret"),
            ],
            "is there already. Choose a new directory.",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (tmp_path / "secret").write_text("a passphrase of some length\n")
    (tmp_path / "list").write_text("[]\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    typed(capsys, *(argument.format(folder=tmp_path) for argument in arguments)).refused(told.format(folder=tmp_path))


def test_trust_entries_are_a_list(tmp_path: Path) -> None:
    (tmp_path / "trust.yaml").write_text("trustEntries: []\n")
    with pytest.raises(Malformed, match="the file: Input should be a valid list"):
        trust_documents.read(tmp_path / "trust.yaml")


def test_a_file_of_trust_entries_without_a_certificate_is_named(tmp_path: Path) -> None:
    entry = "- {name: cards, kind: card, anchors: [ada.card], identifier: uuid}\n"
    (tmp_path / "trust.yaml").write_text(entry)
    (tmp_path / "ada.card").write_text("a card, and no certificate\n")
    with pytest.raises(Malformed, match=r"ada\.card: "):
        trust_documents.read(tmp_path / "trust.yaml")


def test_what_is_no_yaml_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "trust.yaml").write_text("- [a\n")
    with pytest.raises(Malformed, match=r"is not YAML: .*line 1") as refusal:
        trust_documents.read(tmp_path / "trust.yaml")
    assert "\n" not in refusal.value.detail


def test_a_list_that_is_not_written_as_one_is_shown_how() -> None:
    with pytest.raises(Malformed, match=r"proxies: a list, .*\[\"192\.0\.2\.1\""):
        settings.checked({"organization": "A", "status_url": "http://status.agency.example", "proxies": "127.0.0.2"})


def test_an_unknown_setting_is_told_where_the_known_ones_are() -> None:
    with pytest.raises(Malformed, match="colour: there is no such setting; see `etymon settings`"):
        settings.checked({"organization": "Agency", "status_url": "http://status.agency.example", "colour": "blue"})


@pytest.mark.parametrize(
    ("url", "passphrase", "told"),
    [
        ("ftp://localhost", "long enough to be one", "no status address"),
        ("http://localhost:9080", "short", "12 characters"),
    ],
)
def test_a_card_issuer_that_could_not_be_made_is_not_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, passphrase: str, told: str
) -> None:
    (tmp_path / "secret").write_text(passphrase)
    arguments = ("--organization", "Agency", "--status-url", url, "--passphrase-file", tmp_path / "secret")
    typed(capsys, "card-issuer", "init", tmp_path / "cards", *arguments).refused(told)
    assert not (tmp_path / "cards").exists()


@pytest.mark.parametrize(
    ("settings_", "database", "told"),
    [
        ("", None, "etymon.db does not exist. Restore it from a backup."),
        ("", b"no database" * 1000, "The database is damaged, or is none."),
        ('database_url = "oracle://x"', None, "database_url: give an address such as"),
        ('database_url = "postgresql+psycopg://127.0.0.1:1/x"', None, "The database does not answer."),
        ("site_port = 99999", None, "site_port:"),
        ("site_port =", None, "config.toml: Invalid value"),
    ],
)
def test_a_data_directory_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings_: str, database: bytes | None, told: str
) -> None:
    configuration = f'organization = "Agency"\nstatus_url = "http://status.agency.example"\n{settings_}\n'
    (tmp_path / "config.toml").write_text(configuration)
    if database is not None:
        (tmp_path / "etymon.db").write_bytes(database)
    typed(capsys, "enrollment-code", "Phones", "--data", tmp_path).refused(told)
    assert database is not None or not (tmp_path / "etymon.db").exists()


def test_an_odd_anchor_is_taken_where_its_leniency_is_named(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    (tmp_path / "odd.der").write_bytes(declared_pki.with_null_parameters(declared_pki.root(now)))
    entry = "- {name: cards, kind: card, anchors: [odd.der], policies: [2.999.1], identifier: uuid%s}\n"
    (tmp_path / "trust.yaml").write_text(entry % "")
    with pytest.raises(Malformed, match="certificate_malformed"):
        trust_documents.read(tmp_path / "trust.yaml")
    (tmp_path / "trust.yaml").write_text(entry % ", leniencies: [ecdsa-null-parameters]")
    assert len(trust_documents.read(tmp_path / "trust.yaml")[0].anchors) == 1
    (tmp_path / "trust.yaml").write_text(entry % ", leniencies: [everything]")
    with pytest.raises(Malformed, match="trust_file"):
        trust_documents.read(tmp_path / "trust.yaml")
