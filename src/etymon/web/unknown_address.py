# SPDX-License-Identifier: Apache-2.0
"""What a listener answers for an address that nothing has."""

from starlette.requests import Request as ASGIRequest
from starlette.responses import Response

from etymon.kernel.errors import NotFound
from etymon.web.pages import PageErrors, Pages
from etymon.web.problem import ErrorFace, ProblemDetails


async def nothing_here(pages: Pages | None, request: ASGIRequest, _: Exception) -> Response:
    """Answer with a page where people come and ask for one, or with a problem; fit for Starlette's 404."""
    face: ErrorFace = ProblemDetails()
    if pages is not None and "text/html" in request.headers.get("accept", ""):
        face = PageErrors(pages)
    return face.expected(NotFound("nothing_here", "There is nothing at this address. Check how it is spelled."))
