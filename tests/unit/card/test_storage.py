# SPDX-License-Identifier: Apache-2.0
"""A card in a file."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from etymon.card import state_codec, storage
from etymon.card.applet import PIVApplet
from etymon.card.state import CardState, manufacture
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, DecodeError, Malformed, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from support.card_edge import STATUS, VERIFY, WRONG_VERIFY, Bench, p256, p384

PASSPHRASE = Secret("correct horse battery staple")


@pytest.fixture
def state() -> CardState:
    blank = manufacture(pin=Secret("142536"), puk=Secret("87654321"), entropy=SystemEntropy())
    return blank.with_key(0x9A, p256()).with_key(0x82, p384()).with_object(0x5FC10C, b"\xfe\x00")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "card.etymon"


def _same(left: CardState, right: CardState) -> bool:
    return state_codec.encode(left) == state_codec.encode(right)


def test_a_card_comes_back_as_it_was(path: Path, state: CardState) -> None:
    with storage.create(path, PASSPHRASE, state) as created:
        assert _same(created.state, state)
    with storage.load(path, PASSPHRASE) as loaded:
        assert _same(loaded.state, state)


def test_counters_last_over_a_restart(path: Path, state: CardState) -> None:
    with storage.create(path, PASSPHRASE, state) as created:
        card = Bench(PIVApplet(created.state, created.save, SystemEntropy()))
        assert card.send(WRONG_VERIFY) == "63C2"
    with storage.load(path, PASSPHRASE) as loaded:
        card = Bench(PIVApplet(loaded.state, loaded.save, SystemEntropy()))
        assert card.send(STATUS) == "63C2"
        assert card.send(VERIFY) == "9000"
    with storage.load(path, PASSPHRASE) as again:
        assert again.state.pin.remaining == 3


KILLED = """
import os, sys
from pathlib import Path
from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret

card = storage.load(Path(sys.argv[1]), Secret(sys.argv[2]))

def save_and_die(state):
    card.save(state)
    os._exit(9)

PIVApplet(card.state, save_and_die, SystemEntropy()).process(bytes.fromhex(sys.argv[3]))
"""


def test_a_card_killed_where_it_would_compare_has_counted_the_try(path: Path, state: CardState) -> None:
    storage.create(path, PASSPHRASE, state).close()
    arguments = [sys.executable, "-c", KILLED, str(path), PASSPHRASE.reveal(), VERIFY]
    assert subprocess.run(arguments, check=False, timeout=60).returncode == 9
    with storage.load(path, PASSPHRASE) as loaded:
        assert loaded.state.pin.remaining == 2


def test_a_wrong_passphrase_opens_nothing_and_leaves_no_lock(path: Path, state: CardState) -> None:
    storage.create(path, PASSPHRASE, state).close()
    for wrong in ("", "wrong"):
        with pytest.raises(NotPermitted, match="card_passphrase"):
            storage.load(path, Secret(wrong))
    storage.load(path, PASSPHRASE).close()


def test_an_empty_passphrase_protects_nothing(path: Path, state: CardState) -> None:
    with pytest.raises(Malformed, match="card_passphrase"):
        storage.create(path, Secret(""), state)


def test_a_card_is_in_one_reader_at_a_time(path: Path, state: CardState) -> None:
    created = storage.create(path, PASSPHRASE, state)
    with pytest.raises(Conflict, match="card_in_use"):
        storage.load(path, PASSPHRASE)
    created.close()
    storage.load(path, PASSPHRASE).close()


def test_a_forgotten_card_is_let_go(path: Path, state: CardState) -> None:
    created = storage.create(path, PASSPHRASE, state)
    del created
    storage.load(path, PASSPHRASE).close()


def test_a_closed_card_stores_nothing_more(path: Path, state: CardState) -> None:
    created = storage.create(path, PASSPHRASE, state)
    created.close()
    with pytest.raises(Conflict, match="card_closed"):
        created.save(state)
    assert Bench(PIVApplet(state, created.save, SystemEntropy())).send(VERIFY) == "6581"


def test_an_existing_file_is_not_touched(path: Path, state: CardState) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(Conflict, match="card_exists"):
        storage.create(path, PASSPHRASE, state)
    assert path.read_bytes() == b"something else"


def test_a_missing_file_is_not_found(path: Path) -> None:
    with pytest.raises(NotFound):
        storage.load(path, PASSPHRASE)


def test_only_the_owner_reads_the_file_and_nothing_is_left_beside_it(path: Path, state: CardState) -> None:
    with storage.create(path, PASSPHRASE, state) as created:
        created.save(state)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in path.parent.iterdir()} == {"card.etymon", "card.etymon.lock"}


def test_a_part_written_before_a_crash_is_no_obstacle(path: Path, state: CardState) -> None:
    with storage.create(path, PASSPHRASE, state) as created:
        path.with_name("card.etymon.part").write_bytes(b"half a ca")
        created.save(state)


@pytest.mark.parametrize("field", ["salt", "nonce", "ciphertext"])
def test_any_changed_part_is_noticed(path: Path, state: CardState, field: str) -> None:
    storage.create(path, PASSPHRASE, state).close()
    document = json.loads(path.read_text())
    holder = document["kdf"] if field == "salt" else document
    first = holder[field][0]
    holder[field] = ("0" if first != "0" else "1") + holder[field][1:]  # digits: in hex an A is an a
    path.write_text(json.dumps(document))
    with pytest.raises(NotPermitted, match="card_passphrase"):
        storage.load(path, PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"kdf": {"name": "scrypt", "salt": "00", "n": 2**30, "r": 8, "p": 1}},  # would take all memory
        {"kdf": {"name": "scrypt", "salt": "00", "n": 3, "r": 8, "p": 1}},
        {"kdf": {"name": "scrypt", "salt": "00", "n": 0, "r": 8, "p": 1}},
        {"kdf": {"name": "scrypt", "salt": "00", "n": 2, "r": 80000, "p": 1}},
        {"kdf": {"name": "scrypt", "salt": "", "n": 2, "r": 8, "p": 1}},
        {"kdf": {"salt": "zz"}},
        {"kdf": []},
        {"nonce": "00"},
        {"nonce": None},
        {"ciphertext": "*"},
    ],
)
def test_another_file_is_no_card(path: Path, state: CardState, change: dict[str, object]) -> None:
    storage.create(path, PASSPHRASE, state).close()
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DecodeError):
        storage.load(path, PASSPHRASE)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"x" * (storage.FILE_LIMIT_BYTES + 1)])
def test_any_other_content_is_no_card(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DecodeError):
        storage.load(path, PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 9},
        {"pin": None},
        {"pin": {"value": "AA==", "remaining": 4, "maximum": 3}},
        {"management_key": {"algorithm": 12, "value": "AA=="}},
        {"management_key": {"algorithm": 99, "value": "AA=="}},
        {"keys": {"9A": "AA=="}},
        {"keys": {"9B": "AA=="}},
        {"keys": []},
        {"objects": {"xyz": "AA=="}},
        {"objects": {"5FC102": 5}},
    ],
)
def test_a_state_that_is_none_is_a_decode_error(state: CardState, change: dict[str, object]) -> None:
    document = {**json.loads(state_codec.encode(state)), **change}
    with pytest.raises(DecodeError):
        state_codec.decode(json.dumps(document).encode())


@pytest.mark.parametrize("reference", [0x00, 0x80, 0x9B, 0x96, 0xF9])
def test_keys_go_into_slots_that_exist(state: CardState, reference: int) -> None:
    with pytest.raises(Malformed, match="card_key_reference"):
        state.with_key(reference, p256())
