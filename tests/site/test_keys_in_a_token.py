# SPDX-License-Identifier: Apache-2.0
"""An organisation whose keys are in PKCS#11 tokens, made and served by the commands an operator types."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, Unavailable
from etymon.pki.cryptoki import TokenChoice
from etymon.pki.token_keys import TokenKeys
from etymon.server import config_file, follow_ups, initialization, settings, wiring
from etymon.server.deployment import HIERARCHIES, Deployment
from etymon.server.health import TOKEN_LOOKED_AT_EVERY_SECONDS, Health
from etymon.server.initialization import RootKeys
from etymon.server.key_places import RootToken
from etymon.server.wiring import Wiring
from etymon.web.exchange import Request
from support.card_office import PASSPHRASE
from support.running_clock import RunningClock
from support.tokens import FAULT_SHIM_PROGRAMS, PIN, Faults, TestToken, Tokens

pytestmark = pytest.mark.needs("softhsm2-util")

LOOKED = Request("GET", "/healthz", {}, {}, {}, {}, b"", None, "127.0.0.1")


def token_settings(token: TestToken, directory: Path, **further: object) -> dict[str, object]:
    file = directory / "token.pin"
    file.write_text(f"{PIN.reveal()}\n")
    return {
        "pkcs11_module": str(token.module),
        "pkcs11_token_label": token.label,
        "pkcs11_pin_file": str(file),
        **further,
    }


def initialize(data: Path, roots: RootKeys | RootToken, configuration: Mapping[str, object]) -> None:
    initialization.initialize(
        data,
        {
            "organization": "Example Agency",
            "loopback_demo": True,
            "status_url": "http://127.0.0.1:1",
            **configuration,
        },
        passphrase=PASSPHRASE,
        root_keys=roots,
        founders=(),
        trust_entries=[],
        clock=RunningClock(),
        entropy=SystemEntropy(),
        progress=lambda _: None,
    )


def opened(data: Path) -> Deployment:
    return Deployment.open(data, PASSPHRASE, SystemClock(), SystemEntropy())


class Kept:
    """A data directory, its token and the token of its roots."""

    def __init__(self, directory: Path, tokens: Tokens) -> None:
        self.directory, self.data = directory, directory / "data"
        self.token, self.root_token = tokens.make(), tokens.make()
        self.settings = token_settings(self.token, directory)
        self.roots = RootToken(self.token.module, TokenChoice(self.root_token.label), directory / "token.pin")
        initialize(self.data, self.roots, self.settings)


@pytest.fixture(scope="module")
def kept(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"), tokens)


def test_every_key_of_the_authorities_is_in_its_token(kept: Kept) -> None:
    names = set(TokenKeys(kept.token.open()))
    assert {name for name in names if not name.startswith("ocsp-")} == set(HIERARCHIES)
    assert len(names) == 2 * len(HIERARCHIES), "each has a responder"
    assert set(TokenKeys(kept.root_token.open())) == {f"{name}-root" for name in HIERARCHIES}
    assert not list((kept.data / "keys").rglob("*.pem"))
    deployment = opened(kept.data)
    deployment.require_keys()
    assert not {name for name in deployment.authority_keys if name.endswith("-root")}, "roots are elsewhere"
    assert wiring.escrow(deployment).key_encryption_key.id.startswith("aes-256-gcm:token:")
    deployment.database.close()


def test_the_pin_is_in_no_file_of_the_deployment(kept: Kept) -> None:
    for file in kept.data.rglob("*"):
        assert file.is_dir() or PIN.reveal().encode() not in file.read_bytes(), file
    assert PIN.reveal() not in repr(config_file.load(kept.data))


def test_a_token_that_has_such_keys_is_not_taken_for_another_organisation(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="token_in_use"):
        initialize(tmp_path / "data", RootKeys(tmp_path / "roots", PASSPHRASE), kept.settings)
    before = set(TokenKeys(kept.root_token.open()))
    roots = RootToken(kept.token.module, TokenChoice(kept.root_token.label), kept.directory / "token.pin")
    with pytest.raises(Conflict, match="token_in_use"):
        initialize(tmp_path / "other", roots, {})
    assert set(TokenKeys(kept.root_token.open())) == before


def serve(kept: Kept, **environment: str) -> str:
    """Start a site that cannot start; return the one line it says."""
    passphrase = kept.directory / "passphrase"
    passphrase.write_text(PASSPHRASE.reveal())
    command = [sys.executable, "-m", "etymon.server", "serve"]
    command += ["--data", str(kept.data), "--passphrase-file", str(passphrase)]
    ended = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    lines: list[str] = ended.stderr.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_site_whose_token_refuses_or_is_not_there_says_so_in_one_line(kept: Kept, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pin"
    wrong.write_text("not the pin\n")
    told = [serve(kept, ETYMON_PKCS11_PIN_FILE=str(wrong)) for _ in range(2)]  # as a service manager starts it again
    assert [line.rpartition(" ")[2] for line in told] == ["(token_pin_refused)"] * 2
    assert ("refused this PIN before" in told[0], "refused this PIN before" in told[1]) == (False, True)
    assert not any("not the pin" in line for line in told)
    assert serve(kept, ETYMON_PKCS11_TOKEN_LABEL=kept.root_token.label).endswith("(keys_missing)")
    deployment = opened(kept.data)
    deployment.require_keys()
    deployment.database.close()


def test_only_what_the_settings_say_is_in_the_token(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.make()
    initialize(
        tmp_path / "data",
        RootKeys(tmp_path / "roots", PASSPHRASE),
        token_settings(token, tmp_path, pkcs11_holds="derived"),
    )
    assert {name.removeprefix("ocsp-").split("-")[0] for name in TokenKeys(token.open())} == {"derived"}
    assert {file.stem for file in (tmp_path / "roots").iterdir()} == {f"{name}-root" for name in HIERARCHIES}
    deployment = opened(tmp_path / "data")
    assert deployment.escrow_cipher is None
    assert {name for name in deployment.key_files if not name.startswith("ocsp-")} == {"device", "tls", "managed"}
    deployment.require_keys()
    deployment.database.close()


def test_keys_that_were_made_before_the_token_was_configured_are_used_on(tokens: Tokens, tmp_path: Path) -> None:
    initialize(tmp_path / "data", RootKeys(tmp_path / "roots", PASSPHRASE), {})
    before = opened(tmp_path / "data")
    kept_before = wiring.escrow(before).key_encryption_key
    before.database.close()
    token = tokens.make()
    written = token_settings(token, tmp_path)
    with (tmp_path / "data" / "config.toml").open("a") as configuration:
        configuration.writelines(f"{name} = {value!r}\n" for name, value in written.items())
    with pytest.raises(Unavailable, match="keys_missing"):
        opened(tmp_path / "data").require_keys()
    deployment = opened(tmp_path / "data")
    assert set(HIERARCHIES) <= set(deployment.authority_keys)
    assert deployment.escrow_cipher is not None
    deployment.escrow_cipher.generate(bytes(32))
    deployment.require_keys()
    assert [key.id for key in wiring.escrow(deployment).former_keys] == [kept_before.id]
    deployment.database.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pkcs11_module": "/m.so"}, "pkcs11_module"),
        ({"pkcs11_token_label": "keys"}, "pkcs11_module"),
        ({"pkcs11_module": "/m.so", "pkcs11_slot": -1}, "pkcs11_slot"),
        ({"pkcs11_module": "/m.so", "pkcs11_slot": 0, "pkcs11_holds": "derived everything"}, "pkcs11_holds"),
    ],
)
def test_settings_name_module_and_token_together(change: dict[str, object], named: str) -> None:
    with pytest.raises(Malformed, match=named):
        settings.checked({"organization": "A", "status_url": "http://status.agency.example", **change})


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_pin_file_that_has_no_pin_is_named(content: bytes | None, kept: Kept, tmp_path: Path) -> None:
    file = tmp_path / "token.pin"
    if content is not None:
        file.write_bytes(content)
    roots = RootToken(kept.token.module, TokenChoice(kept.root_token.label), file)
    with pytest.raises(EtymonError, match="no_token_pin"):
        initialize(tmp_path / "data", roots, {})


def test_a_pin_may_come_as_a_service_credential(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETYMON_PKCS11_PIN_FILE", "")
    with pytest.raises(Malformed, match="no_token_pin"):
        opened(kept.data).require_keys()
    (tmp_path / "etymon-token-pin").write_text(PIN.reveal())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    opened(kept.data).require_keys()


def alarms(site: Wiring) -> list[str]:
    told = json.loads(bytes(Health(site).answer(LOOKED).body))
    assert told["status"] == ("alarm" if "alarms" in told else "ok")
    return list(told.get("alarms", []))


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_health_rings_while_the_token_cannot_be_reached(
    kept: Kept, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETYMON_PKCS11_MODULE", str(faults.module))
    site = Wiring(opened(kept.data))
    follow_ups.seal(site.deployment)
    assert alarms(site) == []
    with faults.unplugged(kept.token.slot):
        assert [alarms(site) for _ in range(2)] == [["token_unavailable"]] * 2
    assert alarms(site) == []
    now = [0.0]
    kept_health = Health(site, lambda: now[0])
    assert json.loads(bytes(kept_health.answer(LOOKED).body))["status"] == "ok"
    with faults.unplugged(kept.token.slot):
        assert json.loads(bytes(kept_health.answer(LOOKED).body))["status"] == "ok", "it was looked at just now"
        now[0] += TOKEN_LOOKED_AT_EVERY_SECONDS
        assert json.loads(bytes(kept_health.answer(LOOKED).body))["status"] == "alarm"
    site.deployment.database.close()
