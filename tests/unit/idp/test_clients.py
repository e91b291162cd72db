# SPDX-License-Identifier: Apache-2.0
"""Which clients can be registered, and where they may be answered."""

from dataclasses import replace

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from etymon.idp import clients
from etymon.idp.model import Client, ClientAuthentication, DeviceAuthorizationKind, GrantType
from etymon.kernel.errors import Malformed

KEY = ECKey.generate_key("P-256")
JWK = {name: str(value) for name, value in KEY.as_dict(private=False).items()}
WEB = Client("app", "App", ("https://app.test/callback",))
NATIVE = Client("tool", "Tool", ("http://127.0.0.1/callback", "http://[::1]/callback", "org.example.app:/callback"))
PHONE = Client(
    "phone",
    "Phone",
    scopes=frozenset({"openid", "enroll"}),
    device_authorization=DeviceAuthorizationKind.ENROLLMENT,
    assertion_issuer="https://host.test/mdm",
    assertion_keys=(JWK,),
)
SERVICE = replace(WEB, authentication=ClientAuthentication.PRIVATE_KEY_JWT, keys=(JWK,))


@pytest.mark.parametrize("client", [WEB, NATIVE, PHONE, SERVICE], ids=lambda client: client.id)
def test_each_kind_of_client_can_be_registered(client: Client) -> None:
    clients.require_usable(client)


@pytest.mark.parametrize(
    "client",
    [
        replace(WEB, id=""),
        replace(WEB, id="with space"),
        replace(WEB, name=""),
        replace(WEB, scopes=frozenset({"root"})),
        replace(WEB, scopes=frozenset({"enroll"})),
        replace(WEB, redirect_uris=("http://app.test/callback",)),
        replace(WEB, redirect_uris=("http://localhost/callback",)),
        replace(WEB, redirect_uris=("https://app.test/#fragment",)),
        replace(WEB, redirect_uris=("https:///callback",)),
        replace(WEB, redirect_uris=("javascript:alert(1)",)),
        replace(WEB, redirect_uris=("//app.test/callback",)),
        replace(WEB, redirect_uris=("https://[bad/callback",)),
        replace(WEB, keys=(JWK,)),
        replace(SERVICE, keys=()),
        replace(SERVICE, keys=({"kty": "EC"},)),
        replace(SERVICE, keys=({name: str(value) for name, value in KEY.as_dict(private=True).items()},)),
        replace(SERVICE, keys=({k: str(v) for k, v in ECKey.generate_key("P-384").as_dict(private=False).items()},)),
        replace(SERVICE, keys=({k: str(v) for k, v in RSAKey.generate_key(2048).as_dict(private=False).items()},)),
        replace(SERVICE, keys=({k: str(v) for k, v in OctKey.generate_key(256).as_dict().items()},)),
        replace(PHONE, assertion_issuer=""),
        replace(PHONE, assertion_keys=()),
        replace(PHONE, scopes=frozenset({"openid"})),
        replace(PHONE, device_authorization=DeviceAuthorizationKind.OPEN),
    ],
)
def test_a_client_that_cannot_be_right_is_refused(client: Client) -> None:
    with pytest.raises(Malformed):
        clients.require_usable(client)


def test_a_client_has_the_grants_its_registration_implies() -> None:
    assert WEB.grants == {GrantType.AUTHORIZATION_CODE}
    assert PHONE.grants == {GrantType.DEVICE_CODE}
    assert replace(WEB, scopes=WEB.scopes | {"offline_access"}).grants == {
        GrantType.AUTHORIZATION_CODE,
        GrantType.REFRESH_TOKEN,
    }


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://[::1]:49152/callback",
        "org.example.app:/callback",
    ],
)
def test_a_native_client_is_answered_on_any_port_of_loopback(uri: str) -> None:
    assert clients.fits_redirect_uri(NATIVE, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://127.0.0.1:1/other",
        "http://127.0.0.1:1/callback?x=1",
        "http://127.0.0.1:1/callback#x",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.2:1/callback",
        "http://localhost:1/callback",
        "https://127.0.0.1:1/callback",
        "http://user@127.0.0.1:1/callback",
        "http://127.0.0.1.evil.test/callback",
        "http://127.0.0.1:1@evil.test/callback",
        "http://[::1/callback",
        "http://[::1].evil.test:1/callback",
        "http://[::1]evil.test/callback",
        "http://[::1]; report-uri evil.test:1/callback",
        "http://127.0.0.1:1/call\nback",
        "org.example.app:/other",
        "https://app.test/callback",
    ],
)
def test_nothing_else_is_a_redirect_uri_of_it(uri: str) -> None:
    assert not clients.fits_redirect_uri(NATIVE, uri)


def test_a_web_application_is_answered_exactly_where_it_is_registered() -> None:
    assert clients.fits_redirect_uri(WEB, "https://app.test/callback")
    for uri in ("https://app.test:443/callback", "https://app.test/callback/", "https://APP.test/callback"):
        assert not clients.fits_redirect_uri(WEB, uri)
