# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.server import keyring

PASSPHRASE = Secret("correct horse battery")
ENTROPY = SystemEntropy()


def test_keys_come_back_and_never_lie_in_the_clear(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = keyring.create(tmp_path / "keys", PASSPHRASE, ENTROPY)
    made.put_private_key("token", key)
    made.put("digest", Secret(b"\x17" * 32))
    opened = keyring.unlock(tmp_path / "keys", PASSPHRASE, ENTROPY)
    assert opened.get("digest") == Secret(b"\x17" * 32)
    back = opened.private_key("token")
    assert isinstance(back, ec.EllipticCurvePrivateKey)
    assert back.private_numbers() == key.private_numbers()
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    for file in (tmp_path / "keys").iterdir():
        assert scalar not in file.read_bytes()
        assert b"\x17" * 32 not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_a_wrong_passphrase_opens_nothing(tmp_path: Path) -> None:
    keyring.create(tmp_path / "keys", PASSPHRASE, ENTROPY)
    with pytest.raises(Malformed) as refusal:
        keyring.unlock(tmp_path / "keys", Secret("another passphrase"), ENTROPY)
    assert refusal.value.code == "wrong_passphrase"


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="at least 12"):
        keyring.create(tmp_path / "keys", Secret("short"), ENTROPY)


def test_a_key_is_never_overwritten_exchanged_or_silently_damaged(tmp_path: Path) -> None:
    made = keyring.create(tmp_path / "keys", PASSPHRASE, ENTROPY)
    made.put("one", Secret(b"1" * 32))
    made.put("two", Secret(b"2" * 32))
    with pytest.raises(Conflict):
        made.put("one", Secret(b"3" * 32))
    (tmp_path / "keys" / "two.key").write_bytes((tmp_path / "keys" / "one.key").read_bytes())
    with pytest.raises(Malformed) as refusal:
        made.get("two")
    assert refusal.value.code == "key_damaged"
    with pytest.raises(NotFound):
        made.get("three")


def test_the_passphrase_comes_from_a_file_or_a_service_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Malformed, match="--passphrase-file"):
        keyring.read_passphrase(None)
    (tmp_path / "etymon-passphrase").write_text("from the service manager\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert keyring.read_passphrase(None) == Secret("from the service manager")


def test_two_people_have_a_part_of_the_passphrase_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [tmp_path / "etymon-passphrase-1", tmp_path / "etymon-passphrase-2"]
    for part, text in zip(parts, ("what one knows", "what the other knows"), strict=True):
        part.write_text(f"{text}\nand a remark\n")
    whole = keyring.read_passphrase(parts)
    keyring.create(tmp_path / "keys", whole, SystemEntropy()).put("one", Secret(b"1" * 32))
    for fewer in (parts[:1], parts[1:], parts[::-1]):
        with pytest.raises(Malformed) as refusal:
            keyring.unlock(tmp_path / "keys", keyring.read_passphrase(fewer), SystemEntropy())
        assert refusal.value.code == "wrong_passphrase"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    opened = keyring.unlock(tmp_path / "keys", keyring.read_passphrase(None), SystemEntropy())
    assert opened.get("one") == Secret(b"1" * 32)
    with pytest.raises(Malformed, match="each of its parts"):
        keyring.create(tmp_path / "others", Secret("what one knows\nshort"), SystemEntropy())
    with pytest.raises(Malformed, match="are the same"):
        keyring.create(tmp_path / "others", keyring.read_passphrase([parts[0], parts[0]]), SystemEntropy())
    parts[1].rename(tmp_path / "etymon-passphrase-3")
    with pytest.raises(Malformed, match="every part"):
        keyring.read_passphrase(None)
    parts[1].write_text("\n")
    with pytest.raises(Malformed, match="is empty"):
        keyring.read_passphrase(parts)
