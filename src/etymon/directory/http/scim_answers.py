# SPDX-License-Identifier: Apache-2.0
"""Answers in SCIM's form, those to what is refused too (RFC 7644 §3.12)."""

import json
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from etymon.directory.http.schema import Document
from etymon.kernel.errors import EtymonError, Malformed, NotAuthenticated, Throttled, TooLarge
from etymon.web.problem import WrongMethod, status_of
from etymon.wire import scim

SCIM_TYPES: Final = frozenset(
    {"invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue"}
    | {"invalidCursor"}
)
UNIQUE: Final = frozenset({"user_principal_name_taken", "mail_address_taken", "external_id_taken", "identifier_bound"})
WRONG_VALUES: Final = frozenset({"card_unknown", "binding_unknown", "trust_entry_unknown", "same_card"})
"""What is not found is no resource, but a value in the body."""

STALE: Final = "version_mismatch"
WRONG_MEDIA_TYPE: Final = "wrong_media_type"
STATUSES: Final = {
    STALE: 412,
    WRONG_MEDIA_TYPE: 415,
    "account_over": 400,
    **dict.fromkeys(WRONG_VALUES, 400),
    WrongMethod.default_code: 405,
}


class SCIMErrors:
    """Errors in SCIM's form (RFC 7644 §3.12)."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with the status as text, and SCIM's word where it has one."""
        status = STATUSES.get(error.code, status_of(error))
        body: Document = {"schemas": [scim.ERROR], "status": str(status), "detail": error.detail}
        kind = _scim_type(error)
        if kind:
            body["scimType"] = kind
        headers: dict[str, str] = {}
        if isinstance(error, NotAuthenticated):
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return answer(body, status, headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return answer({"schemas": [scim.ERROR], "status": "500", "detail": f"Reference: {reference}"}, 500)


def _scim_type(error: EtymonError) -> str:
    if error.code in SCIM_TYPES:
        return error.code
    if error.code in UNIQUE:
        return "uniqueness"
    if error.code in WRONG_VALUES:
        return "invalidValue"
    if isinstance(error, TooLarge) or error.code == WRONG_MEDIA_TYPE or not isinstance(error, Malformed):
        return "mutability" if error.code == "account_over" else ""
    return "invalidSyntax" if error.code == "malformed" else "invalidValue"


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as SCIM sends it."""
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(json.dumps(body), status, kept, media_type=scim.MEDIA_TYPE)
