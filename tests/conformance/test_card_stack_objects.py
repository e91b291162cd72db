# SPDX-License-Identifier: Apache-2.0
"""What the card issuer signs on a card and what the card signs itself, judged by OpenSSL."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from etymon.card.card_key import CardKey
from etymon.card.external_key import as_private_key
from etymon.card.personalization import CertificateRequest
from etymon.wire.piv import Algorithm, KeyReference, ObjectTag
from etymon.wire.piv_objects import chuid_signed_content, decode_chuid, decode_security_object
from support import programs
from support.card_edge import p256, p384
from support.card_issuer import PIN, CardIssuer, IssuedCard
from support.tls_server import write_pem

pytestmark = pytest.mark.needs("openssl")


def _openssl(*words: str | Path) -> str:
    """Run OpenSSL; returns what it said, and fails when it does."""
    command = [str(programs.required("openssl")), *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert not done.returncode, said
    return said


@pytest.fixture(scope="module", params=["rsa", "p256", "p384"])
def issuer(request: pytest.FixtureRequest) -> CardIssuer:
    """A card issuer whose content signer has a key of each kind."""
    if request.param == "rsa":
        return CardIssuer(rsa.generate_private_key(65537, 2048))
    return CardIssuer({"p256": p256, "p384": p384}[request.param]())


@pytest.fixture(scope="module")
def card(issuer: CardIssuer) -> IssuedCard:
    return issuer.card(algorithms={KeyReference.AUTHENTICATION: Algorithm.P256, KeyReference.SIGNATURE: Algorithm.P384})


@pytest.fixture
def trust(tmp_path: Path, issuer: CardIssuer) -> list[str | Path]:
    anchors = write_pem(tmp_path / "anchors.pem", [issuer.root.certificate, issuer.issuing.certificate])
    return ["-CAfile", anchors, "-purpose", "any"]


def test_the_chuids_signature(tmp_path: Path, card: IssuedCard, trust: list[str | Path]) -> None:
    content = card.client.read_object(ObjectTag.CHUID)
    signature, signed = tmp_path / "chuid.p7s", tmp_path / "chuid.bin"
    signature.write_bytes(decode_chuid(content).signature)
    signed.write_bytes(chuid_signed_content(content))
    verify: list[str | Path] = ["cms", "-verify", "-binary", "-inform", "DER", "-in", signature, "-content", signed]
    said = _openssl(*verify, *trust, "-out", tmp_path / "out")
    assert "successful" in said
    signed.write_bytes(chuid_signed_content(content)[:-1] + b"\x01")
    with pytest.raises(AssertionError, match="Verification failure"):
        _openssl(*verify, *trust, "-out", tmp_path / "out")


def test_the_security_objects_signature_by_the_chuids_certificate(
    tmp_path: Path, issuer: CardIssuer, card: IssuedCard, trust: list[str | Path]
) -> None:
    security = decode_security_object(card.client.read_object(ObjectTag.SECURITY_OBJECT))
    signature = tmp_path / "security.p7s"
    signature.write_bytes(security.signature)
    signer = write_pem(tmp_path / "signer.pem", [issuer.content_signer.certificate])
    verify: list[str | Path] = ["cms", "-verify", "-binary", "-inform", "DER", "-in", signature, "-certfile", signer]
    assert "successful" in _openssl(*verify, *trust, "-out", tmp_path / "hashes.der")
    hashed = _openssl("asn1parse", "-inform", "DER", "-in", tmp_path / "hashes.der")
    digest = hashes.Hash(hashes.SHA384() if "sha384" in hashed else hashes.SHA256())
    digest.update(card.client.read_object(ObjectTag.CHUID))
    assert digest.finalize().hex().upper() in hashed


def test_the_cards_certificate_requests(tmp_path: Path) -> None:
    requests: list[CertificateRequest] = []

    class Listening(CardIssuer):
        """An issuer that keeps the requests."""

        def certify(self, request: CertificateRequest) -> x509.Certificate:
            requests.append(request)
            return super().certify(request)

    kinds = (Algorithm.RSA_2048, Algorithm.P384, Algorithm.RSA_3072, Algorithm.P256)
    slots = (
        KeyReference.AUTHENTICATION,
        KeyReference.SIGNATURE,
        KeyReference.KEY_MANAGEMENT,
        KeyReference.CARD_AUTHENTICATION,
    )
    Listening().card(algorithms=dict(zip(slots, kinds, strict=True)))
    for request in requests:
        path = tmp_path / "request.der"
        path.write_bytes(request.csr)
        assert "verify OK" in _openssl("req", "-inform", "DER", "-in", path, "-verify", "-noout")
    assert [request.slot for request in requests] == list(slots)


def test_a_letter_signed_by_the_card(
    tmp_path: Path, issuer: CardIssuer, card: IssuedCard, trust: list[str | Path]
) -> None:
    key = as_private_key(CardKey(card.client, KeyReference.SIGNATURE, pin=PIN))
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"Dear Bob\r\n")
    builder = builder.add_signer(card.certificates[KeyReference.SIGNATURE], key, hashes.SHA384())
    path = tmp_path / "letter.p7s"
    path.write_bytes(builder.add_certificate(issuer.issuing.certificate).sign(Encoding.DER, []))
    assert "successful" in _openssl(
        "cms", "-verify", "-inform", "DER", "-in", path, *trust, "-out", tmp_path / "letter"
    )
    assert (tmp_path / "letter").read_bytes() == b"Dear Bob\r\n"
