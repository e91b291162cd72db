# SPDX-License-Identifier: Apache-2.0
"""The link QR code, the six digits and what the link key signs."""

import contextlib
import hashlib
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.kernel.secret import Secret
from etymon.wire import link_qr
from etymon.wire.link_qr import LinkQR

LINK = UUID("3f1f6a2e-6f0b-4c7d-9a3e-0c2b5d8e7f11")
SECRET = Secret(bytes(range(16)))
QR = LinkQR("https://issuer.example:8443/issuer", LINK, SECRET, bytes(range(32)))
TEXT = (
    "https://issuer.example:8443/issuer/link#v=1&l=3f1f6a2e-6f0b-4c7d-9a3e-0c2b5d8e7f11"
    "&s=AAECAwQFBgcICQoLDA0ODw&p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)


def test_the_code_is_an_https_address_whose_fragment_carries_the_secret() -> None:
    assert link_qr.encode(QR).reveal() == TEXT
    assert link_qr.decode(TEXT) == QR


def test_a_code_says_how_many_digits_its_password_has() -> None:
    asking = replace(QR, password_digits=8)
    assert link_qr.encode(asking).reveal() == TEXT + "&n=8"
    assert link_qr.decode(TEXT + "&n=8") == asking
    assert link_qr.decode(TEXT + "&n=16").password_digits == 16


def test_a_code_does_not_print_its_secret() -> None:
    assert "AAECAwQFBgcICQoLDA0ODw" not in f"{QR!r} {link_qr.encode(QR)}"


def test_members_that_are_not_known_are_ignored() -> None:
    assert link_qr.decode(TEXT + "&later=1") == QR


def test_another_version_is_told_apart_from_a_foreign_code() -> None:
    with pytest.raises(DecodeError, match="unsupported_version"):
        link_qr.decode(TEXT.replace("v=1", "v=2"))


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("https:", "http:"),
        TEXT.replace("v=1&", ""),
        '{"android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE": {"etymon.protocol": 1}}',
        TEXT.replace("issuer.example", "someone@issuer.example"),
        TEXT.replace("issuer.example:8443", ""),
        TEXT.replace("/issuer/link", "/issuer/other"),
        TEXT.replace("/link#", "/link?a=b#"),
        TEXT.replace("8443", "84430"),
        TEXT.replace(str(LINK), str(LINK).upper()),
        TEXT.replace(str(LINK), "one"),
        TEXT.replace("&s=AA", "&s="),
        TEXT.replace("Dw&p", "Dx&p"),
        TEXT.replace("Dw&p", "Dw==&p"),
        TEXT.replace("&p=AA", "&p=+A"),
        TEXT + "&v=1",
        *(TEXT + f"&n={number}" for number in ("", "0", "17", "-1", "+8", "08", "8.0", "eight", "٨", "9" * 50)),
        TEXT + "&x=" + "y" * 600,
        TEXT + "\n",
        "https://issuer.example/issuer/link",
        "",
    ],
)
def test_what_is_not_exactly_a_link_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        link_qr.decode(text)


@pytest.mark.parametrize(("secret", "pin"), [(bytes(15), bytes(32)), (bytes(16), bytes(31))])
def test_a_code_has_a_secret_and_a_pin_of_full_length(secret: bytes, pin: bytes) -> None:
    with pytest.raises(DecodeError):
        LinkQR("https://issuer.example/issuer", LINK, Secret(secret), pin)


@given(st.binary(min_size=16, max_size=16), st.uuids(), st.binary(min_size=32, max_size=32), st.integers(0, 16))
def test_every_code_reads_back(secret: bytes, link: UUID, pin: bytes, password_digits: int) -> None:
    qr = LinkQR("https://issuer.example/issuer", link, Secret(secret), pin, password_digits)
    assert link_qr.decode(link_qr.encode(qr).reveal()) == qr


@given(st.text(max_size=200) | st.text(max_size=60).map(lambda tail: TEXT[:70] + tail))
def test_any_text_is_a_code_or_a_decode_error(text: str) -> None:
    with contextlib.suppress(DecodeError):
        assert link_qr.encode(link_qr.decode(text)).reveal()


def test_the_six_digits_are_those_another_program_computes() -> None:
    """`openssl mac -digest SHA256 -macopt hexkey:000102…0f HMAC` over the message; C535D509E99A69A4 modulo 1000000."""
    assert link_qr.six_digits(SECRET, LINK, bytes(range(32))) == "101028"


def test_the_six_digits_keep_leading_zeros() -> None:
    shown = {link_qr.six_digits(SECRET, LINK, hashlib.sha256(bytes([number])).digest()) for number in range(100)}
    assert {len(digits) for digits in shown} == {6}
    assert any(digits.startswith("0") for digits in shown)


@pytest.mark.parametrize(
    ("secret", "link", "key"),
    [
        (Secret(bytes(16)), LINK, bytes(range(32))),
        (SECRET, UUID(int=LINK.int ^ 1), bytes(range(32))),
        (SECRET, LINK, bytes(32)),
    ],
)
def test_another_secret_link_or_key_shows_other_digits(secret: Secret[bytes], link: UUID, key: bytes) -> None:
    assert link_qr.six_digits(secret, link, key) != link_qr.six_digits(SECRET, LINK, bytes(range(32)))


def test_digits_of_something_that_is_no_thumbprint_are_refused() -> None:
    with pytest.raises(DecodeError):
        link_qr.six_digits(SECRET, LINK, bytes(20))


def test_what_the_link_key_signs_is_what_the_protocol_says() -> None:
    assert link_qr.authorization_message(LINK) == (
        b"etymon-link-authorization/1\x003f1f6a2e-6f0b-4c7d-9a3e-0c2b5d8e7f11"
    )
    # SHA-256 of "abc" is the example of FIPS 180-4
    assert link_qr.request_message("signature", b"abc") == b"etymon-link-request/1\x00signature\x00" + bytes.fromhex(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_challenges_of_attestations_are_those_another_program_computes() -> None:
    """`printf 'etymon-link-attestation/1\\0…' | openssl dgst -sha256 -mac HMAC -macopt hexkey:…` and so on."""
    assert (
        link_qr.link_attestation_challenge(SECRET, LINK).hex()
        == "1a9a8367474116140172301451f6ebe140483b9521f2aa136e88569869b6d70a"
    )
    assert (
        link_qr.request_attestation_challenge(Secret("dGVzdA"), "signature").hex()
        == "e4744330ba3f646ee505410bc8694c483dfae080dd7733e7681966e776d4804b"
    )
