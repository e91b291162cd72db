# SPDX-License-Identifier: Apache-2.0
"""The CMS on PIV data objects; OpenSSL judges it in tests/conformance."""

from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import piv_signature
from etymon.wire.piv_signature import CHUID_CONTENT_TYPE, LDS_CONTENT_TYPE

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Signer")])


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 77, start, start + timedelta(days=9))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


CERTIFICATE = _certificate()


def _signed(
    content: bytes | None = None, algorithm: str = "sha256_ecdsa", content_type: str = CHUID_CONTENT_TYPE
) -> bytes:
    attributes = piv_signature.signed_attributes(
        content_type=content_type, message_digest=bytes(32), signer_name=NAME.public_bytes()
    )
    return piv_signature.signed_data(
        content_type=content_type,
        content=content,
        attributes=attributes,
        signer_certificate=CERTIFICATE,
        with_certificate=content is None,
        digest_algorithm="sha256",
        signature_algorithm=algorithm,
        signature=b"signature",
    )


@pytest.mark.parametrize("algorithm", ["rsassa_pkcs1v15", "sha256_ecdsa", "sha384_ecdsa"])
@given(content=st.none() | st.binary(max_size=200))
def test_signatures_come_back(algorithm: str, content: bytes | None) -> None:
    found = piv_signature.decode(_signed(content, algorithm))
    assert (found.content_type, found.content) == (CHUID_CONTENT_TYPE, content)
    assert (found.digest_algorithm, found.signature_algorithm) == ("sha256", algorithm)
    assert found.certificate == (CERTIFICATE if content is None else None)
    assert (found.message_digest, found.signature, found.serial_number) == (bytes(32), b"signature", 77)
    assert found.signer_name == found.issuer == NAME.public_bytes()
    assert found.signed_attributes == piv_signature.signed_attributes(
        content_type=CHUID_CONTENT_TYPE, message_digest=bytes(32), signer_name=NAME.public_bytes()
    )


def test_the_form_is_the_prescribed_one() -> None:
    data = cms.ContentInfo.load(_signed())["content"]
    signer = data["signer_infos"][0]
    assert data["version"].native == "v3"
    assert signer["version"].native == "v1"
    assert signer["sid"].name == "issuer_and_serial_number"
    assert {attribute["type"].dotted for attribute in signer["signed_attrs"]} == {
        "1.2.840.113549.1.9.3",
        "1.2.840.113549.1.9.4",
        "2.16.840.1.101.3.6.5",
    }
    assert len(data["certificates"]) == 1


def test_rsa_is_named_rsa_encryption() -> None:
    signer = cms.ContentInfo.load(_signed(algorithm="rsassa_pkcs1v15"))["content"]["signer_infos"][0]
    assert signer["signature_algorithm"].dump().hex() == "300d06092a864886f70d0101010500"


@given(st.binary(max_size=300))
def test_any_bytes_are_no_signature(data: bytes) -> None:
    with pytest.raises(DecodeError):
        piv_signature.decode(data)


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_damaged_signature_decodes_or_is_a_decode_error(position: int, change: int) -> None:
    damaged = bytearray(_signed())
    damaged[position % len(damaged)] ^= change
    try:
        piv_signature.decode(bytes(damaged))
    except DecodeError:
        return


def test_bytes_behind_the_signature_are_refused() -> None:
    with pytest.raises(DecodeError):
        piv_signature.decode(_signed() + b"\x00")


def test_an_overlong_signature_is_refused() -> None:
    with pytest.raises(DecodeError, match="cms_too_long"):
        piv_signature.decode(bytes(piv_signature.LIMIT_BYTES + 1))


def _changed(change: str) -> bytes:
    info = cms.ContentInfo.load(_signed())
    data = info["content"]
    signer = data["signer_infos"][0]
    if change == "two signers":
        data["signer_infos"] = [signer, signer]
    elif change == "two certificates":
        data["certificates"] = [data["certificates"][0], data["certificates"][0]]
    elif change == "sha1":
        signer["digest_algorithm"] = {"algorithm": "sha1"}
    elif change == "sha1 signature":
        signer["signature_algorithm"] = {"algorithm": "sha1_rsa"}
    elif change == "no attributes":
        signer["signed_attrs"] = []
    elif change == "other type":
        data["encap_content_info"] = {"content_type": LDS_CONTENT_TYPE}
    elif change == "key identifier":
        signer["sid"] = cms.SignerIdentifier("subject_key_identifier", b"key")
    else:
        return bytes(cms.ContentInfo({"content_type": "data", "content": b""}).dump())
    data["signer_infos"] = data["signer_infos"] if change == "two signers" else [signer]
    info["content"] = data
    return bytes(info.dump(force=True))


@pytest.mark.parametrize(
    "change",
    [
        "two signers",
        "two certificates",
        "sha1",
        "sha1 signature",
        "no attributes",
        "other type",
        "key identifier",
        "not signed",
    ],
)
def test_another_form_is_refused(change: str) -> None:
    with pytest.raises(DecodeError):
        piv_signature.decode(_changed(change))


@given(st.dictionaries(st.integers(1, 16), st.binary(min_size=32, max_size=48), min_size=1, max_size=8))
def test_lds_security_objects_come_back(digests: dict[int, bytes]) -> None:
    encoded = piv_signature.encode_lds_security_object("sha384", digests)
    assert piv_signature.decode_lds_security_object(encoded) == ("sha384", digests)


@given(st.binary(max_size=200))
def test_any_bytes_are_hashes_or_a_decode_error(data: bytes) -> None:
    try:
        piv_signature.decode_lds_security_object(data)
    except DecodeError:
        return


@pytest.mark.parametrize("algorithm", ["sha1", "md5"])
def test_weak_hashes_are_refused(algorithm: str) -> None:
    with pytest.raises(DecodeError):
        piv_signature.decode_lds_security_object(piv_signature.encode_lds_security_object(algorithm, {1: bytes(20)}))
