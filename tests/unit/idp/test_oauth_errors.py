# SPDX-License-Identifier: Apache-2.0
"""Every error has its form at the OAuth endpoints, and tells nothing it must not."""

import json

import pytest

from etymon.idp import errors
from etymon.idp.http.oauth import NOT_QUOTED, OAUTH_ERRORS, BearerErrors, OAuthErrors
from etymon.kernel.errors import (
    Conflict,
    EtymonError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Throttled,
    TooLarge,
    Unavailable,
)

CASES: list[tuple[EtymonError, int, str]] = [
    (errors.invalid_request("x"), 400, "invalid_request"),
    (errors.invalid_client(), 401, "invalid_client"),
    (errors.invalid_grant("x", "code_late"), 400, "invalid_grant"),
    (errors.unauthorized_client("x"), 400, "unauthorized_client"),
    (errors.unsupported_grant_type(), 400, "unsupported_grant_type"),
    (errors.invalid_scope("x"), 400, "invalid_scope"),
    (errors.access_denied("x"), 400, "access_denied"),
    (errors.authorization_pending(), 400, "authorization_pending"),
    (errors.slow_down(), 400, "slow_down"),
    (errors.expired_token(), 400, "expired_token"),
    (Malformed("repeated_field", "x"), 400, "invalid_request"),
    (Conflict("device_authorization_busy", "x"), 400, "invalid_request"),
    (NotFound(), 400, "invalid_request"),
    (TooLarge(), 413, "invalid_request"),
    (Throttled(retry_after_seconds=9), 429, "temporarily_unavailable"),
    (Unavailable(), 503, "temporarily_unavailable"),
]


@pytest.mark.parametrize(("error", "status", "name"), CASES, ids=lambda value: getattr(value, "code", str(value)))
def test_each_error_has_oauths_form(error: EtymonError, status: int, name: str) -> None:
    answer = OAuthErrors().expected(error)
    body = json.loads(bytes(answer.body))

    assert (answer.status_code, body["error"]) == (status, name)
    assert answer.headers["cache-control"] == "no-store"
    assert not NOT_QUOTED.search(body["error_description"])
    assert ("retry-after" in answer.headers) is (status == 429)
    assert ("www-authenticate" in answer.headers) is (status == 401)


def test_every_named_error_is_in_the_table() -> None:
    assert {error.code for error, _, name in CASES if name == error.code} == OAUTH_ERRORS


def test_a_description_holds_what_the_standard_allows() -> None:
    body = json.loads(bytes(OAuthErrors().expected(errors.invalid_grant('a "b" \\ c\n“d” é', "code_late")).body))

    assert body["error_description"] == "a b  cd "


def test_a_crash_tells_a_reference_and_nothing_else() -> None:
    answer = OAuthErrors().unexpected("abc")

    assert answer.status_code == 500
    assert json.loads(bytes(answer.body)) == {"error": "server_error", "error_description": "Reference abc"}


def test_a_resource_answers_with_a_challenge() -> None:
    answer = BearerErrors().expected(NotAuthenticated("token_not_valid", "x"))

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert BearerErrors().expected(Unavailable()).status_code == 503
