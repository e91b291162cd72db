# SPDX-License-Identifier: Apache-2.0
"""`etymon backup` and `restore`, as typed: what comes back, what is good no more, and what is refused."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pyrage
import pytest
import sqlalchemy as sa
from cryptography import x509
from pyrage import x25519

from etymon.audit import verification
from etymon.ca import crl, issuance
from etymon.ca.model import IssuanceRequest, SubjectNames
from etymon.directory import bindings
from etymon.kernel.errors import Conflict, NotPermitted
from etymon.kernel.secret import Secret
from etymon.server import follow_ups, process_events, software_integrity
from etymon.server.wiring import Wiring
from etymon.storage.database import Database
from support.backup_office import Office, made
from support.ca_site import fresh_key, names_for
from support.databases import PostgreSQLDatabases


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Secret[str]]:
    """A data directory on SQLite, which each test copies, and its Administrator's code."""
    directory = tmp_path_factory.mktemp("organization")
    return directory / "data", made(directory)


@pytest.fixture
def office(made_once: tuple[Path, Secret[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Office:
    data, code = made_once
    shutil.copytree(data, tmp_path / "data")
    return Office(tmp_path, capsys, code)


def rows(database: Database) -> dict[str, list[str]]:
    """Return all that is in a database, but the two rows that its backup and its restoring have left."""
    with database.snapshot() as tx:
        names = sa.inspect(tx).get_table_names()
        return {
            name: sorted(str(tuple(row)) for row in tx.execute(sa.text(f'SELECT * FROM "{name}"')))  # noqa: S608 - names of our tables
            for name in names
            if not name.startswith("audit_")
        }


def test_everything_comes_back_and_its_codes_do_not(office: Office) -> None:
    before = rows(office.opened(office.data).database)
    file = office.backup()
    done = office.restore(file)
    assert done.status == 0, done
    assert "Example Agency" in done.err
    restored = office.opened(office.directory / "restored")
    after = rows(restored.database)
    assert {name for name in after if after[name] != before[name]} == {"ca_authorities", "ca_revocation_lists"}
    assert restored.ca.signers["derived"].public_key == office.opened(office.data).ca.signers["derived"].public_key
    follow_ups.seal(restored)
    assert (restored.directory.stat().st_mode & 0o777, (restored.directory / "config.toml").exists()) == (0o700, True)
    for site, is_good in ((office.opened(office.data), True), (restored, False)):
        with nullcontext() if is_good else pytest.raises(NotPermitted, match="binding_code_refused"):
            bindings.present_code(Wiring(site).directory, office.code, source="192.0.2.1")


def test_lists_are_made_anew_under_numbers_that_nobody_has_seen(office: Office) -> None:
    site = office.opened(office.data)
    file = office.backup()
    with site.database.transaction() as tx:
        tx.execute(sa.text("UPDATE ca_authorities SET revocations = revocations + 1"))
    seen = x509.load_der_x509_crl(crl.refresh(site.ca, "derived").der)  # published after the backup
    office.restore(file)
    restored = office.opened(office.directory / "restored")
    follow_ups.seal(restored)
    made = x509.load_der_x509_crl(crl.refresh(restored.ca, "derived").der)
    numbers = [found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for found in (seen, made)]
    assert numbers == [2, 1_000_002]


def test_what_was_planned_before_is_not_signed_a_second_time(office: Office) -> None:
    site = office.opened(office.data)
    request = IssuanceRequest(
        ca="device",
        profile="device-identity",
        request_key="planned",
        key=fresh_key(),
        subject=SubjectNames(common_name="phone"),
        authorized_by="test",
        alternative=names_for("device-identity"),
    )
    with site.database.transaction() as tx:
        planned = issuance.plan(tx, site.ca, request)
    office.restore(office.backup())
    restored = office.opened(office.directory / "restored")
    follow_ups.seal(restored)
    with pytest.raises(Conflict):
        issuance.complete(restored.ca, planned.id)
    follow_ups.seal(site)
    assert issuance.complete(site.ca, planned.id).id == planned.id, "where nothing was lost it is issued"


def test_the_records_of_ceremonies_come_back(office: Office) -> None:
    record = office.data / "ceremonies" / "record.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text("{}")
    office.restore(office.backup())
    assert (office.directory / "restored" / "ceremonies" / "record.json").read_text() == "{}"


def test_both_sides_leave_an_event(office: Office) -> None:
    office.restore(office.backup())
    for data, name in ((office.data, "server:backup:taken"), (office.directory / "restored", "server:backup:restored")):
        with office.opened(data).database.snapshot() as tx:
            found = tx.scalar(sa.text("SELECT count(*) FROM audit_events WHERE name = :name"), {"name": name})
        assert found == 1, name


def test_a_backup_taken_while_others_write_is_of_one_moment(office: Office) -> None:
    busy = office.opened(office.data)
    enough = threading.Event()

    def write() -> None:
        while not enough.is_set():
            process_events.started(busy.database, busy.clock, busy.entropy, "worker", software_integrity.installed())
            follow_ups.seal(busy)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        file = office.backup()
    finally:
        enough.set()
        writer.join()
    assert office.restore(file).status == 0
    restored = office.opened(office.directory / "restored")
    assert verification.verify(restored.database, restored.signer("audit-seal").public_key).is_intact


@pytest.mark.needs("postgres", "initdb", "pg_dump", "pg_restore")
def test_a_deployment_on_postgresql_is_restored_into_an_empty_database_only(
    postgresql_databases: PostgreSQLDatabases,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = postgresql_databases.empty(), postgresql_databases.empty()
    code = made(tmp_path, database_url=first.engine.url.render_as_string(hide_password=False))
    office = Office(tmp_path, capsys, code)
    before = rows(first)
    file = office.backup()
    office.restore(file).refused("database_not_empty")
    monkeypatch.setenv("ETYMON_DATABASE_URL", second.engine.url.render_as_string(hide_password=False))
    assert office.restore(file).status == 0
    after = rows(second)
    assert {name for name in after if after[name] != before[name]} == {"ca_authorities", "ca_revocation_lists"}
    postgresql_databases.drop(first)
    postgresql_databases.drop(second)


@pytest.mark.needs("age")
def test_anybodys_age_and_tar_read_a_backup(office: Office) -> None:
    plain = subprocess.run(
        ["age", "--decrypt", "--identity", office.identity, office.backup()], capture_output=True, check=True
    ).stdout
    out = office.directory / "out"
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        tar.extractall(out, filter="data")
    listed = json.loads((out / "content.json").read_bytes())
    (out / "content.json").unlink()
    found = {str(file.relative_to(out)): file for file in out.rglob("*") if file.is_file()}
    assert listed == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in found.items()}
    assert {"manifest.json", "database.sqlite", "config.toml", "keys/master.json"} <= set(found)


def test_an_archive_that_was_touched_or_cut_off_is_refused_and_nothing_is_made(office: Office) -> None:
    whole = office.backup().read_bytes()
    touched = office.directory / "touched"
    for octets in (
        whole[:-1],
        whole[: len(whole) // 2],
        whole[:100],
        whole[:-2000] + b"\0" + whole[-1999:],
        b"",
        whole + b"x",
    ):
        touched.write_bytes(octets)
        office.restore(touched).refused("backup_not_opened")
    assert not (office.directory / "restored").exists()
    assert not (office.directory / "restored.restoring").exists()


@pytest.mark.needs("prlimit")
def test_a_disk_that_is_full_is_told_and_leaves_nothing(office: Office) -> None:
    """Neither side waits for the other: the copy of the database fits, the archive does not."""
    (office.data / "public" / "large").write_bytes(os.urandom(4_000_000))
    target = office.directory / "site.age"
    command = [sys.executable, "-m", "etymon.server", "backup", str(target), "--data", str(office.data)]
    done = subprocess.run(
        ["prlimit", "--fsize=2000000", *command, "--recipient", office.recipient],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert "(backup_not_written)" in done.stderr
    assert [file.name for file in office.directory.iterdir() if file.name.startswith("site.age")] == []
    assert [file.name for file in office.data.iterdir() if file.name.startswith(".backup-")] == []


def archive(office: Office, change: Callable[[tarfile.TarFile], None]) -> Path:
    """Write an archive that is well encrypted and none of ours."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        change(tar)
    file = office.directory / "foreign"
    file.write_bytes(pyrage.encrypt(plain.getvalue(), [x25519.Recipient.from_str(office.recipient)]))
    return file


def member(name: str, octets: bytes = b"", kind: bytes = tarfile.REGTYPE) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        found = tarfile.TarInfo(name)
        found.size, found.type, found.linkname = len(octets), kind, "/etc/passwd"
        tar.addfile(found, io.BytesIO(octets))

    return add


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (member("../outside"), "backup_unexpected"),
        (member("/absolute"), "backup_unexpected"),
        (member("keys/../../outside"), "backup_unexpected"),
        (member("keys/link", kind=tarfile.SYMTYPE), "backup_unexpected"),
        (member("authorized_keys", b"x"), "backup_unexpected"),
        (member("config.toml", b"x"), "backup_not_whole"),
        (member("content.json", b"{}"), "backup_manifest"),
    ],
)
def test_an_archive_of_something_else_is_refused(
    office: Office, change: Callable[[tarfile.TarFile], None], code: str
) -> None:
    office.restore(archive(office, change)).refused(code)
    assert {path.name for path in office.directory.iterdir()} == {"data", "foreign", "identity", "passphrase"}


def test_what_cannot_be_used_is_said_in_one_line(office: Office) -> None:
    file = office.backup()
    office.restore(file, data="data").refused("directory_not_empty")
    other = office.directory / "other"
    office.type("backup-key", other)
    office.restore(file, identity=other).refused("backup_not_opened")
    office.restore(file, identity=office.passphrase).refused("identity")
    office.restore(office.directory / "none").refused("none cannot be used")
    office.type("backup", file, "--data", office.data, "--recipient", office.recipient).refused("backup_exists")
    new = office.directory / "new"
    office.type("backup", new, "--data", office.data, "--recipient", "age1nonsense").refused("recipient")
    office.type("backup", new, "--data", other, "--recipient", office.recipient).refused("config.toml")
    office.type("backup-key", office.identity).refused("key_exists")
    office.passphrase.write_text("another passphrase of some length")
    office.restore(file).refused("wrong_passphrase")
    assert not (office.directory / "restored").exists()
