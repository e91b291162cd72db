# SPDX-License-Identifier: Apache-2.0
"""Software that is not as a wheel installed it is found, by the record of the installation itself."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from etymon.server import software_integrity
from etymon.server.software_integrity import Software, look

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel of this very program: of pure Python, it is unpacked, and its RECORD goes along."""
    made = tmp_path_factory.mktemp("site-packages")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made)
    return made


@contextmanager
def put_back(file: Path) -> Iterator[None]:
    """Leave a file as it was, or away, when the block has ended."""
    octets = file.read_bytes() if file.exists() else None
    try:
        yield
    finally:
        if octets is None:
            file.unlink()
        else:
            file.write_bytes(octets)


def found_in(site_packages: Path) -> Software:
    (metadata,) = site_packages.glob("etymon-*.dist-info")
    return look(PathDistribution(metadata))


def test_an_installed_wheel_is_as_it_was_installed(site_packages: Path) -> None:
    cache = site_packages / "etymon" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "version.cpython-311.pyc").write_bytes(b"compiled")
    found = found_in(site_packages)
    (record,) = site_packages.glob("*.dist-info/RECORD")
    assert (found.changed, found.told) == ((), "as installed")
    assert found.record == hashlib.sha256(record.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "content"),
    [("site.py", b"# another one"), ("site.py", None), ("sitecustomize.py", b"")],
    ids=["changed", "missing", "added"],
)
def test_what_is_other_than_it_was_installed_is_found(site_packages: Path, name: str, content: bytes | None) -> None:
    file = site_packages / "etymon" / "server" / name
    with put_back(file):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        found = found_in(site_packages)
    assert (found.changed, found.told) == ((f"etymon/server/{name}",), "changed")


def test_a_hash_of_another_algorithm_proves_nothing(site_packages: Path) -> None:
    (record,) = site_packages.glob("*.dist-info/RECORD")
    octets = (site_packages / "etymon" / "__init__.py").read_bytes()
    weak = f"etymon/__init__.py,md5={hashlib.md5(octets, usedforsecurity=False).hexdigest()},{len(octets)}"
    lines = [weak if line.startswith("etymon/__init__.py,") else line for line in record.read_text().splitlines()]
    with put_back(record):
        record.write_text("\n".join(lines) + "\n")
        assert found_in(site_packages).changed == ("etymon/__init__.py",)


def test_a_script_that_was_put_elsewhere_is_no_change(site_packages: Path) -> None:
    """Installing into a folder of its own (pip --target) records it where it is not."""
    (record,) = site_packages.glob("*.dist-info/RECORD")
    with put_back(record):
        record.write_text(f"../../bin/etymon,sha256={'A' * 43},200\n{record.read_text()}")
        assert found_in(site_packages).changed == ()


def test_an_editable_installation_says_that_it_cannot_be_checked(tmp_path: Path) -> None:
    metadata = tmp_path / "etymon-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.4\nName: etymon\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("_editable_impl_etymon.pth,,\netymon-1.0.dist-info/METADATA,,\n")
    found = look(PathDistribution(metadata))
    assert (found.version, found.record, found.changed) == ("1.0", None, ())
    assert "not checkable" in found.told


def test_this_program_has_a_version_and_is_not_changed() -> None:
    found = software_integrity.installed()
    assert found.version
    assert found.changed == ()
