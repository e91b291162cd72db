# SPDX-License-Identifier: Apache-2.0
"""Other people's SCEP client and CMS tools against a running issuer: strongSwan's `pki`, and OpenSSL as a judge."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from etymon.kernel.entropy import SystemEntropy
from etymon.pki.certificate import spki
from etymon.storage.database import Database
from support import programs
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_listeners import RunningIssuer
from support.scep_client import Message
from support.scep_site import SCEPSite


class Client:
    """strongSwan's SCEP client in a directory of its own."""

    def __init__(self, site: SCEPSite, url: str, directory: Path) -> None:
        self.site, self.url, self.directory = site, url, directory

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(programs.required("pki")), *arguments]
        return subprocess.run(command, capture_output=True, check=False, cwd=self.directory, timeout=60)

    def fetch(self) -> subprocess.CompletedProcess[bytes]:
        """Ask for the certificates of the authorities (GetCACert)."""
        return self.run(
            "--scepca", "--url", self.url, "--caout", "ca.pem", "--raout", "ra.pem", "--outform", "pem", "--force"
        )

    def enroll(self, *arguments: str, key: str) -> subprocess.CompletedProcess[bytes]:
        (self.directory / f"{key}.pem").write_bytes(pem(self.site.key()))
        return self.run(
            "--scep", "--url", self.url, "--in", f"{key}.pem", "--dn", "CN=Alice Example",
            "--cacert-enc", "ra.pem", "--cacert-sig", "ra.pem", "--cacert", "ca.pem", "--cacert", "ca-1.pem",
            "--outform", "pem", *arguments,
        )  # fmt: skip

    def submit(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run certmonger's helper."""
        command = [str(programs.required("scep-submit")), "-u", self.url, *arguments]
        return subprocess.run(command, capture_output=True, check=False, cwd=self.directory, timeout=60)

    def judge(self, message: Message) -> subprocess.CompletedProcess[bytes]:
        """Have it send a message, in an address, and judge the answer by the certificates it was given."""
        body = base64.encodebytes(message.encode()).decode("ascii")
        (self.directory / "message.pem").write_text(f"-----BEGIN PKCS7-----\n{body}-----END PKCS7-----\n")
        return self.submit("-p", "-r", "ra.pem", "-N", "ca.pem", "-I", "root.pem", "message.pem")


def pem(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())  # type: ignore[attr-defined, no-any-return]  # an RSA key


@pytest.fixture(scope="module")
def issuer(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIssuer]:
    database: Database = sqlite_databases.migrated()
    directory = tmp_path_factory.mktemp("scep")
    site = SCEPSite(database, TurnedClock(), SystemEntropy(), directory)
    with RunningIssuer(site, directory).running() as running:
        yield running
    sqlite_databases.drop(database)


@pytest.fixture
def client(issuer: RunningIssuer, tmp_path: Path) -> Client:
    assert isinstance(issuer.site, SCEPSite)
    return Client(issuer.site, f"{issuer.status_url}/scep/fleet", tmp_path)


@pytest.mark.needs("pki")
def test_strongswan_enrolls_and_renews(client: Client) -> None:
    fetched = client.fetch()
    assert fetched.returncode == 0, fetched.stderr
    assert b"Sub CA cert is trusted" in fetched.stderr
    assert b"RA cert is trusted" in fetched.stderr
    first = client.enroll("--password", client.site.challenge(), key="first")
    assert first.returncode == 0, first.stderr
    old = x509.load_pem_x509_certificate(first.stdout)
    assert old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "Alice Example"
    (client.directory / "old.pem").write_bytes(first.stdout)
    second = client.enroll("--cert", "old.pem", "--key", "first.pem", key="second")
    assert second.returncode == 0, second.stderr
    renewed = x509.load_pem_x509_certificate(second.stdout)
    assert (renewed.subject, spki(renewed) == spki(old)) == (old.subject, False)
    kinds = [enrollment.renews is not None for enrollment in client.site.enrollments()[-2:]]
    assert sorted(kinds) == [False, True]


@pytest.mark.needs("pki")
def test_strongswan_is_told_why(client: Client) -> None:
    client.fetch()
    wrong = client.enroll("--password", "0" * 32, key="wrong")
    assert (wrong.returncode, wrong.stdout) == (1, b"")
    assert b"failInfo:     badRequest" in wrong.stderr
    old = client.enroll("--password", client.site.challenge(), "--cipher", "des3", key="old")
    assert (old.returncode, old.stdout) == (1, b"")


def openssl(*arguments: str, data: bytes, cwd: Path) -> bytes:
    command = [str(programs.required("openssl")), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=False, cwd=cwd, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("scep-submit", "openssl")
def test_certmonger_understands_what_is_said_and_believes_the_answers(client: Client) -> None:
    """Its helper asks, judges signature and chain of the answer, and hands the envelope on; its daemon is not run."""
    assert {b"SCEPStandard", b"Renewal", b"AES", b"SHA-256"} <= set(client.submit("-c").stdout.split())
    listed = x509.load_pem_x509_certificates(client.submit("-C").stdout)
    assert listed[0] == client.site.registrar
    for name, certificate in zip(("ra", "ca", "root"), listed, strict=True):
        (client.directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    device = client.site.device()
    granted = client.judge(device.message(device.request(client.site.challenge())))
    assert granted.returncode == 0, granted.stderr
    (client.directory / "key.pem").write_bytes(pem(device.key))
    inside = openssl(
        "cms", "-decrypt", "-inform", "PEM", "-inkey", "key.pem",
        data=granted.stdout.replace(b"PKCS7", b"CMS"), cwd=client.directory,
    )  # fmt: skip
    own = openssl("pkcs7", "-inform", "DER", "-print_certs", data=inside, cwd=client.directory)
    assert x509.load_pem_x509_certificate(own).public_key() == device.key.public_key()
    wrong = client.site.device()
    refused = client.judge(wrong.message(wrong.request("0" * 32)))
    assert refused.returncode in {2, 3}, "a refusal has no content (RFC 8894 §3.3.2.2), which 0.79.17 cannot verify"


@pytest.mark.needs("openssl")
def test_openssl_reads_the_certificates_and_the_answer(issuer: RunningIssuer, tmp_path: Path) -> None:
    site = issuer.site
    assert isinstance(site, SCEPSite)
    url = f"{issuer.status_url}/scep/fleet"
    certificates = httpx.get(f"{url}?operation=GetCACert").content
    printed = openssl("pkcs7", "-inform", "DER", "-print_certs", data=certificates, cwd=tmp_path).decode()
    assert printed.count("BEGIN CERTIFICATE") == 3
    (tmp_path / "trusted.pem").write_text(printed)
    device = site.device()
    for cipher, named in (("aes128_cbc", b"aes-128-cbc"), ("aes256_cbc", b"aes-256-cbc")):
        message = device.message(device.request(site.challenge()), cipher=cipher).encode()
        answer = httpx.post(f"{url}?operation=PKIOperation", content=message).content
        arguments = ["cms", "-verify", "-inform", "DER", "-CAfile", "trusted.pem", "-purpose", "any", "-no_check_time"]
        envelope = openssl(*arguments, data=answer, cwd=tmp_path)
        assert named in openssl("cms", "-cmsout", "-print", "-inform", "DER", data=envelope, cwd=tmp_path)
        (tmp_path / "key.pem").write_bytes(pem(device.key))
        content = openssl("cms", "-decrypt", "-inform", "DER", "-inkey", "key.pem", data=envelope, cwd=tmp_path)
        own = openssl("pkcs7", "-inform", "DER", "-print_certs", data=content, cwd=tmp_path)
        assert own.count(b"BEGIN CERTIFICATE") == 1
        assert x509.load_pem_x509_certificate(own).public_key() == device.key.public_key()
        device = site.device()


@pytest.mark.needs("openssl")
def test_an_envelope_that_openssl_streamed_is_opened(issuer: RunningIssuer, tmp_path: Path) -> None:
    """BER of an outside program: indefinite lengths, content in pieces, the recipient named by its key."""
    site = issuer.site
    assert isinstance(site, SCEPSite)
    (tmp_path / "ra.pem").write_bytes(site.registrar.public_bytes(Encoding.PEM))
    device = site.device()
    arguments = ["cms", "-encrypt", "-binary", "-stream", "-keyid", "-outform", "DER", "-aes256", "ra.pem"]
    enveloped = openssl(*arguments, data=device.request(site.challenge()), cwd=tmp_path)
    assert enveloped[1] == 0x80
    reply = device.send(device.message(b"", made_envelope=enveloped))
    assert reply.certificate.public_key() == device.key.public_key()
