# SPDX-License-Identifier: Apache-2.0
"""OpenSSL opens the keys that escrow delivers, and what OpenSSL envelopes is read here (RFC 7030 §4.4.2, RFC 5958)."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from etymon.escrow import delivery
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import PrivateKey
from etymon.pki.signer import SoftwareSigner
from etymon.wire import der, key_package

pytestmark = pytest.mark.needs("openssl")

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def transport() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def escrowed() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module", params=["p256", "p384", "rsa2048"])
def signing_key(request: pytest.FixtureRequest) -> PrivateKey:
    if request.param == "rsa2048":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1() if request.param == "p256" else ec.SECP384R1())


def certificate_of(subject: PrivateKey, common_name: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    public_key = subject.public_key()
    return (
        x509.CertificateBuilder(name, name, public_key, x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(subject, hashes.SHA256())
    )


def pem(private_key: PrivateKey) -> bytes:
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pkcs8(private_key: PrivateKey) -> bytes:
    return private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class Judge:
    """OpenSSL's command line in a directory with files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.directory / name).write_bytes(content)

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False)

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


def delivered(
    escrowed: rsa.RSAPrivateKey, transport: rsa.RSAPrivateKey, signing_key: PrivateKey
) -> tuple[bytes, bytes]:
    """Return the envelope, and the signer's certificate in PEM."""
    certificate = certificate_of(signing_key, "key generation")
    envelope = delivery.envelope(
        Secret(pkcs8(escrowed)),
        transport.public_key(),
        entropy=SystemEntropy(),
        signer=SoftwareSigner(signing_key),
        signer_certificate=certificate,
        signed_at=NOW,
    )
    return envelope, certificate.public_bytes(Encoding.PEM)


def test_openssl_opens_verifies_and_reads_the_delivered_key(
    judge: Judge, escrowed: rsa.RSAPrivateKey, transport: rsa.RSAPrivateKey, signing_key: PrivateKey
) -> None:
    envelope, signer = delivered(escrowed, transport, signing_key)
    judge.write(envelope=envelope, transport=pem(transport), signer=signer)
    judge.succeed("cms", "-decrypt", "-inform", "DER", "-in", "envelope", "-inkey", "transport", "-out", "signed")
    judge.succeed(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", "signed"),
        *("-CAfile", "signer", "-purpose", "any", "-out", "package"),
    )
    (key,) = der.elements(der.only(judge.read("package"), der.SEQUENCE).content)
    judge.write(key=key.encoded)
    read = judge.succeed("pkey", "-inform", "DER", "-in", "key", "-pubout")
    public = escrowed.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert read.encode() == public
    assert "Key is valid" in judge.succeed("pkey", "-inform", "DER", "-in", "key", "-check", "-noout")


def test_openssl_sees_the_algorithms_that_were_promised(
    judge: Judge, escrowed: rsa.RSAPrivateKey, transport: rsa.RSAPrivateKey, signing_key: PrivateKey
) -> None:
    envelope, _ = delivered(escrowed, transport, signing_key)
    judge.write(envelope=envelope)
    printed = judge.succeed("cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "envelope")
    assert "rsaesOaep" in printed
    assert "aes-256-cbc" in printed
    assert "d.subjectKeyIdentifier" in printed
    assert printed.count("sha256") >= 2


def test_openssl_with_another_transport_key_reads_nothing(
    judge: Judge, escrowed: rsa.RSAPrivateKey, transport: rsa.RSAPrivateKey
) -> None:
    envelope, _ = delivered(escrowed, transport, ec.generate_private_key(ec.SECP256R1()))
    judge.write(envelope=envelope, other=pem(escrowed))
    done = judge.run("cms", "-decrypt", "-inform", "DER", "-in", "envelope", "-inkey", "other", "-out", "signed")
    signed = judge.run("cms", "-verify", "-noverify", "-inform", "DER", "-in", "signed")
    assert done.returncode != 0 or signed.returncode != 0


def test_openssl_finds_a_change_in_what_was_signed(
    judge: Judge, escrowed: rsa.RSAPrivateKey, transport: rsa.RSAPrivateKey
) -> None:
    envelope, signer = delivered(escrowed, transport, ec.generate_private_key(ec.SECP256R1()))
    judge.write(envelope=envelope, transport=pem(transport), signer=signer)
    judge.succeed("cms", "-decrypt", "-inform", "DER", "-in", "envelope", "-inkey", "transport", "-out", "signed")
    key = pkcs8(escrowed)
    judge.write(signed=judge.read("signed").replace(key, key[:-1] + bytes([key[-1] ^ 1])))
    verify = ("cms", "-verify", "-binary", "-inform", "DER", "-in", "signed", "-CAfile", "signer", "-purpose", "any")
    done = judge.run(*verify, "-out", "package")
    assert done.returncode != 0
    assert "verification failure" in done.stderr


def test_what_openssl_signs_and_envelopes_is_read(
    judge: Judge, escrowed: rsa.RSAPrivateKey, transport: rsa.RSAPrivateKey, signing_key: PrivateKey
) -> None:
    judge.write(
        package=key_package.encode_package([pkcs8(escrowed)]),
        signer=certificate_of(signing_key, "another issuer").public_bytes(Encoding.PEM),
        signer_key=pem(signing_key),
        recipient=certificate_of(transport, "phone").public_bytes(Encoding.PEM),
    )
    judge.succeed(
        *("cms", "-sign", "-binary", "-nodetach", "-in", "package", "-outform", "DER", "-out", "signed"),
        *("-econtent_type", key_package.KEY_PACKAGE, "-signer", "signer", "-inkey", "signer_key", "-md", "sha256"),
    )
    judge.succeed(
        *("cms", "-encrypt", "-binary", "-in", "signed", "-outform", "DER", "-out", "envelope", "-aes-256-cbc"),
        *("-keyid", "-recip", "recipient", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
    )
    enveloped = key_package.decode_enveloped(judge.read("envelope"))
    assert enveloped.recipient == x509.SubjectKeyIdentifier.from_public_key(transport.public_key()).digest
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    content_key = transport.decrypt(enveloped.encrypted_key, oaep)
    decryptor = Cipher(algorithms.AES256(content_key), modes.CBC(enveloped.initialization_vector)).decryptor()
    unpadder = PKCS7(128).unpadder()
    signed = key_package.decode_signed(
        unpadder.update(decryptor.update(enveloped.ciphertext) + decryptor.finalize()) + unpadder.finalize()
    )
    assert load_der_private_key(key_package.decode_package(signed.package)[0], None).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    ) == pkcs8(escrowed)
    if isinstance(signing_key, ec.EllipticCurvePrivateKey):
        signing_key.public_key().verify(signed.signature, signed.attributes, ec.ECDSA(hashes.SHA256()))
    else:
        signing_key.public_key().verify(signed.signature, signed.attributes, padding.PKCS1v15(), hashes.SHA256())
