# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote sign in at the identity provider: MSAL by device code, Authlib by code and PKCE, curl."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msal
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from jwt import PyJWKSet, get_unverified_header
from jwt import decode as decode_token

from etymon.directory.model import Role
from etymon.storage.database import Database
from support import programs
from support.clock import TurnedClock
from support.idp_site import ADMIN_TOOL, Files, IdPSite


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[IdPSite]:
    with IdPSite(database, TurnedClock(), Files.in_(tmp_path)).running() as running:
        yield running


@pytest.fixture
def session(site: IdPSite) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(site.files.anchor)
        yield session


def msal_application(site: IdPSite, session: requests.Session) -> Any:
    return msal.PublicClientApplication(ADMIN_TOOL, oidc_authority=site.deps.issuer, http_client=session)


def test_msal_signs_in_by_device_code(site: IdPSite, session: requests.Session) -> None:
    alice = site.cardholder("alice", Role.ADMINISTRATOR)
    application = msal_application(site, session)
    flow = application.initiate_device_flow(scopes=["administration"])
    site.decide(alice, flow)

    result = application.acquire_token_by_device_flow(flow)

    assert result["id_token_claims"]["preferred_username"] == "alice@example.test"
    claims = judged(site, session, result["access_token"], f"{site.deps.site_url}/graph")
    assert claims["roles"] == ["administrator"]
    assert claims["amr"] == ["sc", "pin", "mfa"]


def test_msal_stops_at_a_denial(site: IdPSite, session: requests.Session) -> None:
    application = msal_application(site, session)
    flow = application.initiate_device_flow(scopes=["email"])
    site.decide(site.cardholder(), flow, "deny")

    assert application.acquire_token_by_device_flow(flow)["error"] == "access_denied"


def test_msal_polls_while_nobody_decides(site: IdPSite, session: requests.Session) -> None:
    application = msal_application(site, session)
    flow = application.initiate_device_flow(scopes=["email"])

    result = application.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)

    assert result["error"] == "authorization_pending"


def test_msal_refreshes_by_its_cache(site: IdPSite, session: requests.Session) -> None:
    application = msal_application(site, session)
    flow = application.initiate_device_flow(scopes=["email"])
    site.decide(site.cardholder(), flow)
    first = application.acquire_token_by_device_flow(flow)
    (account,) = application.get_accounts()
    site.pause(1)

    second = application.acquire_token_silent_with_error(["email"], account, force_refresh=True)

    assert account["username"] == "alice@example.test"
    assert second["access_token"] != first["access_token"]


def test_authlib_signs_in_by_code_and_pkce(site: IdPSite, session: requests.Session) -> None:
    alice = site.cardholder("alice", Role.AUDITOR)
    metadata = session.get(f"{site.deps.issuer}/.well-known/openid-configuration").json()
    redirect_uri = "http://127.0.0.1:49200/callback"
    verifier = "a-verifier-of-at-least-forty-three-characters-0"
    client = OAuth2Session(
        ADMIN_TOOL,
        scope="openid profile administration offline_access",
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
    )
    client.trust_env, client.verify = False, str(site.files.anchor)
    with client:
        address, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=verifier, nonce="n"
        )
        browser = site.browser(alice.certified)
        arrived = browser.submit(browser.get(address).form(action="/idp/sign-in"))
        token = client.fetch_token(
            metadata["token_endpoint"], authorization_response=arrived.url, state=state, code_verifier=verifier
        )
        again = client.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])

    assert arrived.url.startswith(redirect_uri)
    assert parse_qs(urlsplit(arrived.url).query)["iss"] == [site.deps.issuer]
    assert judged(site, session, again["access_token"], f"{site.deps.site_url}/graph")["roles"] == ["auditor"]
    identity = judged(site, session, token["id_token"], ADMIN_TOOL)
    assert (identity["nonce"], identity["name"]) == ("n", "Alice")


def test_the_metadata_is_what_rfc_8414_asks_for(site: IdPSite, session: requests.Session) -> None:
    document = session.get(f"{site.deps.issuer}/.well-known/openid-configuration").json()
    elsewhere = session.get(f"{site.deps.site_url}/.well-known/oauth-authorization-server/idp").json()

    AuthorizationServerMetadata(document).validate()
    assert document == elsewhere
    for name, value in document.items():
        if name.endswith("_endpoint") and name != "authorization_endpoint":
            assert session.post(value).status_code in {400, 401}, name


def judged(site: IdPSite, session: requests.Session, token: str, audience: str) -> dict[str, Any]:
    """Judge a token by PyJWT and the keys the site publishes."""
    keys = PyJWKSet.from_dict(session.get(f"{site.deps.issuer}/jwks").json())
    return dict(
        decode_token(
            token,
            keys[get_unverified_header(token)["kid"]].key,
            algorithms=["ES256"],
            audience=audience,
            issuer=site.deps.issuer,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    )


@pytest.mark.needs("curl")
def test_curl_and_a_shell_are_client_enough(site: IdPSite) -> None:
    started = curl(site, "/idp/device_authorization", client_id=ADMIN_TOOL, scope="openid")
    site.decide(site.cardholder(), started)
    grant = "urn:ietf:params:oauth:grant-type:device_code"

    answer = curl(site, "/idp/token", client_id=ADMIN_TOOL, grant_type=grant, device_code=started["device_code"])

    assert answer["token_type"] == "Bearer"


def curl(site: IdPSite, path: str, **fields: str) -> dict[str, Any]:
    command = [str(programs.required("curl")), "--silent", "--cacert", str(site.files.anchor)]
    for name, value in fields.items():
        command += ["--data-urlencode", f"{name}={value}"]
    done = subprocess.run([*command, site.deps.site_url + path], capture_output=True, check=True)
    return dict(json.loads(done.stdout))
