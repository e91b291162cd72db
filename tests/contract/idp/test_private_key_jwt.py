# SPDX-License-Identifier: Apache-2.0
"""Confidential clients show who they are by a signed assertion (RFC 7523), used once."""

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.kernel.entropy import random_id
from support.idp_application import (
    code_for,
    exchange,
)
from support.idp_site import Holder, IdPSite


def client_assertion(site: IdPSite, key: ECKey, **claims: object) -> str:
    now = int(site.clock.now().timestamp())
    body: dict[str, object] = {
        "iss": "service",
        "sub": "service",
        "aud": f"{site.deps.issuer}/token",
        "iat": now,
        "exp": now + 60,
        "jti": str(random_id(site.entropy)),
        **claims,
    }
    present = {name: value for name, value in body.items() if value is not None}
    return jwt.encode({"alg": "ES256"}, present, key, algorithms=["ES256"])


def exchange_as_service(site: IdPSite, holder: Holder, assertion: str, **changes: str | None) -> httpx.Response:
    code = code_for(site, holder, client_id="service")
    return exchange(
        site,
        code,
        **{
            "client_id": None,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            **changes,
        },
    )


def test_a_confidential_client_shows_its_key(site: IdPSite) -> None:
    key = ECKey.generate_key("P-256")
    site.confidential(key)
    alice = site.cardholder()
    assertion = client_assertion(site, key)

    assert exchange_as_service(site, alice, assertion).status_code == 200
    assert exchange_as_service(site, alice, assertion).json()["error"] == "invalid_client", "used twice"


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "app"},
        {"sub": "app"},
        {"sub": None},
        {"aud": "https://elsewhere.test"},
        {"aud": ["https://elsewhere.test"]},
        {"exp": 1},
        {"exp": 2**35},
        {"iat": None},
        {"jti": None},
        {"jti": 7},
    ],
)
def test_a_client_assertion_that_is_not_right_is_refused(site: IdPSite, wrong: dict[str, object]) -> None:
    key = ECKey.generate_key("P-256")
    site.confidential(key)

    answer = exchange_as_service(site, site.cardholder(), client_assertion(site, key, **wrong))

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_confidential_client_is_nobody_without_its_key(site: IdPSite) -> None:
    key = ECKey.generate_key("P-256")
    site.confidential(key)
    alice = site.cardholder()
    bare = exchange(site, code_for(site, alice, client_id="service"), client_id="service")
    other = exchange_as_service(site, alice, client_assertion(site, ECKey.generate_key("P-256")))
    untyped = exchange_as_service(site, alice, client_assertion(site, key), client_assertion_type=None)
    public = exchange_as_service(site, alice, client_assertion(site, key, iss="app", sub="app"), client_id="app")

    assert [answer.json()["error"] for answer in (bare, other, untyped, public)] == [
        "invalid_client",
        "invalid_client",
        "invalid_request",
        "invalid_client",
    ]
