# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/operations/hsm.md, run as it stands there with tokens of this run."""

from pathlib import Path

import pytest

from support.page_commands import Typed, commands

pytestmark = pytest.mark.needs("softhsm2-util", "pkcs11-tool", "openssl")


def test_every_command_of_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    (tmp_path / "trust.yaml").write_text("[]\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))  # for the commands; this process has its own
    typed = Typed(tmp_path)
    said = [typed.run(command) for command in commands("hsm.md")]
    _, *private = said[-1].split("Private Key Object")
    assert len(private) == 8, "four authorities and their responders"
    assert all("sensitive, always sensitive, never extractable, local" in part for part in private)
    assert "Secret Key Object; AES length 32" in said[-1]
    pin = (tmp_path / "token.pin").read_text().strip()
    assert not any(pin in output for output in said)
    assert not [file for file in (tmp_path / "site").rglob("*") if file.is_file() and pin.encode() in file.read_bytes()]
