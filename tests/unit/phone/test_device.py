# SPDX-License-Identifier: Apache-2.0
"""The phone's directory: one program at a time, sealed files, whole writes."""

from pathlib import Path

import pytest

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.phone import Phone
from etymon.phone.sealed_file import SealedFile, device_secret
from etymon.phone.state import DeviceState
from support.phones import HARDWARE, new_phone, surroundings


def test_a_new_phone_is_factory_new_and_found_again(tmp_path: Path) -> None:
    with new_phone(tmp_path / "phone") as phone:
        assert phone.status().device is DeviceState.FACTORY_NEW
    with Phone.open(tmp_path / "phone", surroundings()) as phone:
        assert phone.status().hardware == HARDWARE


def test_there_is_one_phone_in_a_directory(tmp_path: Path) -> None:
    with new_phone(tmp_path):
        pass
    with pytest.raises(Conflict, match="phone_exists"):
        Phone.new(tmp_path, surroundings(), hardware=HARDWARE)


def test_one_program_at_a_time_has_a_phone_open(tmp_path: Path) -> None:
    with new_phone(tmp_path), pytest.raises(Conflict, match="phone_in_use"):
        Phone.open(tmp_path, surroundings())
    Phone.open(tmp_path, surroundings()).close()


def test_a_directory_without_a_phone_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no_phone"):
        Phone.open(tmp_path / "nowhere", surroundings())


def test_a_damaged_file_is_told_and_not_believed(tmp_path: Path) -> None:
    with new_phone(tmp_path):
        pass
    content = (tmp_path / "state").read_bytes()
    for damaged in (content[:-1], bytes([content[0] ^ 1]) + content[1:], b""):
        (tmp_path / "state").write_bytes(damaged)
        with Phone.open(tmp_path, surroundings()) as phone, pytest.raises(Unavailable, match="file_damaged"):
            phone.status()
    (tmp_path / "device-secret").write_bytes(b"short")
    with pytest.raises(Unavailable, match="device_secret_damaged"):
        Phone.open(tmp_path, surroundings())


def test_a_sealed_file_is_bound_to_its_name_and_hides_its_content(tmp_path: Path) -> None:
    secret = device_secret(tmp_path / "device-secret", SystemEntropy())
    file = SealedFile(tmp_path / "one", secret, SystemEntropy())
    assert file.read() is None
    file.write(b"a session secret")
    assert file.read() == b"a session secret"
    assert b"session" not in (tmp_path / "one").read_bytes()
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    (tmp_path / "two").write_bytes((tmp_path / "one").read_bytes())
    with pytest.raises(Unavailable):
        SealedFile(tmp_path / "two", secret, SystemEntropy()).read()
    with pytest.raises(Unavailable):
        SealedFile(tmp_path / "one", Secret(bytes(32)), SystemEntropy()).read()
    file.remove()
    file.remove()
    assert file.read() is None
