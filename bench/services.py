# SPDX-License-Identifier: Apache-2.0
"""What people and phones do most, over TLS: a check-in with nothing new, and a whole sign-in with the card."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from bench.measure import Bench
from bench.organization import Organization, running
from bench.place import Place, url_of
from etymon.server.demo.browser import Browser

VERIFIER = "b" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def measure(bench: Bench, place: Place) -> None:
    """Measure against one running organisation."""
    with place.empty() as database, running(place.directory, url_of(database)) as organization:
        _check_in(bench, organization, place.engine)
        if place.engine == "sqlite":
            _card_sign_in(bench, organization)


def _check_in(bench: Bench, organization: Organization, engine: str) -> None:
    url = f"{organization.device_url}/mdm/device/v1/check-in"
    with httpx.Client(verify=organization.device, trust_env=False) as phone:
        first = phone.post(url, json={"protocol": 1, "known": 0, "wait": 0}).raise_for_status()
        body = {"protocol": 1, "known": first.json()["version"], "wait": 0}

        def idle() -> None:
            answer = phone.post(url, json=body)
            if answer.status_code != httpx.codes.NO_CONTENT:
                raise RuntimeError(answer.text)

        bench.measure(f"checkin_idle.{engine}", idle, limit="limit.http")


def _card_sign_in(bench: Bench, organization: Organization) -> None:
    asked = {
        "response_type": "code",
        "client_id": "etymon-administration",
        "redirect_uri": "http://127.0.0.1/",
        "scope": "openid",
        "state": "state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }

    def sign_in() -> None:
        transport = httpx.HTTPTransport(verify=organization.card, trust_env=False)
        with Browser(transport) as browser:
            page = browser.get(f"{organization.site_url}/idp/authorize?{urlencode(asked)}")
            page = browser.submit(page.form(action="/idp/sign-in"))
        code = parse_qs(urlsplit(page.url).query)["code"][0]
        form = {
            "grant_type": "authorization_code",
            "client_id": "etymon-administration",
            "code": code,
            "redirect_uri": "http://127.0.0.1/",
            "code_verifier": VERIFIER,
        }
        with httpx.Client(verify=organization.card, trust_env=False) as client:
            client.post(f"{organization.site_url}/idp/token", data=form).raise_for_status()

    bench.measure("card_sign_in", sign_in, limit="limit.http")
