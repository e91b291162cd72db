# SPDX-License-Identifier: Apache-2.0
"""Sign-in with a software card and no browser: an authorization code with PKCE (RFC 7636, RFC 8252).

The identity provider's pages are followed as a browser would follow them. Nothing is ever sent to another host than
the site's: the card's certificate tells who its holder is.
"""

import base64
import hashlib
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from etymon.kernel.entropy import Entropy, random_token
from etymon.kernel.errors import NotPermitted, Unavailable
from etymon.server.apply.identity_provider import CLIENT_ID, SCOPE, Granted, Provider, refusal
from etymon.server.demo.browser import Browser
from etymon.server.demo.page import Page

REDIRECT_URI: Final = "http://127.0.0.1/"
"""Registered for the client. Nothing listens there: the scripted browser stops where it would leave the site."""

CARD_ACR: Final = "urn:etymon:acr:card"
SIGN_IN_ACTION: Final = "/idp/sign-in"


def sign_in(provider: Provider, transport: httpx.BaseTransport, entropy: Entropy) -> Granted:
    """Return what was granted to the holder of the card that `transport` proves; closes `transport`.

    Raises NotPermitted with the reason that the identity provider's page gives.
    """
    verifier, state = random_token(entropy, bits=256), random_token(entropy, bits=128)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    asked = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "scope": SCOPE,
        "state": state,
        "acr_values": CARD_ACR,
        "code_challenge": challenge.decode("ascii"),
        "code_challenge_method": "S256",
    }
    own = OneHost(transport, urlsplit(provider.endpoints.issuer).hostname or "")
    try:
        with Browser(own) as browser:
            page = browser.get(f"{provider.endpoints.authorization}?{urlencode(asked)}")
            if page.code == "sign_in":
                page = browser.submit(page.form(action=SIGN_IN_ACTION))
    except httpx.TransportError as exc:
        raise Unavailable("sign_in_unreachable", f"The card could not be proved to the site: {exc}.") from exc
    form = {
        "grant_type": "authorization_code",
        "code": _code(page, state, provider.endpoints.issuer),
        "redirect_uri": REDIRECT_URI,
        "code_verifier": verifier,
    }
    answer = provider.ask_for_token(form)
    if not isinstance(answer, Granted):
        raise refusal(answer)
    return answer


def told(page: Page) -> str:
    """Return what a page alerts to; all that it says, without its links, where it does not."""
    if page.notice:
        return page.notice[:400]
    words = page.words
    for _, text in page.links:
        words = words.replace(text, "")
    return " ".join(words.split())[:400]


class OneHost(httpx.BaseTransport):
    """Goes to one host, at whatever port."""

    def __init__(self, transport: httpx.BaseTransport, host: str) -> None:
        self._transport = transport
        self._host = host

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; raises NotPermitted for another host."""
        if request.url.host != self._host:
            raise NotPermitted("another_host", f"The sign-in leads to {request.url.host}, which is not {self._host}.")
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


def _code(page: Page, state: str, issuer: str) -> str:
    """Return the authorization code that the identity provider sent the browser away with (RFC 6749 §4.1.2)."""
    if not page.url.startswith(REDIRECT_URI):
        raise NotPermitted("sign_in_refused", f"The identity provider refuses this card ({page.code}): {told(page)}")
    values = {name: given[0] for name, given in parse_qs(urlsplit(page.url).query).items()}
    if values.get("state") != state or values.get("iss") != issuer:  # RFC 9207 §2.4
        raise NotPermitted("sign_in_refused", "The answer to the sign-in is not the identity provider's.")
    if "code" not in values:
        reason = values.get("error_description") or values.get("error", "no reason given")
        raise NotPermitted("sign_in_refused", f"The identity provider refuses: {reason}")
    return values["code"]
