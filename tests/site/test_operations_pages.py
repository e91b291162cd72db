# SPDX-License-Identifier: Apache-2.0
"""Commands of pages that need an organisation's data directory, or files alone, as they stand there."""

import json
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card import storage
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.server import follow_ups
from etymon.server.deployment import Deployment
from support import attestations, declared_pki, page_commands
from support.backup_office import PASSPHRASE, made
from support.content_issuer import NOW as CARD_MADE
from support.content_issuer import ContentIssuer
from support.page_commands import commands
from support.typed_command import Typed, typed

RUNNING = ("etymon serve", "etymon apply", "etymon enrollment-code")
"""Commands of the page about backups that need a running site."""
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("organization")
    made(directory)
    return directory / "data"


@pytest.fixture
def data(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of this test; commands are typed beside it."""
    monkeypatch.chdir(tmp_path)
    Path("passphrase").write_text(PASSPHRASE)
    return Path(shutil.copytree(made_once, tmp_path / "data"))


def type_in(captured: pytest.CaptureFixture[str], command: str, **replaced: str) -> Typed:
    """Type a command of a page in this process, with other words for some of its own; it has to end well."""
    words = [replaced.get(word, word) for word in shlex.split(command)[1:]]
    told = typed(captured, *(words[:-2] if ">" in words else words))
    assert told.status == 0, (command, told)
    if ">" in words:
        Path(words[-1]).write_text(told.out)
    return told


def test_an_auditor_fetches_and_verifies_the_trail(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, said = Deployment.open(data, Secret(PASSPHRASE), SystemClock(), SystemEntropy()), []
    for command in commands("audit-trail.md"):
        if command.startswith("etymon audit list"):
            continue  # by role, at a running site: test_commands_with_a_card
        said.append(type_in(capsys, command, DIR=str(data), FILE="passphrase"))
        follow_ups.seal(site)  # as the worker of a running site does within seconds
    site.database.close()
    assert [json.loads(told.out)["valid"] for told in said[-2:]] == [True, True]
    assert Path("audit-seal.pem").read_text().startswith("-----BEGIN PUBLIC KEY-----")
    first, second = (Path(name).read_text() for name in ("2026-10.jsonl", "2026-11.jsonl"))
    assert ("audit:trail:exported" in first, "audit:trail:exported" in second) == (False, True), "it goes on there"


@pytest.mark.needs("age")
def test_a_backup_is_taken_restored_and_read_by_others_tools(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = page_commands.Typed(Path.cwd())
    recipient = ""
    for command in commands("backup-and-restore.md"):
        if command.startswith(RUNNING):
            continue  # test_restored_site
        if command.startswith("etymon audit verify"):
            type_in(capsys, f"etymon audit key --data {data} --passphrase-file passphrase > audit-seal.pem")
        if not command.startswith("etymon "):
            shell.run(command)
            continue
        new = {"age1…": recipient, "DIR": str(data), "NEWDIR": "restored", "FILE": "passphrase"}
        recipient = type_in(capsys, command, **new).out.strip() or recipient
    assert Path("restored/config.toml").read_bytes() == (data / "config.toml").read_bytes()
    assert json.loads(Path("opened/content.json").read_text()).keys() > {"manifest.json", "config.toml"}


def test_a_certificate_and_a_card_are_judged_by_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    certificate, *_, card = commands("verifying-certificates.md")  # between: test_derived_certificate_file
    root = declared_pki.root(NOW)
    issuer = root.issue(NOW, "CA", authority=True)
    for name, found in {"root.pem": root, "bundle.pem": issuer, "card.pem": issuer.issue(NOW)}.items():
        Path(name).write_bytes(found.certificate.public_bytes(Encoding.PEM))
    Path("lists.crl").write_bytes(root.crl(NOW) + issuer.crl(NOW))
    policy = {"2.16.840.1.101.3.2.1.3.13": declared_pki.CARD_POLICY}
    told = type_in(capsys, f"{certificate} --at {NOW.isoformat()}", **policy)
    assert json.loads(told.out) == {"valid": True, "errors": [], "policies": [declared_pki.CARD_POLICY]}
    maker = ContentIssuer()
    Path("alice.pass").write_text(PASSPHRASE)
    storage.create(Path("alice.card"), Secret(PASSPHRASE), maker.card(maker.signer).applet.state).close()
    for name, found in {"root.pem": maker.root, "bundle.pem": maker.issuing}.items():
        Path(name).write_bytes(found.certificate.public_bytes(Encoding.PEM))
    Path("lists.crl").write_bytes(maker.root.crl(CARD_MADE) + maker.issuing.crl(CARD_MADE))
    assert json.loads(type_in(capsys, f"{card} --at {CARD_MADE.isoformat()}").out)["signer"] == "CN=Content Signer"


def test_an_attestation_is_judged_by_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = next(found for found in commands("key-attestation.md") if "--challenge" in found)
    maker = attestations.Maker(NOW)
    key = attestations.ec_key().public_key()
    Path("chain.pem").write_bytes(attestations.pem(maker.chain(key, challenge=b"cha")))
    Path("roots.pem").write_bytes(maker.root.certificate.public_bytes(Encoding.PEM))
    Path("status.json").write_text('{"entries": {}}')
    told = type_in(capsys, f"{command} --at {NOW.isoformat()}")
    assert json.loads(told.out)["attestation"]["challenge"] == "636861"
