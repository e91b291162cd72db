# SPDX-License-Identifier: Apache-2.0
"""`etymon verify attestation`: its answers, its batch, and what it is given that cannot be used."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.pki.certificate import spki_sha256
from support import attestations as made
from support.attestations import Maker, pem
from support.typed_command import typed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = "2026-03-01T12:00:00Z"
PUBLIC = made.ec_key().public_key()
PATH = ("--root", "root.pem", "--at", AT)

Ask = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of one phone's attestation."""
    files = tmp_path_factory.mktemp("attestation")
    maker = Maker(NOW)
    chain = maker.chain(PUBLIC, challenge=b"\x01\xff")
    (files / "chain.pem").write_bytes(pem(chain))
    (files / "chain.der").write_bytes(b"".join(chain))
    software = made.description({}, level=0, software=made.hardware_of(PUBLIC))
    (files / "software.pem").write_bytes(pem(maker.chain(PUBLIC, software)))
    (files / "root.pem").write_bytes(maker.root.certificate.public_bytes(Encoding.PEM))
    (files / "other.pem").write_bytes(Maker(NOW).root.certificate.public_bytes(Encoding.PEM))
    serial = format(maker.attestation.certificate.serial_number, "x")
    (files / "status.json").write_text(json.dumps({"entries": {serial: {"status": "REVOKED"}}}))
    (files / "good.json").write_text('{"entries": {}}')
    (files / "text.txt").write_text("neither\n")
    return files


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return what types the command in the folder of files; it answers its status and its lines."""
    monkeypatch.chdir(folder)

    def asked(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        told = typed(capsys, "verify", "attestation", *arguments)
        assert told.err == ""
        return told.status, [json.loads(line) for line in told.out.splitlines()]

    return asked


@pytest.mark.parametrize("file", ["chain.pem", "chain.der"])
def test_a_chain_is_judged_and_told(ask: Ask, file: str) -> None:
    status, (answer,) = ask(*PATH, "--challenge", "01FF", "--revocations", "good.json", file)
    assert (status, answer["valid"], answer["errors"]) == (0, True, [])
    said = answer["attestation"]
    assert said["key"] == spki_sha256(PUBLIC).hex()
    assert (said["version"], said["securityLevel"], said["challenge"]) == (300, "trusted_environment", "01ff")
    assert (said["bootState"], said["deviceLocked"], said["model"]) == ("verified", True, "Simulated")
    assert said["packages"] == ["AndroidSystem"]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("attestation_wrong_challenge", (*PATH, "--challenge", "02", "chain.pem")),
        ("attestation_untrusted_root", ("--root", "other.pem", "--at", AT, "chain.pem")),
        ("attestation_expired", ("--root", "root.pem", "--at", "2027-01-01T00:00:00Z", "chain.pem")),
        ("attestation_revoked", (*PATH, "--revocations", "status.json", "chain.pem")),
        ("attestation_security_level", (*PATH, "software.pem")),
        ("attestation_chain_length", (*PATH, "root.pem")),
    ],
)
def test_what_is_not_attested_is_told_with_its_reason(ask: Ask, code: str, arguments: tuple[str, ...]) -> None:
    status, (answer,) = ask(*arguments)
    assert (status, answer["valid"], answer["attestation"]) == (1, False, None)
    assert [error["code"] for error in answer["errors"]] == [code]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("root_missing", ("chain.pem",)),
        ("at_malformed", ("--root", "root.pem", "--at", "now", "chain.pem")),
        ("challenge_malformed", (*PATH, "--challenge", "xyz", "chain.pem")),
        ("certificate_malformed", (*PATH, "text.txt")),
        ("certificate_malformed", ("--root", "text.txt", "chain.pem")),
        ("attestation_status_list", (*PATH, "--revocations", "text.txt", "chain.pem")),
        ("file_unreadable", (*PATH, "nowhere.pem")),
    ],
)
def test_what_cannot_be_used_is_told(ask: Ask, code: str, arguments: tuple[str, ...]) -> None:
    status, (answer,) = ask(*arguments)
    assert (status, answer["valid"]) == (2, False)
    assert answer["errors"][0]["code"] == code


def test_a_batch_is_answered_line_by_line(ask: Ask, folder: Path) -> None:
    good = {"chain": "chain.pem", "root": ["root.pem"], "at": AT}
    lines = [
        {"id": 1, **good},
        {"id": "two", **good, "challenge": "00"},
        {**good, "crl": "x"},
        {"root": "root.pem"},
        {"id": 5, **good, "revocations": "status.json"},
    ]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, lines)))
    status, answers = ask("--batch", "cases.jsonl")
    assert status == 2
    assert [answer["id"] for answer in answers] == [1, "two", None, None, 5]
    codes = [answer["errors"][0]["code"] if answer["errors"] else "" for answer in answers]
    assert codes == ["", "attestation_wrong_challenge", "option_unknown", "chain_missing", "attestation_revoked"]


def test_a_chain_or_a_batch_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    told = typed(capsys, "verify", "attestation", "--root", "root.pem")
    assert (told.status, told.out) == (2, "")
    assert "--batch" in told.err
