# SPDX-License-Identifier: Apache-2.0
"""The authorization code grant (RFC 6749 §4.1) with PKCE for every client (RFC 7636, RFC 9700 §2.1.1).

Clients are registered by the organisation itself, so that nobody is asked for consent.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from etymon.directory import people
from etymon.idp import clients, grants, tokens
from etymon.idp.dependencies import Dependencies
from etymon.idp.errors import access_denied, invalid_grant, invalid_request, unauthorized_client
from etymon.idp.model import (
    ACR_CARD,
    AUTHORIZATION_CODE_LIFETIME,
    SCOPE_ADMINISTRATION,
    AuthorizationCode,
    Client,
    GrantType,
    SignIn,
)
from etymon.idp.store import grants as store
from etymon.kernel.entropy import random_id, random_token
from etymon.kernel.errors import EtymonError, Malformed
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction

CODE_BITS: Final = 256
CODE_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
CODE_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
LONGEST_ECHO: Final = 2000
"""Of `state` and `nonce`, which are given back."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the answer goes: a registered redirect URI, and the client's `state`."""

    client: Client
    redirect_uri: str
    state: str | None

    def location(self, issuer: str, parameters: Mapping[str, str]) -> str:
        """Return the address of an answer; `iss` says whose it is (RFC 9207)."""
        values = dict(parameters) | ({"state": self.state} if self.state is not None else {}) | {"iss": issuer}
        parts = urlsplit(self.redirect_uri)
        query = "&".join(filter(None, (parts.query, urlencode(values))))
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def refusal(self, issuer: str, error: EtymonError) -> str:
        """Return the address of a refusal (RFC 6749 §4.1.2.1)."""
        return self.location(issuer, {"error": error.code, "error_description": error.detail})

    @property
    def form_target(self) -> str:
        """The redirect URI as a source of `form-action` (CSP 3): sign-in ends in a redirect to it."""
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else f"{parts.scheme}:"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that can be answered once somebody has signed in."""

    destination: Destination
    scopes: frozenset[str]
    code_challenge: str
    nonce: str | None
    prompt: frozenset[str]
    longest_since_sign_in: timedelta | None
    card_only: bool

    def takes(self, sign_in: SignIn, now: datetime) -> bool:
        """Say whether an earlier sign-in answers this request."""
        if self.card_only and sign_in.acr != ACR_CARD:
            return False
        if self.prompt & {"login", "select_account"}:
            return False
        return self.longest_since_sign_in is None or now - sign_in.at <= self.longest_since_sign_in


def destination(tx: Transaction, parameters: Mapping[str, str]) -> Destination:
    """Return where an answer may be sent. What is refused here is shown, and nothing is sent anywhere.

    Raises NotAuthenticated `invalid_client` or Malformed `redirect_uri_not_registered`.
    """
    client = clients.find(tx, parameters.get("client_id", ""))
    uri = parameters.get("redirect_uri", "")
    if not uri and len(client.redirect_uris) == 1:
        uri = client.redirect_uris[0]
    if not clients.fits_redirect_uri(client, uri):
        raise Malformed("redirect_uri_not_registered", "The application asked to be answered at an unknown address.")
    state = parameters.get("state")
    if state is not None and len(state) > LONGEST_ECHO:
        raise Malformed("state_too_long", "The application sent more than it may.")
    return Destination(client, uri, state)


def read(parameters: Mapping[str, str], to: Destination) -> AuthorizationRequest:
    """Return the request; raises the errors of RFC 6749 §4.1.2.1, which the client is told."""
    if "request" in parameters or "request_uri" in parameters:
        unsupported = "request_uri" if "request_uri" in parameters else "request"
        raise Malformed(f"{unsupported}_not_supported", "Send the parameters themselves.")
    if parameters.get("response_type") != "code":
        code = "unsupported_response_type" if parameters.get("response_type") else "invalid_request"
        raise Malformed(code, "Ask for response_type=code.")
    if parameters.get("response_mode", "query") != "query":
        raise invalid_request("Answers come in the query.")
    if GrantType.AUTHORIZATION_CODE not in to.client.grants:
        raise unauthorized_client("This client may not use authorization codes.")
    challenge = parameters.get("code_challenge", "")
    if parameters.get("code_challenge_method") != "S256" or not CODE_CHALLENGE.fullmatch(challenge):
        raise invalid_request("Send a code_challenge with code_challenge_method=S256 (RFC 7636).")
    nonce = parameters.get("nonce")
    if nonce is not None and len(nonce) > LONGEST_ECHO:
        raise invalid_request("The nonce is too long.")
    prompt = frozenset(parameters.get("prompt", "").split())
    if "none" in prompt and len(prompt) > 1:
        raise invalid_request("prompt=none stands alone.")
    scopes = tokens.granted_scopes(to.client, parameters.get("scope", ""))
    asked = parameters.get("acr_values", "").split()
    return AuthorizationRequest(
        destination=to,
        scopes=scopes,
        code_challenge=challenge,
        nonce=nonce,
        prompt=prompt,
        longest_since_sign_in=_max_age(parameters.get("max_age")),
        card_only=asked == [ACR_CARD] or SCOPE_ADMINISTRATION in scopes,
    )


def issue(tx: Transaction, deps: Dependencies, request: AuthorizationRequest, sign_in: SignIn) -> Secret[str]:
    """Return a code that stands for `sign_in` at this client, once and for a minute.

    Raises NotPermitted `access_denied` when this person may not let the client do what it asks.
    """
    person = people.find(tx, sign_in.person)
    if person is None or not person.active:
        raise access_denied("The account has ended.", "account_ended")
    tokens.require_allowed(tx, request.scopes, sign_in.acr, person)
    code = Secret(random_token(deps.entropy, bits=CODE_BITS))
    kept = AuthorizationCode(
        client_id=request.destination.client.id,
        redirect_uri=request.destination.redirect_uri,
        scopes=request.scopes,
        code_challenge=request.code_challenge,
        nonce=request.nonce,
        sign_in=sign_in,
        grant_id=random_id(deps.entropy),
        expires_at=deps.clock.now() + AUTHORIZATION_CODE_LIFETIME,
    )
    store.add_code(tx, _digest(deps, code), kept)
    return code


def exchange(
    tx: Transaction, deps: Dependencies, client: Client, code: Secret[str], *, redirect_uri: str, verifier: str
) -> tokens.Tokens:
    """Trade a code for tokens, once. One that was used before ends what came of it (RFC 6749 §4.1.2).

    Raises the errors of RFC 6749 §5.2; the caller keeps what was written before: a code is used up by whatever its
    client does with it.
    """
    digest = _digest(deps, code)
    kept = store.find_code(tx, digest)
    if kept is None or kept.client_id != client.id:
        raise invalid_grant("The code is not known.", "code_unknown")
    if not store.use_code(tx, digest):
        grants.end(tx, deps, kept.grant_id, actor=f"client:{client.id}", reason="code_reused")
        raise invalid_grant("The code was used already; everything that came of it has ended.", "code_reused")
    if deps.clock.now() >= kept.expires_at:
        raise invalid_grant("The code is more than a minute old.", "code_late")
    if redirect_uri != kept.redirect_uri:
        raise invalid_grant("The redirect URI is not the one the code was sent to.", "other_redirect_uri")
    if not CODE_VERIFIER.fullmatch(verifier) or not _fits(verifier, kept.code_challenge):
        raise invalid_grant("The code verifier does not fit the challenge.", "verifier_wrong")
    return grants.begin(tx, deps, client, kept.scopes, kept.sign_in, grant_id=kept.grant_id, nonce=kept.nonce)


def _fits(verifier: str, challenge: str) -> bool:
    computed = urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    return hmac.compare_digest(computed, challenge.encode("ascii"))


def _max_age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise invalid_request("max_age is a number of seconds.")
    return timedelta(seconds=int(text))


def _digest(deps: Dependencies, code: Secret[str]) -> bytes:
    return deps.digest_key.digest("idp.authorization_code", code)
