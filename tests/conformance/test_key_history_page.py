# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/protocols/key-history.md open with OpenSSL what escrow envelopes, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_public_key,
)

from etymon.escrow import delivery
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki.signer import SoftwareSigner
from support.card_issuer import authority, common_name, key_usage
from support.page_commands import Typed, commands

pytestmark = pytest.mark.needs("openssl")

PAGE = "../protocols/key-history.md"


def test_the_pages_commands_open_an_envelope_of_escrow(tmp_path: Path) -> None:
    typed, (request, public, show, *opening) = Typed(tmp_path), tuple(commands(PAGE))
    typed.run(request)
    typed.run(public)
    transport = load_pem_public_key((tmp_path / "transport.pub").read_bytes())
    assert isinstance(transport, rsa.RSAPublicKey)
    root, key = authority("Trial root"), ec.generate_private_key(ec.SECP256R1())
    signer = (
        x509.CertificateBuilder()
        .subject_name(common_name("Key Generation"))
        .public_key(key.public_key())
        .add_extension(key_usage("digital_signature"), critical=True)
    )
    escrowed = rsa.generate_private_key(65537, 2048)
    enveloped = delivery.envelope(
        Secret(escrowed.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        transport,
        entropy=SystemEntropy(),
        signer=SoftwareSigner(key),
        signer_certificate=root.issue(signer),
        signed_at=datetime.now(UTC),
    )
    (tmp_path / "enveloped.der").write_bytes(enveloped)
    (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))

    told = typed.run(show)
    assert [told.count(each) for each in ("rsaesOaep", ":mgf1", ":sha256", ":sha1", "aes-256-cbc")] == [1, 1, 2, 0, 1]
    for command in opening:
        typed.run(command)
    opened = load_der_private_key((tmp_path / "key.der").read_bytes(), None)
    assert isinstance(opened, rsa.RSAPrivateKey)
    assert opened.private_numbers() == escrowed.private_numbers()
    decrypt, verify, *_ = opening
    (tmp_path / "root.pem").write_bytes(authority("Another").certificate.public_bytes(Encoding.PEM))
    with pytest.raises(AssertionError, match="verif"):
        typed.run(verify)
    with pytest.raises(AssertionError, match="cms -decrypt"):
        typed.run(f"{request} && {decrypt}")  # another transport key
