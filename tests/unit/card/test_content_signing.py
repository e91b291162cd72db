# SPDX-License-Identifier: Apache-2.0
"""The card issuer's signatures on data objects."""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card.content_signing import (
    ContentSigner,
    security_object,
    sign_chuid,
    verify_chuid,
    verify_security_object,
)
from etymon.card.external_key import ExternalKey, SignatureScheme, SoftwareKey, sign
from etymon.card.private_keys import CardPrivateKey
from etymon.kernel.errors import DecodeError, Malformed, NotPermitted
from etymon.wire import fascn, piv_signature
from etymon.wire.piv import ObjectTag
from etymon.wire.piv_objects import CHUID, SecurityObject, encode_chuid
from support.card_edge import p256, p384
from support.card_issuer import Authority, authority, common_name

OBJECTS = {int(ObjectTag.DISCOVERY): b"discovery", int(ObjectTag.KEY_HISTORY): b"history"}


@pytest.fixture(scope="module")
def ca() -> Authority:
    return authority("Card CA")


def _signer(ca: Authority, key: CardPrivateKey, name: str = "Content Signer") -> ContentSigner:
    builder = x509.CertificateBuilder().subject_name(common_name(name)).public_key(key.public_key())
    return ContentSigner(ca.issue(builder, end=datetime.now(UTC) + timedelta(days=9)), SoftwareKey(key))


@pytest.fixture(scope="module")
def signer(ca: Authority) -> ContentSigner:
    return _signer(ca, p256())


CARD = CHUID(fascn.non_federal(), UUID("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"), date(2030, 6, 30))


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa_2048"])
def test_signed_objects_verify(request: pytest.FixtureRequest, ca: Authority, kind: str) -> None:
    key = request.getfixturevalue(kind) if kind.startswith("rsa") else {"p256": p256, "p384": p384}[kind]()
    signer = _signer(ca, key)
    content = encode_chuid(sign_chuid(CARD, signer))
    assert verify_chuid(content) == signer.certificate
    found = verify_security_object(security_object(OBJECTS, signer), OBJECTS, signer.certificate)
    assert found == frozenset(OBJECTS)


def test_the_hash_goes_with_the_key(ca: Authority) -> None:
    signature = piv_signature.decode(sign_chuid(CARD, _signer(ca, p384())).signature)
    assert (signature.digest_algorithm, signature.signature_algorithm) == ("sha384", "sha384_ecdsa")


def test_a_changed_chuid_is_noticed(signer: ContentSigner) -> None:
    signed = sign_chuid(CARD, signer)
    for changed in (
        replace(signed, expires=date(2040, 1, 1)),
        replace(signed, fascn=fascn.non_federal("1234567890")),
        replace(signed, card_uuid=UUID(int=4)),
        replace(signed, cardholder_uuid=UUID(int=4)),
    ):
        with pytest.raises(NotPermitted, match="object_signature"):
            verify_chuid(encode_chuid(changed))


def test_an_unsigned_chuid_is_noticed() -> None:
    with pytest.raises(DecodeError):
        verify_chuid(encode_chuid(CARD))


def _cms(
    signer: ContentSigner,
    *,
    content_type: str = piv_signature.CHUID_CONTENT_TYPE,
    content: bytes | None = None,
    signed: bytes | None = None,
    named: x509.Certificate | None = None,
    with_certificate: bool = True,
    key: ExternalKey | None = None,
) -> bytes:
    """Return a CMS that differs from a good one over `CARD` in what is asked for."""
    attributes = piv_signature.signed_attributes(
        content_type=content_type,
        message_digest=hashlib.sha256(signed or CARD.signed_content()).digest(),
        signer_name=(named or signer.certificate).subject.public_bytes(),
    )
    return piv_signature.signed_data(
        content_type=content_type,
        content=content,
        attributes=attributes,
        signer_certificate=signer.certificate.public_bytes(Encoding.DER),
        with_certificate=with_certificate,
        digest_algorithm="sha256",
        signature_algorithm="sha256_ecdsa",
        signature=sign(key or signer.key, attributes, SignatureScheme(SHA256())),
    )


def _content(cms: bytes) -> bytes:
    return encode_chuid(replace(CARD, signature=cms))


def test_the_form_built_here_is_good_by_itself(signer: ContentSigner) -> None:
    assert verify_chuid(_content(_cms(signer))) == signer.certificate


def test_a_signature_by_another_key_is_noticed(signer: ContentSigner) -> None:
    with pytest.raises(NotPermitted, match="object_signature"):
        verify_chuid(_content(_cms(signer, key=SoftwareKey(p256()))))


def test_a_signer_named_otherwise_is_noticed(signer: ContentSigner, ca: Authority) -> None:
    with pytest.raises(NotPermitted, match="object_signature"):
        verify_chuid(_content(_cms(signer, named=ca.certificate)))


def test_a_chuid_signature_is_detached_of_its_type_and_brings_its_certificate(signer: ContentSigner) -> None:
    for cms in (
        _cms(signer, content=CARD.signed_content()),
        _cms(signer, content_type=piv_signature.LDS_CONTENT_TYPE),
        _cms(signer, with_certificate=False),
    ):
        with pytest.raises(Malformed, match="chuid_signature"):
            verify_chuid(_content(cms))


def test_a_security_object_of_another_signer_is_noticed(signer: ContentSigner, ca: Authority) -> None:
    other = _signer(ca, p256(), "Another Signer")
    with pytest.raises(NotPermitted, match="object_signature"):
        verify_security_object(security_object(OBJECTS, signer), OBJECTS, other.certificate)


@pytest.mark.parametrize("change", ["changed", "missing", "unmapped"])
def test_an_object_that_is_not_the_signed_one_is_noticed(signer: ContentSigner, change: str) -> None:
    security = security_object(OBJECTS, signer)
    objects = dict(OBJECTS)
    if change == "changed":
        objects[ObjectTag.DISCOVERY] = b"Discovery"
    elif change == "missing":
        del objects[ObjectTag.DISCOVERY]
    else:
        security = SecurityObject({2: 0x6060}, security.signature)
    with pytest.raises(NotPermitted, match="object_changed"):
        verify_security_object(security, objects, signer.certificate)


def test_a_security_object_that_signs_no_hashes_is_refused(signer: ContentSigner) -> None:
    lds = piv_signature.LDS_CONTENT_TYPE
    with pytest.raises(Malformed, match="security_object"):
        verify_security_object(SecurityObject({}, _cms(signer)), {}, signer.certificate)
    with pytest.raises(Malformed, match="security_object"):
        verify_security_object(SecurityObject({}, _cms(signer, content_type=lds)), {}, signer.certificate)
    nonsense = _cms(signer, content_type=lds, content=b"x", signed=b"x")
    with pytest.raises(DecodeError):
        verify_security_object(SecurityObject({}, nonsense), {}, signer.certificate)


def test_a_signer_with_a_key_of_another_kind_is_refused(ca: Authority) -> None:
    builder = x509.CertificateBuilder().subject_name(common_name("Edwards"))
    edwards = ca.issue(builder.public_key(ed25519.Ed25519PrivateKey.generate().public_key()))
    with pytest.raises(Malformed, match="content_signer"):
        ContentSigner(edwards, SoftwareKey(p256()))
    signer = _signer(ca, p256())
    security = security_object(OBJECTS, signer)
    with pytest.raises(NotPermitted):
        verify_security_object(security, OBJECTS, edwards)


def test_a_certificate_in_the_cms_that_is_none_is_refused(signer: ContentSigner) -> None:
    good = _cms(signer)
    der = signer.certificate.public_bytes(Encoding.DER)
    version = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)
    with pytest.raises(DecodeError):
        verify_chuid(_content(good.replace(der, version)))
