# SPDX-License-Identifier: Apache-2.0
"""`etymon serve` as an operator has it: it says when it is ready, and in one sentence why it does not start."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import httpx
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.server import initialization
from etymon.server.initialization import RootKeys
from etymon.server.unsafe_settings import NO_KEY_LISTS
from etymon.storage import migrations
from etymon.storage.database import Database
from support import patience
from support.card_issuer import authority, server_certificate
from support.founding import free_ports
from support.tls_files import certificates_pem, key_pem

PASSPHRASE: Final = "a passphrase of some length"
ANYBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANYBODY.check_hostname, ANYBODY.verify_mode = False, ssl.CERT_NONE  # who answers is not what these tests are about
LISTENERS: Final = ("site", "certauth", "device", "status")


class Organization:
    """A data directory, and its ports."""

    def __init__(self, directory: Path) -> None:
        self.data, self.passphrase_file = directory / "data", directory / "passphrase"
        self.ports = dict(zip(LISTENERS, free_ports(4), strict=True))
        self.passphrase_file.write_text(f"{PASSPHRASE}\n")
        initialization.initialize(
            self.data,
            {
                "organization": "Example Agency",
                "loopback_demo": True,
                "status_url": "http://127.0.0.1:1",
                **{f"{name}_port": port for name, port in self.ports.items()},
            },
            passphrase=Secret(PASSPHRASE),
            root_keys=RootKeys(directory / "roots", Secret(PASSPHRASE)),
            founders=[],
            trust_entries=[],
            clock=SystemClock(),
            entropy=SystemEntropy(),
            progress=lambda _: None,
        )

    def command(self, *options: str, name: str = "serve") -> list[str]:
        return [sys.executable, "-m", "etymon.server", name, "--data", str(self.data), *options]

    def opened(self) -> list[str]:
        return self.command("--passphrase-file", str(self.passphrase_file))

    def refusal(self, command: list[str] | None = None, settings: Mapping[str, str] = MappingProxyType({})) -> str:
        """Start it so that it ends at once; return the one line it says."""
        ended = subprocess.run(
            command or self.opened(),
            env=environment({f"ETYMON_{name.upper()}": value for name, value in settings.items()}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience.LIMIT_SECONDS * 2,
            check=False,
        )
        assert ended.returncode == 2, ended.stderr
        assert ended.stdout == ""
        (line,) = ended.stderr.splitlines()
        return line.removeprefix("etymon: ")

    def certificates(self) -> int:
        database = Database(f"sqlite:///{self.data / 'etymon.db'}")
        with database.snapshot() as tx:
            count = tx.scalar(sa.text("SELECT count(*) FROM ca_certificates"))
        database.close()
        assert isinstance(count, int)
        return count

    def files(self) -> set[Path]:
        """Return what is in the directory, without the database's own."""
        return {file for file in self.data.rglob("*") if not file.name.startswith("etymon.db")}


def environment(further: Mapping[str, str]) -> Mapping[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}, **further}


@pytest.fixture(scope="module")
def organization(tmp_path_factory: pytest.TempPathFactory) -> Organization:
    return Organization(tmp_path_factory.mktemp("serve"))


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """Listen like a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind("\0" + address[1:] if address.startswith("@") else address)
        found.settimeout(patience.LIMIT_SECONDS * 2)
        yield found


def status_of(name: str, port: int) -> int:
    """Ask a listener for what is not there."""
    scheme = "http" if name == "status" else "https"
    return httpx.get(f"{scheme}://127.0.0.1:{port}/nothing", verify=ANYBODY, trust_env=False).status_code


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_it_tells_the_service_manager_and_the_log_once_every_listener_answers(
    kind: str, organization: Organization, tmp_path: Path
) -> None:
    address = str(tmp_path / "notify") if kind == "file" else f"@etymon-test-{os.getpid()}"
    before = organization.files()
    with manager(address) as told, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            organization.opened(), stderr=log, stdout=log, env=environment({"NOTIFY_SOCKET": address})
        )
        try:
            assert told.recv(100) == b"READY=1"
            assert [status_of(name, port) for name, port in organization.ports.items()] == [404] * 4  # without a wait
        finally:
            process.send_signal(signal.SIGTERM if kind == "file" else signal.SIGKILL)
            process.wait()
    assert process.returncode == (0 if kind == "file" else -signal.SIGKILL)
    assert organization.files() == before  # also of one that was killed nothing is left
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (ready,) = [event for event in events if event["event"] == "ready"]
    assert NO_KEY_LISTS in [event["detail"] for event in events if event["event"] == "settings_advice"]
    assert {name: ready[name].rpartition(":")[2] for name in LISTENERS} == {
        name: str(port) for name, port in organization.ports.items()
    }


@pytest.mark.parametrize("name", ["site", "status"])
def test_a_port_that_is_taken_is_named_with_its_setting_and_costs_nothing(
    name: str, organization: Organization
) -> None:
    port, issued = organization.ports[name], organization.certificates()
    with socket.create_server(("127.0.0.1", port)):
        assert organization.refusal() == (
            f"{name}_port: another program has port {port} of 127.0.0.1. End it, or choose another port. (port_taken)"
        )
    assert organization.certificates() == issued


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good chain and key, a key of another certificate, and one under a password."""
    directory, issuer = tmp_path_factory.mktemp("tls"), authority("Test TLS CA")
    certificate, key = server_certificate(issuer, dns=("localhost",))
    (directory / "chain.pem").write_text(certificates_pem([certificate, issuer.certificate]))
    (directory / "other.key").write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1())))
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password"))
    (directory / "locked.key").write_bytes(locked)
    (directory / "not.pem").write_text("nothing of that kind\n")
    return directory


@pytest.mark.parametrize(
    ("chain", "key", "told"),
    [
        ("none.pem", "other.key", "tls_chain_file: {none.pem} cannot be read: No such file or directory."),
        ("chain.pem", "none.key", "tls_key_file: {none.key} cannot be read: No such file or directory."),
        ("chain.pem", "", "tls_chain_file, tls_key_file: set both or neither"),
        ("chain.pem", "other.key", "tls_chain_file, tls_key_file: {chain.pem} and {other.key} must be a PEM chain"),
        ("chain.pem", "locked.key", "tls_chain_file, tls_key_file: {chain.pem} and {locked.key} must be a PEM chain"),
        ("not.pem", "other.key", "tls_chain_file, tls_key_file: {not.pem} and {other.key} must be a PEM chain"),
    ],
)
def test_tls_files_that_cannot_be_used_are_named_with_their_setting(
    chain: str, key: str, told: str, organization: Organization, tls_files: Path
) -> None:
    for name in ("none.pem", "none.key", "chain.pem", "other.key", "locked.key", "not.pem"):
        told = told.replace(f"{{{name}}}", str(tls_files / name))
    settings = {"tls_chain_file": str(tls_files / chain), "tls_key_file": str(tls_files / key) if key else ""}
    assert told in organization.refusal(settings=settings)


def test_tls_files_that_were_replaced_are_shown_without_a_restart(organization: Organization, tmp_path: Path) -> None:
    issuer, chain, key_file = authority("Test TLS CA"), tmp_path / "chain.pem", tmp_path / "server.key"

    def replace_files() -> str:
        certificate, key = server_certificate(issuer, dns=("localhost",))
        chain.write_text(certificates_pem([certificate, issuer.certificate]))
        key_file.write_bytes(key_pem(key))
        return certificates_pem([certificate])

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", organization.ports["site"]))

    first, address = replace_files(), str(tmp_path / "notify")
    settings = {"ETYMON_TLS_CHAIN_FILE": str(chain), "ETYMON_TLS_KEY_FILE": str(key_file), "NOTIFY_SOCKET": address}
    with manager(address) as told, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(organization.opened(), stderr=log, stdout=log, env=environment(settings))
        try:
            assert told.recv(100) == b"READY=1"
            assert shown() == first
            chain.write_text("nothing of that kind\n")
            patience.until(lambda: b"tls_files_unusable" in (tmp_path / "log").read_bytes(), "unusable files are told")
            assert shown() == first
            second = replace_files()
            patience.until(lambda: shown() == second, "the new certificate is shown")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql+psycopg://ada:hunter2@127.0.0.1:1/etymon", "127.0.0.1:1/etymon cannot be used: connection failed"),
        (
            "mysql://ada:hunter2@127.0.0.1/etymon",
            "database_url: give an address such as postgresql+psycopg://HOST/NAME",
        ),
        ("ada:hunter2", "database_url: give an address such as postgresql+psycopg://HOST/NAME"),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    address: str, told: str, organization: Organization
) -> None:
    refusal = organization.refusal(settings={"database_url": address})
    assert refusal.removeprefix("settings: ").startswith("database_url: ")
    assert told in refusal
    assert "hunter2" not in refusal


@pytest.fixture
def database_file(organization: Organization) -> Iterator[Path]:
    """The organisation's database file, for a test that exchanges it."""
    kept = organization.data / "kept"
    kept.mkdir()
    for file in organization.data.glob("etymon.db*"):
        file.rename(kept / file.name)
    yield organization.data / "etymon.db"
    for left in organization.data.glob("etymon.db*"):
        left.unlink()
    for file in kept.iterdir():
        file.rename(organization.data / file.name)
    kept.rmdir()


def at(file: Path, revision: str) -> None:
    database = Database(f"sqlite:///{file}")
    migrations.upgrade(database, to=revision)
    database.close()


def test_a_database_that_is_missing_is_not_made_anew(organization: Organization, database_file: Path) -> None:
    assert (
        organization.refusal()
        == f"The database {database_file} does not exist. Restore it from a backup. (database_missing)"
    )
    assert organization.refusal(organization.command(name="upgrade")).endswith("(database_missing)")
    assert not database_file.exists()


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "The database holds no organisation. `etymon init` makes one. (database_empty)"),
        (b"x" * 5000, "file is not a database"),
    ],
)
def test_a_file_that_is_no_database_of_ours_is_told(
    octets: bytes, told: str, organization: Organization, database_file: Path
) -> None:
    database_file.write_bytes(octets)
    assert told in organization.refusal()


def test_a_database_of_an_older_program_is_told_and_upgraded_on_request(
    organization: Organization, database_file: Path
) -> None:
    at(database_file, "0001_storage")
    refusal = organization.refusal()
    assert refusal.startswith("The database is at 0001_storage, and this program needs 0")
    assert "`etymon upgrade`" in refusal
    for _ in range(2):
        done = subprocess.run(organization.command(name="upgrade"), capture_output=True, text=True, check=True)
        assert done.stdout == "The database has the schema of this program.\n"
    database = Database(f"sqlite:///{database_file}")
    migrations.require_current(database)
    database.close()


def test_a_database_of_a_newer_program_is_told_and_left_alone(organization: Organization, database_file: Path) -> None:
    at(database_file, "head")
    database = Database(f"sqlite:///{database_file}")
    with database.transaction() as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999_later'"))
    database.close()
    for command in (organization.opened(), organization.command(name="upgrade")):
        refusal = organization.refusal(command)
        assert refusal.startswith("The database is at 9999_later, which this program")
        assert refusal.endswith("(database_newer)")


def test_a_passphrase_that_is_missing_or_wrong_is_told(organization: Organization, tmp_path: Path) -> None:
    wrong, unreadable = tmp_path / "wrong", tmp_path / "octets"
    wrong.write_text("another passphrase\n")
    unreadable.write_bytes(b"\xff\xfe")

    def refusal(file: Path) -> str:
        return organization.refusal(organization.command("--passphrase-file", str(file)))

    assert organization.refusal(organization.command()).endswith("the credential etymon-passphrase. (no_passphrase)")
    assert (
        refusal(tmp_path / "none") == f"The passphrase file {tmp_path / 'none'} cannot be read as text. (no_passphrase)"
    )
    assert refusal(unreadable).endswith("cannot be read as text. (no_passphrase)")
    assert refusal(wrong) == (
        "The passphrase does not open the keys of this data directory. Of several parts the order counts. "
        "(wrong_passphrase)"
    )


def test_a_directory_that_holds_no_organisation_is_told(organization: Organization, tmp_path: Path) -> None:
    command = organization.opened()
    command[command.index("--data") + 1] = str(tmp_path)
    assert "`etymon init --data" in organization.refusal(command)
    (tmp_path / "config.toml").write_bytes(b'organization = "\xff"\n')
    assert organization.refusal(command).endswith("(configuration_unreadable)")
