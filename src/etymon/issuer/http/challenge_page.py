# SPDX-License-Identifier: Apache-2.0
"""The challenge page, in the words and the encoding of Microsoft's NDES: endpoint managers read it with patterns.

HTTP Basic: the connector's name and its page's password. NTLM, which the genuine page offers too, is not spoken.
"""

import base64
import hashlib
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.ca import authorities
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.issuer.scep import challenges
from etymon.issuer.scep.model import HIERARCHY
from etymon.kernel.errors import EtymonError, NotAuthenticated, Throttled
from etymon.kernel.secret import Secret
from etymon.pki.certificate import to_der
from etymon.web.exchange import Request, endpoint
from etymon.web.problem import status_of

PATHS: Final = ("/certsrv/mscep_admin", "/certsrv/mscep_admin/")
LONGEST_CREDENTIALS: Final = 300
LONGEST_NAME: Final = 320

CACHE_FULL: Final = "The password cache is full."
NO_PERMISSION: Final = "You do not have sufficient permission to enroll with SCEP."

_PAGE: Final = (
    '<HTML><Head><Meta HTTP-Equiv="Content-Type" Content="text/html; charset=UTF-16">'
    "<Title>Network Device Enrollment Service</Title></Head><Body>{body}</Body></HTML>"
)
_CHALLENGE: Final = (
    "<P> Network Device Enrollment Service allows you to obtain certificates for routers or other network devices "
    "using the Simple Certificate Enrollment Protocol (SCEP). </P>"
    "<P> The thumbprint (hash value) for the CA certificate is: <B> {thumbprint} </B> </P>"
    "<P> The enrollment challenge password is: <B> {challenge} </B> </P>"
    "<P> This password can be used only once and will expire within 60 minutes. </P>"
    "<P> Each enrollment requires a new challenge password. You can refresh this web page to obtain a new challenge "
    "password. </P>"
)


class PageErrors:
    """The page's own failure texts; 401 asks for the password."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with the sentence that endpoint managers know, the code beside it."""
        text = CACHE_FULL if isinstance(error, Throttled) else NO_PERMISSION
        headers = {"Error-Code": error.code}
        if isinstance(error, NotAuthenticated):
            headers["WWW-Authenticate"] = 'Basic realm="SCEP challenges"'
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return _page(f"<P> {text} </P>", status_of(error), headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return _page(f"<P> Internal error. Reference: {reference} </P>", 500, {})


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the site listener."""

    def show(request: Request) -> Response:
        name, password = _credentials(request)
        person = request.parameters().get("person")
        if person is not None and not 0 < len(person) <= LONGEST_NAME:
            person = ""
        secret, _ = challenges.ask_page(deps, name, password, person=person, source=request.client_address)
        with deps.database.snapshot() as tx:
            authority = authorities.current(tx, HIERARCHY).certificate
        thumbprint = hashlib.sha256(to_der(authority)).hexdigest().upper()
        groups = " ".join(thumbprint[at : at + 8] for at in range(0, len(thumbprint), 8))
        return _page(_CHALLENGE.format(thumbprint=groups, challenge=secret.reveal()), 200, {})

    refused = doors.recorder(deps, challenges.REFUSED_EVENT)
    return [
        endpoint(
            path,
            show,
            methods=["GET"],
            errors=PageErrors(),
            proxies=deps.proxies,
            any_case=True,
            refused=refused,
        )
        for path in PATHS
    ]


def _credentials(request: Request) -> tuple[str, Secret[str]]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    usable = value if scheme.lower() == "basic" and len(value) <= LONGEST_CREDENTIALS else ""
    try:
        pair = base64.b64decode(usable, validate=True).decode("utf-8")
    except ValueError:
        pair = ""
    name, colon, password = pair.partition(":")
    if not colon:
        raise NotAuthenticated("page_password_missing", "Sign in with the connector's name and its page's password.")
    return name, Secret(password)


def _page(body: str, status: int, headers: dict[str, str]) -> Response:
    octets = _PAGE.format(body=body).encode("utf-16")  # little-endian with its mark, as the genuine one
    return Response(
        octets, status, {"Content-Type": "text/html; charset=utf-16", "Cache-Control": "no-store", **headers}
    )
