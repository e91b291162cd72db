# SPDX-License-Identifier: Apache-2.0
"""Tokens: made by us and judged by PyJWT, made by others and judged by us."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from etymon.idp import signing_keys
from etymon.idp.model import USER_CODE_ALPHABET, normalised_user_code, shown_user_code
from etymon.idp.signing_keys import SigningKey, VerificationKey
from etymon.kernel.errors import NotAuthenticated
from etymon.kernel.secret import Secret

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TYPES = frozenset({"jwt"})


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = SigningKey.from_pem(Secret(pem_of(PRIVATE)))


def test_what_we_sign_pyjwt_verifies_with_the_published_key() -> None:
    token = KEY.sign({"sub": "alice"}, type_="at+jwt")

    keys = jwt.PyJWKSet.from_dict({"keys": [dict(KEY.public.jwk)]})
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert jwt.decode(token, keys[header["kid"]].key, algorithms=["ES256"]) == {"sub": "alice"}
    assert "d" not in KEY.public.jwk


def test_the_key_id_is_the_thumbprint_and_the_private_key_is_not_shown() -> None:
    public = PRIVATE.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    assert VerificationKey.from_pem(public) == KEY.public
    assert str(PRIVATE.private_numbers().private_value) not in repr(KEY)
    with pytest.raises(ValueError, match="private"):
        SigningKey.from_pem(Secret(public))


@pytest.mark.parametrize("private", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_only_p256_signs(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match=r"."):
        SigningKey.from_pem(Secret(pem_of(private)))


def test_what_others_sign_is_read_with_their_key_whatever_kid_it_names() -> None:
    token = jwt.encode({"sub": "x"}, PRIVATE, algorithm="ES256", headers={"kid": "of-theirs"})

    assert signing_keys.verify(token, [KEY.public.jwk], types=TYPES)["sub"] == "x"
    assert signing_keys.unverified_claim(token, "sub") == "x"


def forged() -> list[str]:
    other = ec.generate_private_key(ec.SECP256R1())
    good = jwt.encode({"sub": "x"}, PRIVATE, algorithm="ES256")
    head, body, signature = good.split(".")
    public = PRIVATE.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return [
        jwt.encode({"sub": "x"}, other, algorithm="ES256"),
        jwt.encode({"sub": "x"}, "", algorithm="none"),
        jwt.encode({"sub": "x"}, public.hex(), algorithm="HS256"),
        jwt.encode({"sub": "x"}, PRIVATE, algorithm="ES256", headers={"typ": "other"}),
        jwt.encode({"sub": "x"}, PRIVATE, algorithm="ES256", headers={"crit": ["exp"]}),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body[:-2]}AA.{signature}",
        f"{head}.{body}.{signature}x",
        "x" * 20_000,
        "",
    ]


FORGED = forged()


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_what_is_not_signed_by_a_known_key_is_refused(number: int) -> None:
    with pytest.raises(NotAuthenticated, match="token_not_valid"):
        signing_keys.verify(FORGED[number], [KEY.public.jwk], types=TYPES)


@given(st.text(max_size=300))
def test_any_text_is_refused_or_read_and_never_crashes(text: str) -> None:
    assert signing_keys.unverified_claim(text, "sub") == ""
    with pytest.raises(NotAuthenticated):
        signing_keys.verify(text, [KEY.public.jwk], types=TYPES)


@pytest.mark.parametrize(
    ("issued", "ends", "longest", "good"),
    [
        (0, 60, None, True),
        (None, 60, None, True),
        (0, -59, None, True),
        (0, -60, None, False),
        (60, 120, None, True),
        (61, 120, None, False),
        (0, 600, 600, True),
        (0, 601, 600, False),
        (None, 60, 600, False),
        (0, None, None, False),
    ],
)
def test_time_is_judged_with_a_minute_of_leeway(
    issued: int | None, ends: int | None, longest: int | None, *, good: bool
) -> None:
    base = int(NOW.timestamp())
    claims = {name: base + value for name, value in (("iat", issued), ("exp", ends)) if value is not None}
    limit = timedelta(seconds=longest) if longest else None

    if good:
        assert signing_keys.require_time(claims, NOW, longest=limit) == NOW + timedelta(seconds=ends or 0)
    else:
        with pytest.raises(NotAuthenticated):
            signing_keys.require_time(claims, NOW, longest=limit)


@pytest.mark.parametrize("value", ["1", True, [1], {}, 10**30, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(NotAuthenticated):
        signing_keys.require_time({"exp": value}, NOW)


@given(st.text(alphabet=USER_CODE_ALPHABET, min_size=8, max_size=8), st.data())
def test_a_typed_code_is_the_shown_code_however_it_is_typed(code: str, data: st.DataObject) -> None:
    noise = st.text(alphabet=" -.,_/\t", max_size=2)
    typed = "".join(
        data.draw(noise) + (letter.lower() if data.draw(st.booleans()) else letter) for letter in shown_user_code(code)
    )

    assert normalised_user_code(typed) == code


@given(st.text())
def test_a_typed_code_has_capital_letters_only(typed: str) -> None:
    assert all("A" <= letter <= "Z" for letter in normalised_user_code(typed))
