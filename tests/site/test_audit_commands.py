# SPDX-License-Identifier: Apache-2.0
"""`etymon audit` as an auditor types it: exports that follow one another, and everything done to them is found."""

import json
from pathlib import Path

import pytest

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.server import follow_ups, initialization, process_events, software_integrity
from etymon.server.deployment import Deployment
from etymon.server.initialization import RootKeys
from support.tampering import tamper
from support.typed_command import Typed, typed

PASSPHRASE = Secret("a passphrase of some length")


class Kept:
    """An organisation, and a place where an auditor keeps what was exported."""

    def __init__(self, directory: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.data, self.safe, self._captured = directory / "data", directory / "safe", captured
        self.safe.mkdir()
        clock, entropy = SystemClock(), SystemEntropy()
        initialization.initialize(
            self.data,
            {"organization": "Example Agency", "loopback_demo": True, "status_url": "http://127.0.0.1:1"},
            passphrase=PASSPHRASE,
            root_keys=RootKeys(directory / "roots", PASSPHRASE),
            founders=[],
            trust_entries=[],
            clock=clock,
            entropy=entropy,
            progress=lambda _: None,
        )
        self.deployment = Deployment.open(self.data, PASSPHRASE, clock, entropy)
        opened = directory / "passphrase"
        opened.write_text(PASSPHRASE.reveal())
        self.key = self.safe / "key.pem"
        self.key.write_text(self.type("key", "--data", self.data, "--passphrase-file", opened).out)

    def type(self, *arguments: str | Path) -> Typed:
        return typed(self._captured, "audit", *arguments)

    def act(self) -> None:
        made = self.deployment
        process_events.started(made.database, made.clock, made.entropy, "worker", software_integrity.installed())
        follow_ups.seal(self.deployment)

    def export(self, name: str, *further: str | Path) -> Path:
        file = self.safe / name
        assert self.type("export", file, "--data", self.data, *further).status == 0
        return file

    def verify(self, *arguments: str | Path) -> tuple[int, set[str]]:
        done = self.type("verify", *arguments, "--key", self.key)
        answer = json.loads(done.out)
        assert answer["valid"] == (done.status == 0) == (not answer["findings"])
        return done.status, {finding["fault"] for finding in answer["findings"]}


@pytest.fixture
def kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kept:
    return Kept(tmp_path, capsys)


def test_a_trail_is_verified_exported_and_verified_again_elsewhere(kept: Kept) -> None:
    assert kept.verify("--data", kept.data) == (0, set())
    first = kept.export("first.jsonl")
    kept.act()
    second = kept.export("second.jsonl", "--after", first)
    assert '"audit:trail:exported"' in second.read_text(), "an export leaves an event"
    assert kept.verify(first, second) == (0, set())
    assert kept.verify(second, first) == (1, {"gap"})
    assert kept.verify(second, "--checkpoint", second) == (0, set())


def test_what_was_cut_off_is_found_with_a_checkpoint_that_was_kept(kept: Kept) -> None:
    whole = kept.export("whole.jsonl")
    kept.act()
    checkpoint = kept.safe / "checkpoint"
    checkpoint.write_text(kept.type("checkpoint", "--data", kept.data).out)
    assert kept.verify("--data", kept.data, "--checkpoint", checkpoint) == (0, set())
    assert kept.verify(whole) == (0, set()), "by itself an older export is in order"
    assert kept.verify(whole, "--checkpoint", checkpoint) == (1, {"truncated"})
    short = kept.safe / "short.jsonl"
    short.write_text("".join(whole.read_text().splitlines(keepends=True)[:-1]))
    assert kept.verify(short) == (1, {"truncated"})


def test_an_edit_is_found_in_the_database_and_in_an_export(kept: Kept) -> None:
    file = kept.export("trail.jsonl")
    file.write_text(file.read_text().replace('"actor":"init"', '"actor":"nobody"', 1))
    assert kept.verify(file) == (1, {"altered"})
    tamper(kept.deployment.database, "UPDATE audit_events SET actor = 'nobody' WHERE name = 'ca:authority:created'")
    assert kept.verify("--data", kept.data) == (1, {"altered"})


def test_a_start_that_was_forged_is_found(kept: Kept) -> None:
    first = kept.export("first.jsonl")
    kept.act()
    second = kept.export("second.jsonl", "--after", first)
    head, *rest = second.read_text().splitlines()
    start = json.loads(head)
    start["start"]["signed_at"] = "2020-01-01T00:00:00.000000Z"
    second.write_text("\n".join([json.dumps(start), *rest]) + "\n")
    status, faults = kept.verify(second)
    assert (status, "checkpoint_forged" in faults) == (1, True)


def test_what_cannot_be_used_is_said_in_one_line(kept: Kept) -> None:
    key = ("--key", kept.key)
    kept.type("verify", *key).refused("trail_not_named")
    kept.type("verify", kept.key, "--data", kept.data, *key).refused("trail_not_named")
    kept.type("verify", "--data", kept.data).refused("no_key")
    kept.type("verify", "--data", kept.data, "--key", kept.data / "config.toml").refused("not_a_public_key")
    kept.type("verify", kept.key, *key).refused("audit_line_malformed")
    kept.type("verify", kept.safe / "none", *key).refused("none cannot be used")
    kept.type("verify", "--data", kept.data, "--checkpoint", kept.key, *key).refused("no_checkpoint")
    kept.type("export", kept.key, "--data", kept.data).refused("key.pem cannot be used")
    assert kept.key.read_text().startswith("-----BEGIN PUBLIC KEY-----"), "no file is written over"
