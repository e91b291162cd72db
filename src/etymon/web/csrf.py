# SPDX-License-Identifier: Apache-2.0
"""Requests that change something come from our own pages: the browser says so, and the form carries its token."""

import hmac
from collections.abc import Mapping
from typing import Final

from etymon.kernel.errors import NotPermitted
from etymon.web.exchange import Request
from etymon.web.sessions import Sessions, Visit

FIELD: Final = "csrf"
HEADER: Final = "x-csrf-token"


def require_own_form(request: Request, sessions: Sessions, visit: Visit, site_url: str) -> Mapping[str, str]:
    """Return the fields of a form that one of our pages sent, from this browser.

    The token may come as a header instead, where a script sends the form. Raises NotPermitted `cross_site_request`.
    """
    require_origin(request, site_url)
    form = request.form()
    presented = form.get(FIELD) or request.headers.get(HEADER, "")
    if visit.is_new or not hmac.compare_digest(presented.encode(), sessions.csrf_token(visit).encode()):
        raise _refusal()
    return form


def require_origin(request: Request, *allowed: str) -> None:
    """Refuse what a browser says was sent by a page of another origin.

    `Origin` decides; a browser that sends none still says `Sec-Fetch-Site`. Programs send neither.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin not in allowed:
        raise _refusal()
    fetch_site = request.headers.get("sec-fetch-site")
    if origin is None and fetch_site not in {None, "same-origin", "none"}:
        raise _refusal()


def _refusal() -> NotPermitted:
    return NotPermitted(
        "cross_site_request",
        "This form did not come from this browser's own page, or the page is too old. Open it again and send it anew.",
    )
