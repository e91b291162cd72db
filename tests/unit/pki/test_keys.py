# SPDX-License-Identifier: Apache-2.0
"""Key policy, proof of possession, and keys at rest."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import Conflict, Malformed, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki import key_policy, keys
from etymon.pki.algorithms import KeyType, SignatureAlgorithm
from etymon.pki.csr import LIMIT_BYTES, hold, verify_proof_of_possession
from etymon.pki.keys import KeyDirectory
from etymon.pki.signer import SoftwareSigner, assembled, checked_signature, signed
from etymon.wire import der
from support.ca_site import csr_der, rsa_key

PASSPHRASE = Secret(b"correct horse battery staple")


def public(bits: int, *, exponent: int = 65537, modulus: int | None = None) -> rsa.RSAPublicKey:
    """Return a public key whose modulus a test chose; without one it is odd and has no small factor."""
    n = modulus or next(n for n in range((1 << bits) - 1, 0, -2) if all(n % p for p in key_policy.SMALL_PRIMES))
    return rsa.RSAPublicNumbers(exponent, n).public_key()


@pytest.mark.parametrize("kind", [KeyType.P256, KeyType.P384])
def test_the_named_curves_are_allowed(kind: KeyType) -> None:
    key = keys.generate(kind).public_key()
    assert key_policy.check(key) is key


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_of_the_named_sizes_is_allowed(bits: int) -> None:
    key_policy.check(public(bits))


def _close_primes_modulus() -> int:
    """A product of two neighbours without small factors: found by Fermat in one step."""
    primes = rsa_key().private_numbers()
    p = primes.p if isinstance(primes, rsa.RSAPrivateNumbers) else 0
    return p * next(q for q in range(p + 2, 2 * p, 2) if all(q % prime for prime in key_policy.SMALL_PRIMES))


def _roca_modulus() -> int:
    """A number of the ROCA structure: a power of 65537 modulo every small prime, by the Chinese remainder theorem."""
    product, found = 1, 0
    for prime in key_policy.ROCA_PRIMES:
        residue = pow(65537, 5, prime)
        step = (residue - found) * pow(product, -1, prime) % prime
        found += product * step
        product *= prime
    found += product * (((1 << 2047) // product) + 1)
    return found if found % 2 else found + product


@pytest.mark.parametrize(
    "weak",
    [
        lambda: ec.generate_private_key(ec.SECP521R1()).public_key(),
        lambda: ec.generate_private_key(ec.SECP256K1()).public_key(),
        lambda: ed25519.Ed25519PrivateKey.generate().public_key(),
        lambda: dsa.generate_private_key(2048).public_key(),
        lambda: public(1024),
        lambda: public(2056),
        lambda: public(2048, exponent=3),
        lambda: public(2048, modulus=(1 << 2048) - 2),
        lambda: public(2048, modulus=((1 << 2046) - 1) // 3 * 3 | 1),
        lambda: public(2048, modulus=_close_primes_modulus()),
        lambda: public(2048, modulus=_roca_modulus()),
    ],
)
def test_every_other_key_is_weak(weak: object) -> None:
    with pytest.raises(Malformed) as caught:
        key_policy.check(weak())  # type: ignore[operator]  # a table of builders
    assert caught.value.code == "weak_key"


def test_a_roca_key_is_told_from_an_ordinary_one() -> None:
    with pytest.raises(Malformed, match="ROCA"):
        key_policy.check(public(2048, modulus=_roca_modulus()))
    key_policy.check(rsa_key().public_key())


@pytest.mark.parametrize("kind", [KeyType.P256, KeyType.P384, KeyType.RSA2048])
def test_a_request_signed_with_its_key_is_proven(kind: KeyType) -> None:
    key = rsa_key(kind) if kind is KeyType.RSA2048 else keys.generate(kind)
    data = csr_der(key)
    proven = verify_proof_of_possession(data)
    assert proven.public_key == key.public_key()
    assert proven.der == data
    assert proven.spki_sha256 == hold(key.public_key()).spki_sha256


def test_a_request_signed_with_another_key_proves_nothing() -> None:
    mine, theirs = keys.generate(KeyType.P256), keys.generate(KeyType.P256)
    content = der.elements(der.only(csr_der(theirs), der.SEQUENCE).content)[0].encoded
    forged = signed(SoftwareSigner(mine), content)
    with pytest.raises(Malformed) as caught:
        verify_proof_of_possession(forged)
    assert caught.value.code == "proof_of_possession_failed"


def test_a_weak_key_is_refused_before_its_signature_is_looked_at() -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    weak = request.sign(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256())
    with pytest.raises(Malformed) as caught:
        verify_proof_of_possession(weak.public_bytes(serialization.Encoding.DER))
    assert caught.value.code == "weak_key"


def test_a_request_has_an_upper_limit_and_no_bytes_after_its_end() -> None:
    data = csr_der(keys.generate(KeyType.P256))
    for bad, code in (
        (bytes(LIMIT_BYTES + 1), "csr_too_large"),
        (data + b"\0", "csr_malformed"),
        (b"", "csr_malformed"),
    ):
        with pytest.raises(Malformed) as caught:
            verify_proof_of_possession(bad)
        assert caught.value.code == code


_REQUEST = csr_der(keys.generate(KeyType.P256))


@pytest.mark.filterwarnings("ignore:Attribute's length")  # a name that became a country, two letters long
@given(st.integers(0, len(_REQUEST) - 1), st.integers(1, 255))
def test_a_changed_request_is_refused_or_says_the_same(position: int, change: int) -> None:
    data, original = bytearray(_REQUEST), verify_proof_of_possession(_REQUEST)
    data[position] ^= change
    with contextlib.suppress(Malformed):
        read = verify_proof_of_possession(bytes(data))  # the signature's count of unused bits is nobody's business
        said = [x509.load_der_x509_csr(each.der).subject for each in (read, original)]
        assert (read.public_key, said[0]) == (original.public_key, said[1])


def test_a_key_of_a_directory_is_found_again_by_its_name(tmp_path: Path) -> None:
    directory = KeyDirectory(tmp_path / "keys", PASSPHRASE)
    made = directory.generate("derived", KeyType.P256)
    again = KeyDirectory(tmp_path / "keys", PASSPHRASE)
    assert again["derived"].public_key == made.public_key
    assert list(again) == ["derived"]
    assert (len(again), "device" in again, again.find("device")) == (1, False, None)
    file = tmp_path / "keys" / "derived.pem"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert b"ENCRYPTED PRIVATE KEY" in file.read_bytes()
    assert [found.name for found in file.parent.iterdir()] == ["derived.pem"]


def test_a_key_never_replaces_another(tmp_path: Path) -> None:
    directory = KeyDirectory(tmp_path, PASSPHRASE)
    first = directory.generate("derived", KeyType.P256)
    with pytest.raises(Conflict):
        directory.generate("derived", KeyType.P256)
    assert KeyDirectory(tmp_path, PASSPHRASE)["derived"].public_key == first.public_key


def test_a_key_opens_under_its_passphrase_only(tmp_path: Path) -> None:
    KeyDirectory(tmp_path, PASSPHRASE).generate("derived", KeyType.P256)
    with pytest.raises(Unavailable) as caught:
        KeyDirectory(tmp_path, Secret(b"guess"))["derived"]
    assert caught.value.code == "key_unusable"
    (tmp_path / "derived.pem").write_bytes(b"torn")
    with pytest.raises(Unavailable):
        KeyDirectory(tmp_path, PASSPHRASE)["derived"]


@pytest.mark.parametrize("name", ["../derived", "Derived", "", "a/b", "a" * 81, "-a"])
def test_a_key_is_named_plainly(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        KeyDirectory(tmp_path, PASSPHRASE).generate(name, KeyType.P256)


def test_a_key_that_left_is_gone(tmp_path: Path) -> None:
    directory = KeyDirectory(tmp_path, PASSPHRASE)
    made = directory.generate("derived-root", KeyType.P384)
    elsewhere = Secret(b"another passphrase")
    exported = directory.export("derived-root", elsewhere)
    directory.remove("derived-root")
    directory.remove("derived-root")
    assert directory.find("derived-root") is None
    with pytest.raises(NotFound):
        directory.export("derived-root", elsewhere)
    assert keys.decrypt(exported, elsewhere).public_key() == made.public_key
    with pytest.raises(Unavailable):
        keys.decrypt(exported, PASSPHRASE)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("encrypt", [keys.encrypt, keys.encrypt_for_custody])
def test_openssl_reads_an_encrypted_key(encrypt: object, tmp_path: Path) -> None:
    private_key = keys.generate(KeyType.P256)
    file = tmp_path / "key.pem"
    file.write_bytes(encrypt(private_key, PASSPHRASE))  # type: ignore[operator]  # one of the two functions
    run = subprocess.run(
        ["openssl", "pkey", "-in", str(file), "-passin", "pass:correct horse battery staple", "-pubout"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert run.stdout == private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_kind_of_key_that_is_not_used_here_does_not_open() -> None:
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.reveal()),
    )
    with pytest.raises(Unavailable):
        keys.decrypt(other, PASSPHRASE)


class Lying:
    """A signer whose signatures are of something else."""

    def __init__(self, signer: SoftwareSigner) -> None:
        self._signer = signer
        self.public_key, self.algorithm = signer.public_key, signer.algorithm

    def sign(self, tbs: bytes) -> bytes:
        return self._signer.sign(tbs + b"!")


def test_a_signature_that_does_not_verify_is_not_used() -> None:
    for private_key in (keys.generate(KeyType.P256), rsa_key()):
        signer = SoftwareSigner(private_key)
        assert signed(signer, b"\x30\x00").startswith(b"\x30")
        with pytest.raises(Unavailable):
            checked_signature(Lying(signer), b"tbs")


@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_an_algorithm_is_written_as_the_library_writes_it(algorithm: SignatureAlgorithm) -> None:
    key = rsa_key() if algorithm.is_rsa else keys.generate(KeyType.P256)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm.hash())
    parts = der.elements(der.only(request.public_bytes(serialization.Encoding.DER), der.SEQUENCE).content)
    assert parts[1].encoded == algorithm.identifier()
    assert assembled(algorithm, parts[0].encoded, parts[2].content[1:]) == request.public_bytes(
        serialization.Encoding.DER
    )
