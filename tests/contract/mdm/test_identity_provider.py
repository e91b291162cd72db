# SPDX-License-Identifier: Apache-2.0
"""Access tokens of an outside provider: only its own, for us, alive, of the right make; its keys come over TLS."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from etymon.kernel.errors import EtymonError, NotAuthenticated, NotPermitted, Unavailable
from etymon.mdm.identity_provider import (
    MOST_WAITING,
    AccessToken,
    IdentityProvider,
    PublishedKeys,
    require_card,
)
from support.card_issuer import authority
from support.clock import TurnedClock
from support.identity_provider import DERIVED, StandInProvider
from support.tls_files import trusting

AUDIENCE = "https://mdm.agency.example:8443/mdm"
ALICE = UUID("5f0c6c1e-3a77-4a8e-9a55-2f3b8f1f5a10")


class Reader:
    """The provider, and whoever reads its tokens."""

    def __init__(self, provider: StandInProvider, clock: TurnedClock, http: httpx.Client | None = None) -> None:
        self.provider, self.clock = provider, clock
        self.keys = PublishedKeys(provider.issuer, http or provider.http, clock)
        self.reader = IdentityProvider(provider.issuer, self.keys, clock)

    def token(self, **changes: Any) -> str:
        values: dict[str, Any] = {"audience": AUDIENCE, "scope": "openid enroll", **changes}
        return self.provider.token(self.clock, ALICE, **values)

    def read(self, token: str) -> AccessToken:
        return self.reader.read(token, audience=AUDIENCE, scope="enroll")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[StandInProvider]:
    """A provider of this test alone, whose documents and keys may be changed."""
    with StandInProvider(tmp_path).running() as provider:
        yield provider


@pytest.fixture
def reader(provider: StandInProvider, clock: TurnedClock) -> Reader:
    return Reader(provider, clock)


def test_a_token_tells_who_signed_in_how_and_for_what(reader: Reader) -> None:
    token = reader.read(reader.token(roles=["administrator"]))
    assert token.person == ALICE
    assert token.roles == {"administrator"}
    assert token.scopes == {"openid", "enroll"}
    require_card(token)


def test_a_sign_in_without_the_card_is_told_apart(reader: Reader) -> None:
    for acr in (DERIVED, None, ""):
        with pytest.raises(NotPermitted) as refusal:
            require_card(reader.read(reader.token(acr=acr)))
        assert refusal.value.code == "card_required"


def test_one_of_several_audiences_is_enough(reader: Reader) -> None:
    reader.read(reader.token(aud=["https://other.example", AUDIENCE]))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example/idp"},
        {"aud": "https://mdm.agency.example:8443/graph"},
        {"aud": ["https://other.example"]},
        {"aud": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 1e300},
        {"iat": None},
        {"sub": "alice"},
        {"sub": None},
        {"roles": "administrator"},
    ],
)
def test_a_token_that_is_not_for_us_is_refused(reader: Reader, claims: dict[str, object]) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        reader.read(reader.token(**claims))
    assert refusal.value.code == "token_not_valid"


def test_a_token_of_another_scope_is_refused(reader: Reader) -> None:
    with pytest.raises(NotPermitted) as refusal:
        reader.read(reader.token(scope="openid administration"))
    assert refusal.value.code == "scope_missing"


def test_a_token_ends(reader: Reader) -> None:
    token = reader.token()
    reader.clock.advance(timedelta(minutes=10, seconds=59))
    reader.read(token)
    reader.clock.advance(timedelta(seconds=1))
    with pytest.raises(NotAuthenticated):
        reader.read(token)


def test_a_token_from_the_future_is_refused(reader: Reader) -> None:
    now = int(reader.clock.now().timestamp())
    with pytest.raises(NotAuthenticated):
        reader.read(reader.token(iat=now + 61))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "ä.b.c", "." * 20_000, "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_is_refused(reader: Reader, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        reader.read(text)


@pytest.mark.parametrize(
    "wrong", [{"header": {"typ": "JWT"}}, {"header": {"kid": "x"}}, {"dropped": ["kid"]}, {"dropped": ["typ"]}]
)
def test_a_token_of_another_make_is_refused(reader: Reader, wrong: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        reader.read(reader.token(**wrong))


def test_a_token_signed_by_another_key_under_a_known_name_is_refused(reader: Reader) -> None:
    known = reader.provider.signing_keys[0].thumbprint()
    with pytest.raises(NotAuthenticated):
        reader.read(reader.token(key=ECKey.generate_key("P-256"), header={"kid": known}))


def test_a_token_keyed_with_the_public_key_is_refused(reader: Reader) -> None:
    """The algorithm is ours to choose: HS256 with the public key as its secret verifies nothing."""
    public = reader.provider.signing_keys[0]
    claims = {"iss": reader.provider.issuer, "sub": str(ALICE), "aud": AUDIENCE, "scope": "enroll"}
    header = {"alg": "HS256", "typ": "at+jwt", "kid": public.thumbprint()}
    forged = jwt.encode(header, claims, OctKey.import_key(public.as_pem(private=False).hex()), algorithms=["HS256"])
    with pytest.raises(NotAuthenticated):
        reader.read(forged)


def test_keys_are_fetched_once_and_again_when_they_are_old(fresh: StandInProvider, clock: TurnedClock) -> None:
    reader = Reader(fresh, clock)
    for _ in range(3):
        reader.read(reader.token())
    assert fresh.asked.count("/idp/jwks") == 1
    clock.advance(timedelta(minutes=10))
    reader.read(reader.token())
    assert fresh.asked.count("/idp/jwks") == 2


def test_a_new_key_is_found_and_a_withdrawn_one_stops_counting(fresh: StandInProvider, clock: TurnedClock) -> None:
    reader = Reader(fresh, clock)
    reader.read(reader.token())
    old, new = fresh.signing_keys[0], ECKey.generate_key("P-256")
    fresh.signing_keys[:] = [new]
    clock.advance(timedelta(seconds=10))
    reader.read(reader.token())
    with pytest.raises(NotAuthenticated):
        reader.read(reader.token(key=old))


def test_made_up_key_names_do_not_make_us_ask_again_and_again(fresh: StandInProvider, clock: TurnedClock) -> None:
    reader = Reader(fresh, clock)
    reader.read(reader.token())
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            reader.read(reader.token(header={"kid": str(uuid4())}))
    assert fresh.asked.count("/idp/jwks") == 1


def test_keys_of_other_kinds_are_left_alone(fresh: StandInProvider, clock: TurnedClock) -> None:
    good = fresh.document("/idp/jwks")
    assert isinstance(good, dict)
    rsa = {**RSAKey.generate_key(2048).as_dict(private=False), "kid": "rsa"}
    other = {**ECKey.generate_key("P-384").as_dict(private=False), "kid": "p384"}
    encryption = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "enc", "use": "enc"}
    broken = [{"kty": "EC", "crv": "P-256", "kid": "broken", "x": "AA", "y": "AA"}, {"kty": "EC"}, 7, None]
    fresh.documents["/idp/jwks"] = {"keys": [*broken, rsa, other, encryption, *good["keys"]]}
    reader = Reader(fresh, clock)
    reader.read(reader.token())
    for key_id in ("rsa", "p384", "enc", "broken"):
        assert reader.keys.find(key_id) is None


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/idp/.well-known/openid-configuration", None),
        ("/idp/.well-known/openid-configuration", b"not json"),
        ("/idp/.well-known/openid-configuration", []),
        ("/idp/.well-known/openid-configuration", {"issuer": "https://elsewhere.example", "jwks_uri": "https://x"}),
        ("/idp/.well-known/openid-configuration", {"jwks_uri": "https://x"}),
        ("/idp/jwks", None),
        ("/idp/jwks", {"keys": "none"}),
        ("/idp/jwks", b"[" * 70_000),
    ],
)
def test_a_provider_that_answers_nonsense_is_not_believed(
    fresh: StandInProvider, clock: TurnedClock, path: str, document: object
) -> None:
    reader = Reader(fresh, clock)
    token = reader.token()
    fresh.documents[path] = document
    with pytest.raises(Unavailable) as refusal:
        reader.read(token)
    assert refusal.value.code == "identity_provider_unavailable"


def test_a_provider_that_does_not_answer_is_not_asked_by_every_request(
    fresh: StandInProvider, clock: TurnedClock
) -> None:
    reader = Reader(fresh, clock)
    fresh.documents["/idp/jwks"] = {}
    for _ in range(3):
        with pytest.raises(Unavailable):
            reader.read(reader.token())
    assert fresh.asked.count("/idp/jwks") == 1
    del fresh.documents["/idp/jwks"]
    with pytest.raises(Unavailable):
        reader.read(reader.token())
    clock.advance(timedelta(seconds=10))
    reader.read(reader.token())


def test_a_slow_provider_holds_few_callers(clock: TurnedClock) -> None:
    """The others are refused at once: threads that wait answer nobody, and the provider may need some of them."""
    others = threading.Semaphore(0)

    def answer(_: httpx.Request) -> httpx.Response:
        for _number in range(20 - MOST_WAITING):  # nobody is answered before these were refused
            assert others.acquire(timeout=30)
        return httpx.Response(503)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http, ThreadPoolExecutor(20) as pool:
        keys = PublishedKeys("https://idp.agency.example/idp", http, clock)

        def find(number: int) -> str:
            try:
                keys.find(f"key-{number}")
            except Unavailable as refusal:
                others.release()
                return refusal.code
            return "answered"

        assert set(pool.map(find, range(20))) == {"identity_provider_unavailable"}


def test_keys_are_never_fetched_in_the_clear(fresh: StandInProvider, clock: TurnedClock) -> None:
    reader = Reader(fresh, clock)
    fresh.documents["/idp/.well-known/openid-configuration"] = {
        "issuer": fresh.issuer,
        "jwks_uri": f"{fresh.issuer}/jwks".replace("https://", "http://"),
    }
    with pytest.raises(Unavailable):
        reader.read(reader.token())
    assert "/idp/jwks" not in fresh.asked


def test_a_provider_with_a_certificate_of_another_ca_is_not_believed(
    fresh: StandInProvider, clock: TurnedClock
) -> None:
    with httpx.Client(verify=trusting([authority("Somebody Else").certificate]), trust_env=False) as http:
        reader = Reader(fresh, clock, http)
        with pytest.raises(Unavailable):
            reader.read(reader.token())


def test_keys_that_were_fetched_still_count_while_the_provider_is_down(tmp_path: Path, clock: TurnedClock) -> None:
    provider = StandInProvider(tmp_path)
    trusted = trusting([provider.tls.certificate])
    with provider.running(), httpx.Client(verify=trusted, trust_env=False) as http:
        reader = Reader(provider, clock, http)
        reader.read(reader.token())
    with httpx.Client(verify=trusted, trust_env=False) as http:
        lost = Reader(provider, clock, http)
        with pytest.raises(EtymonError) as refusal:
            lost.read(lost.token())
    assert refusal.value.code == "identity_provider_unavailable"
    assert reader.read(reader.token()).person == ALICE
