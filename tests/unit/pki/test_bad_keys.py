# SPDX-License-Identifier: Apache-2.0
"""Keys that anybody refuses: of wrong numbers, of wrong encodings, and on a list."""

import contextlib
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.kernel.errors import Malformed, Unavailable
from etymon.pki import key_policy
from etymon.pki.algorithms import KeyType
from etymon.pki.bad_keys import KeyLists, NoLists, tail_of
from etymon.pki.certificate import load, spki_sha256
from etymon.pki.csr import verify_proof_of_possession
from etymon.pki.signer import SoftwareSigner, signed
from etymon.wire import der
from support.ca_site import csr_der, rsa_key
from support.flawed_certificates import AUTHORITY

PRIVATE = ec.generate_private_key(ec.SECP256R1())
GOOD = csr_der(PRIVATE)
P256 = (der.object_identifier("1.2.840.10045.2.1"), der.object_identifier("1.2.840.10045.3.1.7"))
PRIME = 2**2048 - 1557


def requesting(key: bytes, attribute: bytes | None = None) -> bytes:
    """Return a request with this SubjectPublicKeyInfo and attribute value, signed by the good key."""
    fields = der.elements(der.elements(der.only(GOOD, der.SEQUENCE).content)[0].content)
    attributes = fields[3].encoded
    if attribute is not None:
        values = der.encode(der.SET, attribute)
        attributes = der.explicit(0, der.sequence(der.object_identifier("2.999.1"), values))
    content = der.sequence(fields[0].encoded, fields[1].encoded, key, attributes)
    return signed(SoftwareSigner(PRIVATE), content)


def code_of(request: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        verify_proof_of_possession(request)
    return caught.value.code


def point(form: PublicFormat = PublicFormat.UncompressedPoint, key: ec.EllipticCurvePrivateKey = PRIVATE) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, form)


def elliptic(point_octets: bytes, *algorithm: bytes) -> bytes:
    return der.sequence(der.sequence(*(algorithm or P256)), der.bit_string(point_octets))


def test_a_request_that_is_only_put_together_anew_is_proven() -> None:
    assert verify_proof_of_possession(requesting(elliptic(point()))).public_key == PRIVATE.public_key()


POINTS = [
    ("compressed", elliptic(point(PublicFormat.CompressedPoint))),
    ("off the curve", elliptic(point()[:-1] + bytes((point()[-1] ^ 1,)))),
    ("at infinity", elliptic(b"\x00")),
    ("of another curve", elliptic(point(key=ec.generate_private_key(ec.SECP384R1())))),
    ("coordinates of the field's size", elliptic(b"\x04" + b"\xff" * 64)),
    ("no curve", elliptic(point(), P256[0])),
    ("NULL for a curve", elliptic(point(), P256[0], der.null())),
    ("secp256k1", elliptic(point(), P256[0], der.object_identifier("1.3.132.0.10"))),
    ("another algorithm", elliptic(point(), der.object_identifier("1.3.101.112"))),
    ("cut off", elliptic(point()[:-1])),
]


@pytest.mark.parametrize(("what", "key"), POINTS, ids=[row[0] for row in POINTS])
def test_a_point_that_is_no_plain_point_of_its_curve_is_refused(what: str, key: bytes) -> None:
    assert code_of(requesting(key)) in {"weak_key", "csr_malformed"}, what


def _rsa_spki(numbers: rsa.RSAPublicNumbers, parameters: bytes = der.null()) -> bytes:
    key = der.sequence(der.integer(numbers.n), der.integer(numbers.e))
    algorithm = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), parameters)
    return der.sequence(algorithm, der.bit_string(key))


def _honest() -> rsa.RSAPublicNumbers:
    key = rsa_key(KeyType.RSA2048).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key.public_numbers()


@pytest.mark.parametrize("exponent", [1, 3, 17, 65535, 65536, 65538, 2**256 + 1])
def test_another_exponent_than_65537_is_refused(exponent: int) -> None:
    assert code_of(requesting(_rsa_spki(rsa.RSAPublicNumbers(exponent, _honest().n)))) in {"weak_key", "csr_malformed"}


def test_rsa_without_null_or_with_a_smaller_modulus_is_refused() -> None:
    assert code_of(requesting(_rsa_spki(_honest(), b""))) in {"weak_key", "csr_malformed"}
    assert code_of(requesting(_rsa_spki(rsa.RSAPublicNumbers(65537, _honest().n >> 1024 | 1)))) == "weak_key"


def _shaped(modulus: int) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, modulus).public_key()


def _refused(key: rsa.RSAPublicKey) -> bool:
    with contextlib.suppress(Malformed):
        key_policy.check_for_certification(key)
        return False
    return True


def test_a_modulus_that_is_even_or_has_a_small_factor_is_refused() -> None:
    for factor in (3, 167, 173, 751):
        multiple = next(n for n in range(2**2048 - 1, 0, -2) if n % factor == 0)
        assert _refused(_shaped(multiple))
    assert not _refused(_shaped(_honest().n))


def test_a_modulus_that_is_a_prime_or_a_power_of_one_is_refused() -> None:
    key_policy.check(_shaped(PRIME))  # what costs an exponentiation is asked only of what is to be certified
    assert _refused(_shaped(PRIME))
    cube = 0
    while cube.bit_length() != 2048:
        numbers = rsa.generate_private_key(65537, 1366).private_numbers()  # noqa: S505 - its primes are wanted
        cube = numbers.p**3
    assert _refused(_shaped(cube))


def test_what_is_certified_by_others_may_have_another_exponent() -> None:
    authority = rsa.RSAPublicNumbers(65539, _honest().n).public_key()
    assert key_policy.check_issuer(authority) is authority
    with pytest.raises(Malformed, match="weak_key"):
        key_policy.check_issuer(rsa.RSAPublicNumbers(3, _honest().n).public_key())


@settings(max_examples=150, deadline=None)
@given(st.data())
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_a_mutated_request_is_refused_or_the_same_request(data: st.DataObject) -> None:
    """Bytes are changed, left out, put in and repeated; nothing but a refusal ever comes of it."""
    sent = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sent) - 1))
        count = data.draw(st.integers(0, 6))
        kept = bytes(sent[at : at + count])
        sent[at : at + count] = data.draw(st.one_of(st.binary(max_size=6), st.just(kept * 3)))
        if not sent:
            break
    try:
        proven = verify_proof_of_possession(bytes(sent))
    except Malformed:
        return
    assert proven.public_key == PRIVATE.public_key()


def test_deep_endless_and_longwinded_requests_are_refused() -> None:
    deep = b""
    for _ in range(5000):
        deep = der.sequence(deep)
        if len(deep) > 30_000:
            break
    for sent in (deep, b"\x30\x80" + GOOD + b"\x00\x00", b"\x30\x80" * 1000, GOOD[:1] + b"\x83\x00" + GOOD[2:]):
        assert code_of(sent) == "csr_malformed"


def test_a_request_may_have_attributes_but_no_depths_and_no_crowds() -> None:
    """The library below would read all of these; the look beforehand does not let them through."""
    key = elliptic(point())
    assert (
        verify_proof_of_possession(requesting(key, der.octet_string(b"attestation"))).public_key == PRIVATE.public_key()
    )
    deep = der.null()
    for _ in range(40):
        deep = der.sequence(deep)
    for attribute in (deep, der.sequence(*[der.null()] * 2500), b"\x02\x02\x00\x01", b"\x01\x01\x07"):
        assert code_of(requesting(key, attribute)) == "csr_malformed"


def test_a_certificate_with_bytes_after_its_end_or_deep_within_is_refused() -> None:
    encoded = AUTHORITY.public_bytes(Encoding.DER)
    assert load(encoded) == AUTHORITY
    with pytest.raises(Malformed):
        load(der.sequence(der.only(encoded, der.SEQUENCE).content + b"\x30\x80"))


def test_a_key_on_a_list_is_refused_and_lists_are_read_again(tmp_path: Path) -> None:
    key = rsa_key(KeyType.RSA2048).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    NoLists().require_good(key)
    weak, compromised = tmp_path / "blacklist.RSA-2048", tmp_path / "compromised"
    weak.write_bytes(b"# keys of 2008\n" + b"0" * 20 + b"\n")
    compromised.write_text("")
    lists = KeyLists.opened([weak], [compromised])
    lists.require_good(key)
    weak.write_bytes(weak.read_bytes() + tail_of(key) + b"  # this one\n")
    with pytest.raises(Malformed, match="compromised_key"):
        lists.require_good(key)
    lists.require_good(PRIVATE.public_key())
    compromised.write_text(spki_sha256(PRIVATE.public_key()).hex().upper() + "\n")
    with pytest.raises(Malformed, match="compromised_key"):
        lists.require_good(PRIVATE.public_key())


def test_a_tail_is_what_openssl_and_sha1sum_make_of_the_modulus() -> None:
    """openssl rsa -pubin -modulus -noout | sha1sum | cut -c 21-40, for a key of small numbers written down here."""
    key = rsa.RSAPublicNumbers(65537, 2**2048 - 1557).public_key()
    assert tail_of(key) == hashlib.sha1(b"Modulus=" + b"F" * 509 + b"9EB\n").hexdigest()[20:].encode()  # noqa: S324 - theirs


def test_a_list_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("no digest\n")
    for missing in (tmp_path / "list", tmp_path / "missing"):
        with pytest.raises(Unavailable, match="key_list_unreadable"):
            KeyLists.opened([], [missing])
        with pytest.raises(Unavailable, match="key_list_unreadable"):
            KeyLists.opened([missing], [])
