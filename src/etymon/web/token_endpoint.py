# SPDX-License-Identifier: Apache-2.0
"""A token endpoint for programs with keys: client credentials (RFC 6749 §4.4) with private_key_jwt, one scope."""

from collections.abc import Callable, Collection
from datetime import timedelta

from starlette.responses import Response
from starlette.routing import Route

from etymon.kernel.errors import EtymonError, Malformed, NotAuthenticated, Throttled
from etymon.kernel.secret import Secret
from etymon.web.client_assertion import ASSERTION_TYPE
from etymon.web.exchange import Request, endpoint, json_response
from etymon.web.problem import status_of

LONGEST_TOKEN = 200

GiveToken = Callable[[str, str], Secret[str]]
"""Returns a token for the client that signed an assertion; the second argument is where it came from."""


class OAuthErrors:
    """Errors of the token endpoint (RFC 6749 §5.2)."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with the code where OAuth has it, with `invalid_request` for what cannot be read."""
        code = error.code
        if isinstance(error, Malformed) and code not in {"unsupported_grant_type", "invalid_scope"}:
            code = "invalid_request"
        headers = {"Pragma": "no-cache"}
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return json_response({"error": code, "error_description": error.detail}, status_of(error), headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return json_response({"error": "server_error", "error_description": f"Reference: {reference}"}, 500)


def token_endpoint(path: str, give: GiveToken, *, scope: str, lifetime: timedelta, proxies: Collection[str]) -> Route:
    """Return the route that hands out tokens of one scope."""

    def token(request: Request) -> Response:
        form = request.form()
        if form.get("grant_type") != "client_credentials":
            raise Malformed("unsupported_grant_type", "Use client_credentials.")
        if form.get("scope", scope) != scope:
            raise Malformed("invalid_scope", f"The scope is {scope}.")
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise NotAuthenticated("invalid_client", "Authenticate with private_key_jwt (RFC 7523).")
        given = give(form.get("client_assertion", ""), request.client_address)
        return json_response(
            {
                "access_token": given.reveal(),
                "token_type": "Bearer",
                "expires_in": int(lifetime.total_seconds()),
                "scope": scope,
            },
            headers={"Pragma": "no-cache"},
        )

    return endpoint(path, token, methods=["POST"], errors=OAuthErrors(), proxies=proxies)


def bearer_token(request: Request) -> Secret[str]:
    """Return what a request presents as a bearer token (RFC 6750 §2.1); empty where there is nothing usable."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return Secret(value if scheme.lower() == "bearer" and len(value) <= LONGEST_TOKEN else "")
