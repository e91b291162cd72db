# SPDX-License-Identifier: Apache-2.0
"""The issuer judged by the phone of bash, curl, jq and OpenSSL: link, EST, a key made by the server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from etymon.issuer.initial_issuance import Begun
from etymon.issuer.model import DerivationState
from etymon.kernel.entropy import Entropy
from etymon.pki.certificate import spki, spki_sha256, thumbprint
from support import programs
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_listeners import RunningIssuer, issuer_on_sqlite
from support.tls_files import certificates_pem, key_pem

CLIENT = Path(__file__).parent / "foreign_client" / "client.sh"

pytestmark = pytest.mark.needs("curl", "jq", "openssl")


class ForeignPhone:
    """The other client with its directory; it trusts by the QR code's pin alone."""

    def __init__(self, issuer: RunningIssuer, directory: Path) -> None:
        self.directory = directory
        self.issuer = issuer
        directory.mkdir(mode=0o700)
        enrolled = issuer.site.phone()
        assert enrolled.device is not None
        assert enrolled.device_key is not None
        (directory / "device.pem").write_text(certificates_pem([enrolled.device]))
        (directory / "device.key").write_bytes(key_pem(enrolled.device_key))

    def run(self, *arguments: str, refused: bool = False) -> str:
        path = os.pathsep.join(str(programs.required(name).parent) for name in ("curl", "jq", "openssl"))
        done = subprocess.run(
            ["bash", str(CLIENT), "-d", str(self.directory), *arguments],
            env={"PATH": f"{path}:{os.defpath}", "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode == 1) == refused, (done.returncode, done.stdout, done.stderr)
        return done.stderr if refused else done.stdout

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.directory / f"{name}.pem").read_bytes())


@pytest.fixture
def issuer(
    sqlite_databases: SQLiteDatabases, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> Iterator[RunningIssuer]:
    with issuer_on_sqlite(sqlite_databases, clock, entropy, tmp_path) as running:
        yield running


@pytest.fixture
def phone(issuer: RunningIssuer, tmp_path: Path) -> ForeignPhone:
    return ForeignPhone(issuer, tmp_path / "foreign")


def link(issuer: RunningIssuer, phone: ForeignPhone) -> Begun:
    """Link the foreign phone as far as its authorization."""
    site = issuer.site
    session = site.present_card()
    begun = site.begin(session)
    shown = phone.run("redeem", begun.qr.reveal())
    kept = site.derivation(begun)
    assert kept.link is not None
    assert f"digits {kept.link.digits}" in shown
    assert "person Alice Example" in shown
    key = (phone.directory / "link.key").read_bytes()
    assert kept.link.key_thumbprint == spki_sha256(load_pem_private_key(key, None).public_key())  # type: ignore[arg-type]  # a P-256 key
    site.confirm_shown(session, begun, kept.link.key_thumbprint)
    assert "confirmed for authentication signature encryption" in phone.run("wait-authorization")
    return begun


def test_a_foreign_phone_gets_its_credentials(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    begun = link(issuer, phone)
    assert ":prime256v1" in phone.run("csrattrs", "signature")
    assert ":1.2.840.113549.1.9.16.2.54" in phone.run("csrattrs", "encryption")
    phone.run("enroll-authentication")
    phone.run("enroll-signature")
    phone.run("serverkeygen")
    kept = issuer.site.credentials(begun)
    for purpose, credential in kept.items():
        assert credential.thumbprint == thumbprint(phone.certificate(purpose.value))
    assert issuer.site.derivation(begun).state is DerivationState.COMPLETED
    private = load_pem_private_key((phone.directory / "encryption.key").read_bytes(), None)
    assert spki(private.public_key()) == spki(phone.certificate("encryption"))  # type: ignore[arg-type]  # an RSA key


def test_openssl_builds_the_path_of_what_was_issued_from_cacerts(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    link(issuer, phone)
    phone.run("enroll-authentication")
    phone.run("cacerts")
    roots = phone.directory / "credential-cas.pem"
    checked = subprocess.run(
        [
            "openssl",
            "verify",
            "-CAfile",
            str(roots),
            "-purpose",
            "sslclient",
            str(phone.directory / "authentication.pem"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_a_lost_answer_is_asked_for_again(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    link(issuer, phone)
    phone.run("enroll-authentication")
    first = phone.certificate("authentication")
    phone.run("enroll-authentication")
    assert phone.certificate("authentication") == first
    phone.run("serverkeygen")
    key = (phone.directory / "encryption.key").read_bytes()
    phone.run("serverkeygen")  # enveloped anew, the same key in it
    assert (phone.directory / "encryption.key").read_bytes() == key
    assert len(issuer.site.events("escrow:key:deposited")) == 1
    assert len(issuer.site.events("escrow:key:released")) == 2


def test_another_request_is_a_conflict(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    link(issuer, phone)
    phone.run("enroll-signature")
    (phone.directory / "signature.csr").unlink()
    (phone.directory / "signature.key").unlink()
    assert "refused: 409" in phone.run("enroll-signature", refused=True)


def test_another_device_with_all_the_phone_knows_gets_nothing(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    link(issuer, phone)
    other = issuer.site.phone()
    assert other.device is not None
    assert other.device_key is not None
    (phone.directory / "device.pem").write_text(certificates_pem([other.device]))
    (phone.directory / "device.key").write_bytes(key_pem(other.device_key))
    assert "refused: 403" in phone.run("enroll-authentication", refused=True)
    assert "refused: 403 other_device" in phone.run("wait-authorization", refused=True)


def test_a_refused_phone_is_told_so(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    site = issuer.site
    session = site.present_card()
    begun = site.begin(session)
    phone.run("redeem", begun.qr.reveal())
    site.deny(session, begun)
    assert "refused: 403 link_denied" in phone.run("wait-authorization", refused=True)
    assert "refused: 403 link_denied" in phone.run("redeem", begun.qr.reveal(), refused=True)


def test_a_late_phone_is_told_so(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    begun = issuer.site.begin(issuer.site.present_card())
    issuer.site.turn(minutes=11)
    assert "refused: 410 link_expired" in phone.run("redeem", begun.qr.reveal(), refused=True)


def test_the_number_beside_the_code_is_asked_for_and_sent(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    site = issuer.site
    site.save_rule(link_password=True)
    session = site.present_card()
    begun = site.begin(session)
    assert begun.password is not None
    link, number = begun.qr.reveal(), begun.password.reveal()
    assert phone.run("redeem", link, "123") == "", "too short: not sent"
    assert not (phone.directory / "redeem-request.json").exists()
    wrong = f"{(int(number) + 1) % 10**8:08}"
    assert "refused: 403 link_password_wrong" in phone.run("redeem", link, wrong, refused=True)
    unasked = link.replace("&n=8", "")  # as an app reads it that knows no `n`
    assert "refused: 403 link_password_required" in phone.run("redeem", unasked, refused=True)
    assert "digits" in phone.run("redeem", link, f"{number[:4]} {number[4:]}")
    kept = site.derivation(begun).link
    assert kept is not None
    site.confirm_shown(session, begun, kept.key_thumbprint)
    phone.run("wait-authorization")
    phone.run("enroll-authentication")
    assert thumbprint(phone.certificate("authentication")) in {
        credential.thumbprint for credential in site.credentials(begun).values()
    }


def test_a_phone_without_a_device_identity_gets_its_credentials_where_the_rule_allows(
    issuer: RunningIssuer, phone: ForeignPhone
) -> None:
    for name in ("device.pem", "device.key"):
        (phone.directory / name).unlink()
    refused = phone.run("redeem", issuer.site.begin(issuer.site.present_card()).qr.reveal(), refused=True)
    assert "refused: 401 device_identity_required" in refused
    issuer.site.save_rule(managed_devices_only=False)
    begun = link(issuer, phone)
    for command in ("enroll-authentication", "enroll-signature", "serverkeygen"):
        phone.run(command)
    for purpose, credential in issuer.site.credentials(begun).items():
        assert credential.thumbprint == thumbprint(phone.certificate(purpose.value))
        assert credential.device_thumbprint is None


def test_the_pin_of_the_code_is_what_the_phone_trusts_by(issuer: RunningIssuer, phone: ForeignPhone) -> None:
    begun = issuer.site.begin(issuer.site.present_card())
    head, _, pin = begun.qr.reveal().rpartition("&p=")
    wrong = f"{head}&p={'A' * len(pin)}"
    assert "no certificate with the pinned key" in phone.run("redeem", wrong, refused=True)
    assert not (phone.directory / "issuer.json").exists()  # it asked nothing of a server it does not trust
