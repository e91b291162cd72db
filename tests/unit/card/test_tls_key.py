# SPDX-License-Identifier: Apache-2.0
"""An external key as the TLS library asks it to sign; the handshakes themselves are in tests/conformance."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from etymon.card.external_key import SoftwareKey
from etymon.card.tls_key import TLSKey
from etymon.kernel.errors import Malformed
from support.card_edge import p256, p384

DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
DIGEST = hashlib.sha256(b"handshake").digest()


def test_pss_signs_the_digest(rsa_2048: rsa.RSAPrivateKey) -> None:
    key = TLSKey(SoftwareKey(rsa_2048))
    signature = bytes(key.sign(DIGEST, "pss", "sha256", 32))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    rsa_2048.public_key().verify(signature, DIGEST, pss, Prehashed(hashes.SHA256()))
    assert key.verify(signature, DIGEST, "pss", "sha256", 32)
    assert (key.key_type, key.n) == ("rsa", rsa_2048.public_key().public_numbers().n)


def test_the_older_padding_comes_with_its_digest_info(rsa_2048: rsa.RSAPrivateKey) -> None:
    key = TLSKey(SoftwareKey(rsa_2048))
    signature = bytes(key.sign(DIGEST_INFO + DIGEST, "pkcs1"))
    rsa_2048.public_key().verify(signature, b"handshake", padding.PKCS1v15(), hashes.SHA256())
    assert key.verify(signature, DIGEST_INFO + DIGEST, "pkcs1")


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("private_key", [p256(), p384()], ids=["p256", "p384"])
def test_curve_keys_sign_digests_of_each_length(private_key: ec.EllipticCurvePrivateKey, size: int) -> None:
    key = TLSKey(SoftwareKey(private_key))
    digest = hashlib.sha512(b"handshake").digest()[:size]
    signature = bytes(key.sign(digest, None, "sha384"))
    judged = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}[size]
    private_key.public_key().verify(signature, digest, ec.ECDSA(Prehashed(judged)))
    assert key.verify(signature, digest)
    assert key.private_key.curve.baselen == private_key.key_size // 8


def test_the_hash_that_goes_with_the_key_is_preferred() -> None:
    assert TLSKey(SoftwareKey(p256())).preferred_hash == "sha256"
    assert TLSKey(SoftwareKey(p384())).preferred_hash == "sha384"


def test_a_signature_that_does_not_fit_is_told(rsa_2048: rsa.RSAPrivateKey) -> None:
    curve, key = TLSKey(SoftwareKey(p256())), TLSKey(SoftwareKey(rsa_2048))
    assert not curve.verify(bytes(curve.sign(DIGEST)), DIGEST[::-1])
    assert not key.verify(bytes(key.sign(DIGEST, "pss", "sha256")), DIGEST[::-1], "pss", "sha256")


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [(DIGEST, "pss", "md5"), (DIGEST, "pkcs1", None), (DIGEST, None, None), (DIGEST, "oaep", "sha256")],
)
def test_a_signature_of_an_unknown_kind_is_refused(
    rsa_2048: rsa.RSAPrivateKey, data: bytes, kind: str | None, name: str | None
) -> None:
    with pytest.raises(Malformed):
        TLSKey(SoftwareKey(rsa_2048)).sign(data, kind, name)


@pytest.mark.parametrize("size", [0, 20, 36])
def test_a_curve_key_does_not_sign_weak_digests(size: int) -> None:
    with pytest.raises(Malformed):
        TLSKey(SoftwareKey(p256())).sign(bytes(size))
