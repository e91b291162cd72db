# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/operations/key-ceremony.md, as it stands there, with cards and lists that people bring."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card.external_key import sign, usual_scheme
from etymon.server import command_line
from etymon.server.key_ceremony.script import canonical
from support.card_office import PASSPHRASE
from support.ceremonies import CARD_AUTHORITIES, Assembly, Founded, assembled, without_managed
from support.page_commands import commands


def typed(command: str) -> None:
    """Run a command in this process; the shell only expands its file names."""
    if command.startswith("openssl "):
        assert subprocess.run(shlex.split(command), check=False, capture_output=True, timeout=60).returncode == 0, (
            command
        )
        return
    assert command.startswith("etymon "), command
    words = [word for part in shlex.split(command)[1:] for word in (sorted(map(str, Path().glob(part))) or [part])]
    with pytest.raises(SystemExit) as ended:
        command_line.main(words)
    assert ended.value.code in {0, None}, command


def bring(assembly: Assembly, folder: Path) -> None:
    """Put what the page says that people bring into a directory."""
    for name, content in (
        ("site.pass", PASSPHRASE.reveal()),
        ("roots.pass", "the roots' own"),
        ("card.pass", PASSPHRASE.reveal()),
    ):
        (folder / name).write_text(f"{content}\n")
    for name, octets in zip(CARD_AUTHORITIES, assembly.lists, strict=True):
        (folder / f"{name}.crl").write_bytes(octets)
    root, intermediates = assembly.office.issuer.chain()
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "intermediates.pem").write_bytes(b"".join(found.public_bytes(Encoding.PEM) for found in intermediates))
    entry = assembly.office.entry()
    written = {"name": entry.name, "kind": "card", "anchors": ["root.pem"], "intermediates": ["intermediates.pem"]}
    (folder / "trust.yaml").write_text(
        yaml.safe_dump([{**written, "policies": sorted(entry.policies), "identifier": "uuid"}])
    )
    for name in ("ada", "otto"):
        (folder / f"{name}.pem").write_bytes((assembly.directory / f"{name}.pem").read_bytes())
        assembly.cards[name].stored.close()
        (folder / f"{name}.card").symlink_to(assembly.directory / "cards" / f"{name}.card")


def test_every_command_of_the_page_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agency").mkdir()
    (tmp_path / "here").mkdir()
    with assembled(tmp_path / "agency") as assembly:
        Founded.by(assembly, without_managed(assembly.script()), tmp_path / "here" / "older")
        bring(assembly, tmp_path / "here")
        monkeypatch.chdir(tmp_path / "here")
        for written in commands("key-ceremony.md"):
            if "ada.statement" in written:  # another way to the same confirmation: below
                continue
            command = written
            if "managed.json" in command:  # for another organisation, which an earlier program made
                command = command.replace("--data site", "--data older/data").replace("roots.pass", "site.pass")
                command = command.replace("--root-keys roots", "--root-keys older/roots")
            if command.startswith("etymon ceremony confirm"):  # every card here has a PIN of its own
                name = command.partition("--card ")[2].split(".")[0]
                (tmp_path / "here" / "card.pin").write_text(assembly.cards[name].pin.reveal())
            typed(command)
    said = capsys.readouterr().out
    assert said.count("Performed. The record is") == 5
    assert "The audit trail and the authorities of the deployment say the same." in said
    assert "Takes part: Otto Olsen <otto@agency.example>, officer" in said
    for record in Path("site/ceremonies").glob("*.json"):
        typed(f"etymon ceremony verify {record} --data site")
    assert "The root's list says that derived was revoked for superseded." in capsys.readouterr().out
    names = {file.stem for file in Path("roots").iterdir()}
    assert names == {"derived-root", "device-root", "tls-root", "managed-root"}
    judged = ["openssl", "pkey", "-in", "roots/tls-root.pem", "-passin", "file:roots.pass", "-noout"]
    assert subprocess.run(judged, check=False, timeout=60).returncode == 0


def test_a_card_in_a_reader_signs_what_is_written_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agency").mkdir()
    (tmp_path / "here").mkdir()
    with assembled(tmp_path / "agency") as assembly:
        monkeypatch.chdir(tmp_path / "here")
        script, identity = assembly.script(), assembly.cards["ada"].identity()
        Path("founding.json").write_bytes(canonical(script.to_document()))
        Path("ada.pem").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
        write, signing, bring_back = (each for each in commands("key-ceremony.md") if "ada.statement" in each)
        assert signing.startswith("pkcs11-tool ")  # which conformance/test_card_stack.py runs at a reader
        typed(write)
        Path("ada.signature").write_bytes(
            sign(identity.key, Path("ada.statement").read_bytes(), usual_scheme(identity.key.public_key))
        )
        typed(bring_back)
        assert len(list(Path().glob("founding.json.*.confirmation"))) == 1
        Path("ada.signature").write_bytes(b"another")
        for wrong in (
            "--statement ada.statement --certificate ada.pem --signature ada.signature",
            "--statement ada.statement --certificate ada.statement --signature ada.signature",
            "--certificate ada.pem",
            f"--card {assembly.directory}/cards/mallory.card --passphrase-file nothing",
        ):
            with pytest.raises(SystemExit) as ended:
                command_line.main(shlex.split(f"ceremony confirm founding.json {wrong}"))
            assert ended.value.code == 2
        assert len(list(Path().glob("founding.json.*.confirmation"))) == 1
