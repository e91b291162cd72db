# SPDX-License-Identifier: Apache-2.0
"""The client made of bash, curl and openssl: its pure parts, against values made by hand and by OpenSSL."""

import base64
import hashlib
import itertools
import subprocess
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs7

from etymon.kernel.secret import Secret
from etymon.pki.pin import spki_pin
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.daemons import Daemon, Log
from etymon.wire import link_qr
from support.peer_pki import Key, PeerPKI

pytestmark = pytest.mark.needs("bash", "openssl")

CLIENT: Final = Path(__file__).parent / "foreign_client" / "client.sh"
LINK: Final = "0f8fad5b-d9cb-469f-a165-70867728950e"
SECRET: Final = "AAECAwQFBgcICQoLDA0ODw"  # the octets 0 to 15

KEY: Final = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHuSJuV3cLWF1KO1h
U/OSTY9WqhZdOeBNw8W33KxkhaahRANCAASBEYYqvRR6k0tXGBXwlA4UhQ7QJbOw
BPIfccSiBo0ZxPz8cysn366iFR3iqlDOvMqEWQH+rd46o2fmZsD42EJc
-----END PRIVATE KEY-----
"""
"""Made for this test: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`."""

# openssl pkey -pubout -outform DER | openssl dgst -sha256
THUMBPRINT: Final = "971ae825f929a5b7292d23d0c3510d9a8c5ceeea4a127d43cbe7ede815091700"

# printf 'etymon-link-digits/1\0%s\0' LINK, and the thumbprint by xxd -r -p, into
# openssl mac -digest SHA256 -macopt hexkey:000102030405060708090a0b0c0d0e0f HMAC: 351BE97225ACF6A0…, and
# 0x351BE97225ACF6A0 = 3826893827301004192
DIGITS: Final = "004192"


class Client:
    """The client with a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CLIENT, "-d", self.directory / "phone", *arguments], capture_output=True, text=True, check=False
        )

    def say(self, *arguments: str | Path) -> str:
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def key_file(self, key: Key | str, name: str = "key.pem") -> Path:
        path = self.directory / name
        pem = key if isinstance(key, str) else private_pem(key)
        path.write_text(pem)
        return path


def private_pem(key: Key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_the_six_digits_are_those_computed_by_hand_and_by_the_product(client: Client) -> None:
    key = client.key_file(KEY)
    assert client.say("key-thumbprint", key) == THUMBPRINT
    assert client.say("digits", LINK, SECRET, key) == DIGITS
    assert link_qr.six_digits(Secret(bytes(range(16))), UUID(LINK), bytes.fromhex(THUMBPRINT)) == DIGITS


def test_the_digits_change_with_the_link_the_secret_and_the_key(client: Client) -> None:
    key = client.key_file(KEY)
    other = client.key_file(ec.generate_private_key(ec.SECP384R1()), "other.pem")
    said = {
        client.say("digits", LINK, SECRET, key),
        client.say("digits", LINK.replace("0e", "0f"), SECRET, key),
        client.say("digits", LINK, SECRET.replace("AA", "BA"), key),
        client.say("digits", LINK, SECRET, other),
    }
    assert len(said) == 4


def verify(key: Key, signature: bytes, message: bytes) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    else:
        digest = hashes.SHA384() if key.curve.name == "secp384r1" else hashes.SHA256()
        key.public_key().verify(signature, message, ec.ECDSA(digest))


@pytest.mark.parametrize("key_type", ["p256", "p384", "rsa2048"])
def test_proofs_are_signatures_over_what_the_protocol_says(
    client: Client, rsa_key: rsa.RSAPrivateKey, key_type: str
) -> None:
    curves: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1()}
    key: Key = rsa_key if key_type == "rsa2048" else ec.generate_private_key(curves[key_type])
    file = client.key_file(key)
    body = client.directory / "body"
    body.write_bytes(b"MIIB")

    proof = base64.b64decode(client.say("authorization-proof", LINK, file), validate=True)
    message = b"etymon-link-authorization/1\x00" + LINK.encode()
    verify(key, proof, message)
    assert link_qr.authorization_message(UUID(LINK)) == message

    link_proof = base64.b64decode(client.say("link-proof", "signature", body, file), validate=True)
    message = b"etymon-link-request/1\x00signature\x00" + hashlib.sha256(b"MIIB").digest()
    verify(key, link_proof, message)
    assert link_qr.request_message("signature", b"MIIB") == message
    with pytest.raises(InvalidSignature):
        verify(key, link_proof, message.replace(b"signature", b"encryption"))


def test_a_transport_request_names_its_key_by_identifier(client: Client, rsa_key: rsa.RSAPrivateKey) -> None:
    out = client.directory / "request.der"
    client.say("transport-csr", client.key_file(rsa_key), out)
    request = x509.load_der_x509_csr(out.read_bytes())
    assert request.is_signature_valid
    assert request.public_key() == rsa_key.public_key()
    (attribute,) = request.attributes
    assert attribute.oid.dotted_string == "1.2.840.113549.1.9.16.2.54"
    assert attribute.value == x509.SubjectKeyIdentifier.from_public_key(rsa_key.public_key()).digest


class ServerKeygen:
    """What an EST server answers to serverkeygen, made by OpenSSL alone (RFC 7030 section 4.4.2)."""

    def __init__(self, directory: Path, transport_key: rsa.RSAPrivateKey) -> None:
        self._directory = directory
        self._transport_key = transport_key
        self._numbers = itertools.count()
        self.pki = PeerPKI(directory / "pki")
        self.leaf = self.pki.client("alice@agency.example")
        self.cas = directory / "cas.pem"
        self.cas.write_bytes(self.pki.issuing.pem)

    def answer(self, *, signer_of: PeerPKI | None = None, certificate: x509.Certificate | None = None) -> Path:
        """Return the file with the body; its header is beside it."""
        signer = (signer_of or self.pki).client("signer", purposes=()).files
        key = self.leaf.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        package = b"\x30\x81" + bytes([len(key)]) + key
        package_type = "2.16.840.1.101.2.1.2.78.5"  # id-ct-KP-aKeyPackage
        signed = self._cms(
            package,
            "-sign",
            "-nodetach",
            "-econtent_type",
            package_type,
            "-signer",
            signer.certificate,
            "-inkey",
            signer.key,
        )
        recipient = self.pki.client("transport", key=self._transport_key).files.certificate
        oaep = ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")
        enveloped = self._cms(
            signed,
            "-encrypt",
            "-aes-256-cbc",
            "-econtent_type",
            "pkcs7-signedData",
            "-keyid",
            "-recip",
            recipient,
            *oaep,
        )
        only = pkcs7.serialize_certificates([certificate or self.leaf.certificate], Encoding.DER)
        parts = "".join(
            f"--between\r\nContent-Type: application/pkcs7-mime; smime-type={kind}\r\n"
            f"Content-Transfer-Encoding: base64\r\n\r\n{base64.encodebytes(part).decode()}\r\n"
            for kind, part in (("server-generated-key", enveloped), ("certs-only", only))
        )
        path = self._directory / f"answer{next(self._numbers)}"
        path.write_bytes(f"{parts}--between--\r\n".encode())
        header = "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=between\r\n\r\n"
        path.with_name(f"{path.name}.header").write_bytes(header.encode())
        return path

    def _cms(self, content: bytes, *arguments: str | Path) -> bytes:
        command = ["openssl", "cms", "-binary", "-outform", "DER", *arguments]
        return subprocess.run(command, input=content, check=True, capture_output=True).stdout


@pytest.fixture
def server_keygen(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> ServerKeygen:
    return ServerKeygen(tmp_path, rsa_key)


def test_a_key_made_by_the_server_is_opened(
    client: Client, server_keygen: ServerKeygen, rsa_key: rsa.RSAPrivateKey
) -> None:
    out = client.directory / "encryption"
    client.say("open-key", server_keygen.answer(), client.key_file(rsa_key), server_keygen.cas, out)
    assert out.with_suffix(".key").read_text() == private_pem(server_keygen.leaf.key)
    certificate = x509.load_pem_x509_certificate(out.with_suffix(".pem").read_bytes())
    assert certificate == server_keygen.leaf.certificate


def test_a_key_of_another_recipient_signer_or_certificate_is_refused(
    client: Client, server_keygen: ServerKeygen, rsa_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    key = client.key_file(rsa_key)
    other_key = client.key_file(rsa.generate_private_key(65537, 2048), "other.pem")
    stranger = PeerPKI(tmp_path / "elsewhere", "Elsewhere")
    bob = server_keygen.pki.client("bob@agency.example").certificate
    for answer, opener, reason in (
        (server_keygen.answer(), other_key, "not sealed for this client"),
        (server_keygen.answer(signer_of=stranger), key, "not signed by the issuer"),
        (server_keygen.answer(certificate=bob), key, "for another key"),
    ):
        done = client.run("open-key", answer, opener, server_keygen.cas, tmp_path / "encryption")
        assert done.returncode == 1
        assert reason in done.stderr


def test_only_a_chain_with_the_pinned_key_is_trusted(client: Client, tmp_path: Path) -> None:
    pki = PeerPKI(tmp_path / "pki")
    server = pki.server().files
    log = Log(tmp_path / "s_server.log")
    daemon = Daemon(
        programs.required("openssl"),
        [
            *("s_server", "-accept", "127.0.0.1:0", "-www"),
            *("-cert", server.certificate, "-key", server.key, "-cert_chain", server.certificate),
        ],
        directory=tmp_path,
        log=log,
        ready=lambda since: bool(log.lines(r"^ACCEPT .*:\d+$", since=since)),
    )
    daemon.start()
    try:
        url = f"https://localhost:{log.lines(r'^ACCEPT')[0].rpartition(':')[2]}/mdm"
        refused = client.run("trust", url, pin(pki.root.certificate))
        client.say("trust", url, pin(pki.tls.certificate))
    finally:
        daemon.stop()
    assert (refused.returncode, "no certificate with the pinned key" in refused.stderr) == (1, True)
    trusted = x509.load_pem_x509_certificate((tmp_path / "phone" / "server-ca.pem").read_bytes())
    assert trusted == pki.tls.certificate
    assert spki_pin(trusted) == pin(trusted)


def pin(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode()


def test_what_cannot_be_used_is_told_before_anything_is_sent(client: Client) -> None:
    for arguments in (
        ("redeem", f"https://localhost/issuer/link#v=2&l={LINK}&s={SECRET}&p=x"),
        ("redeem", f"https://localhost/issuer/link#v=1&l={LINK}&p=x"),
        ("redeem", f"http://localhost/issuer/link#v=1&l={LINK}&s={SECRET}&p=x"),
        ("begin", "only", "two"),
        ("nonsense",),
    ):
        assert client.run(*arguments).returncode == 2


@pytest.mark.needs("shellcheck")
def test_the_scripts_have_no_known_mistakes() -> None:
    done = subprocess.run(["shellcheck", "-x", CLIENT], capture_output=True, text=True, check=False, cwd=CLIENT.parent)
    assert done.returncode == 0, done.stdout
