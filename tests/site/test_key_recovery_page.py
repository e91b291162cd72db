# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/operations/key-recovery.md as it stands there; OpenSSL judges what is collected."""

import re
import subprocess
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.directory import people, roles
from etymon.directory.model import Role
from etymon.escrow import recovery, recovery_store
from etymon.escrow.recovery_model import Authority, Choice, Order, RecoveryState
from support import page_commands
from support.desk import Desk
from support.escrowed import kept
from support.whole_site import DOMAIN, TEST, WholeSite

pytestmark = pytest.mark.needs("openssl")

NAMES = ("OFFICIAL", "FIRST", "SECOND", "ADMINISTRATOR")
ID = re.compile(r"^[0-9a-f-]{36}", re.MULTILINE)


def openssl(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True).stdout


def test_every_command_of_the_page_does_what_it_says(
    site: WholeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = uuid4().hex[:8]
    held = (Role.KEY_RECOVERY_OFFICIAL, Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_AGENT, Role.ADMINISTRATOR)
    desks = {
        name: Desk(site, tmp_path, capsys, f"{name.lower()}-{run}", role)
        for name, role in zip(NAMES, held, strict=True)
    }
    official, escrow = desks["OFFICIAL"], site.wiring.issuer.escrow
    with site.deployment.database.transaction() as tx:
        alice = people.create(
            tx, site.wiring.directory, user_principal_name=f"alice-{run}@{DOMAIN}", display_name="Alice", actor=TEST
        )
        kim = people.create(
            tx, site.wiring.directory, user_principal_name=f"kim-{run}@{DOMAIN}", display_name="Kim", actor=TEST
        )
        role, letter = Role.KEY_RECOVERY_AGENT, "letter 12/34"
        by = official.person.id
        roles.assign(tx, site.wiring.directory, kim.id, role, actor=TEST, authority=letter, by=by)
    certificate = kept(escrow, alice).certificate
    assert certificate is not None
    other = recovery.request(
        escrow,
        Order(alice.id, "The court", Authority.POLICY, "order", "inquiry"),
        Choice.ALL,
        official=official.person.id,
    )
    (tmp_path / "order.pdf").write_bytes(b"an order")
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    serial = f"{certificate.serial_number:x}"
    words = {f"${name}": desk.options for name, desk in desks.items()}
    words |= {"alice@": f"alice-{run}@", "kim@": f"kim-{run}@", "OTHER": str(other.id), "SERIAL": serial}
    shown: dict[str, str] = {}
    shell = page_commands.Typed(tmp_path, {"SERIAL": serial})
    for command in page_commands.commands("key-recovery.md"):
        if not command.startswith("etymon"):
            shown[command.split()[0]] = shell.run(command)
            continue
        done = official.type(command, **words)
        assert (done.status, done.err) == (0, ""), (command, done)
        name = " ".join(command.split("$")[1].split()[1:3])
        shown[name] = done.out
        if "appointments" in command and name == "list":
            given = re.search(
                rf"kim-{run}@\S+  keyRecoveryAgent  appointed by {official.person.user_principal_name} at (\S+)  waits",
                done.out,
            )
            assert given
            words["ASSIGNED"] = given[1]
        if name in {"request alice@agency.example", "legal-hold place"}:
            found = ID.search(done.out)
            assert found
            assert name.startswith("request") or "1 key is kept until" in done.out
            words["RECOVERY" if name.startswith("request") else "HOLD"] = found[0]
    confirmed = f"at {words['ASSIGNED']}  confirmed by {desks['ADMINISTRATOR'].person.user_principal_name}"
    assert confirmed in shown["confirm kim@agency.example"]
    assert serial in shown["keys alice@agency.example"]
    assert words["RECOVERY"] in shown["list"]
    assert str(other.id) in shown["list --unexplained"]
    assert words["HOLD"] in shown["legal-hold list"]
    with site.deployment.database.snapshot() as tx:
        assert recovery_store.find(tx, other.id).cause is not None
        assert recovery_store.find(tx, UUID(words["RECOVERY"])).state is RecoveryState.DELIVERED
    judged(tmp_path, serial)
    again = official.type(
        "etymon key-recovery --data /var/lib/etymon $OFFICIAL collect RECOVERY --into again "
        "--half-file first.half --half-file second.half",
        **words,
    )
    assert (again.status, "(recovery_state)" in again.err) == (2, True)
    onto, one = (
        "--into recovered --half-file first.half --half-file second.half",
        "--into again --half-file first.half",
    )
    for options, code in ((onto, "file_exists"), (one, "half_files")):
        done = official.type(
            f"etymon key-recovery --data /var/lib/etymon $OFFICIAL collect RECOVERY {options}", **words
        )
        assert (done.status, f"({code})" in done.err) == (2, True), done
    for file, code in (("absent/new.half", "file_not_writable"), ("first.half", "file_exists")):
        command = f"etymon key-recovery --data /var/lib/etymon $FIRST approve RECOVERY --half-file {file}"
        done = official.type(command, **words)
        assert (done.status, f"({code})" in done.err) == (2, True), done


def judged(folder: Path, serial: str) -> None:
    """Have OpenSSL say how the file is encrypted, and open with it what was encrypted to the certificate."""
    password = (folder / "password").read_text().strip()
    package = ("pkcs12", "-in", f"recovered/{serial}.p12", "-passin", "file:password")
    told = subprocess.run(
        ["openssl", *package, "-info", "-noout"], cwd=folder, capture_output=True, text=True, check=True
    )
    encryption = "PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256"
    assert told.stderr.count(encryption) == 2, told.stderr  # of the key, and of the certificate
    assert "MAC: sha256" in told.stderr
    (folder / "key.pem").write_bytes(openssl(folder, *package, "-nocerts", "-nodes"))
    (folder / "mail").write_bytes(b"older mail")
    openssl(folder, "cms", "-encrypt", "-aes256", "-in", "mail", "-out", "mail.cms", "certificate.pem")
    assert openssl(folder, "cms", "-decrypt", "-in", "mail.cms", "-inkey", "key.pem") == b"older mail"
    halves = [(folder / f"{name}.half").read_text().strip() for name in ("first", "second")]
    for wrong in (*halves, "-".join(reversed(halves)), ""):
        assert wrong != password
        argument = f"pass:{wrong}"
        refused = subprocess.run(
            ["openssl", *package[:3], "-noout", "-passin", argument], cwd=folder, capture_output=True, check=False
        )
        assert refused.returncode != 0
    assert (folder / "recovered" / f"{serial}.p12").stat().st_mode & 0o077 == 0
