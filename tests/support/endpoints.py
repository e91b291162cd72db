# SPDX-License-Identifier: Apache-2.0
"""Every address of a running site, and the form in which its protocol says no."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import httpx
from cryptography.x509 import ocsp
from fastapi import FastAPI
from starlette.routing import Mount, Route

from support.whole_site import WholeSite

OAUTH: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "temporarily_unavailable",
    }
)
GRAPH_CODES: Final = frozenset(
    {
        "BadRequest",
        "InvalidAuthenticationToken",
        "Authorization_RequestDenied",
        "ResourceNotFound",
        "Conflict",
        "Gone",
        "RequestEntityTooLarge",
        "MethodNotAllowed",
        "TooManyRequests",
        "ServiceUnavailable",
    }
)
"""docs/protocols/administration.md, but for the one that must not be seen: InternalServerError."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a listener, with the methods it takes. Parameters stand in braces."""

    listener: str
    path: str
    methods: frozenset[str]

    @property
    def form(self) -> Callable[[httpx.Response], None]:
        """Return what judges whether a refusal is in the form of the address's protocol."""
        for pattern, form in FORMS:
            if re.fullmatch(pattern, self.path):
                return form
        return is_a_page

    def filled(self, value: str) -> str:
        """Return the path with every parameter replaced."""
        return re.sub(r"\{[^}]+\}", value, self.path)


def endpoints(site: WholeSite) -> Iterator[Endpoint]:
    """Give every address that the site's listeners serve, static files left out."""
    assert site.running is not None
    found: dict[tuple[str, str], set[str]] = {}
    for listener, door in site.running._doors.items():  # noqa: SLF001 - what a listener leads to has no other name
        for route in door.leads_to.routes:  # type: ignore[attr-defined]  # a Starlette application
            for path, methods in _paths(route):
                found.setdefault((listener, path), set()).update(methods)
    for (listener, path), methods in sorted(found.items()):
        if "/assets/" not in path and path not in {"/", "/devicelogin"}:
            yield Endpoint(listener, path, frozenset(methods))


def _paths(route: object) -> Iterator[tuple[str, set[str]]]:
    if isinstance(route, Route):
        yield route.path, set(route.methods or ())
    elif isinstance(route, Mount) and isinstance(route.app, FastAPI):
        for path, operations in route.app.openapi()["paths"].items():
            yield f"{route.path}{path}", {method.upper() for method in operations}


def is_a_problem(answer: httpx.Response) -> None:
    """RFC 9457."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:etymon:problem:{body['title']}"
    assert body["status"] == answer.status_code
    assert len(body["detail"]) > 10


def is_an_oauth_error(answer: httpx.Response) -> None:
    """RFC 6749 section 5.2; of a resource RFC 6750 section 3."""
    if answer.status_code == 401 and "error=" in answer.headers.get("www-authenticate", ""):
        return
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"] in OAUTH
    assert answer.headers["cache-control"] == "no-store"


def is_an_est_refusal(answer: httpx.Response) -> None:
    """RFC 7030: a status and a line of text."""
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.fullmatch(r"[^\n]{10,}\n", answer.text)
    assert re.fullmatch(r"[a-z_]+", answer.headers["error-code"])
    assert answer.status_code != 401 or answer.headers["www-authenticate"].startswith(("Basic", "Bearer"))


def is_a_scep_refusal(answer: httpx.Response) -> None:
    """RFC 8894: what is no message is told by HTTP, here in a line of text."""
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.fullmatch(r"[^\n]{10,}\n", answer.text)
    assert re.fullmatch(r"[a-z0-9_]+", answer.headers["error-code"])


def is_an_ndes_page(answer: httpx.Response) -> None:
    """The page that endpoint managers read with patterns."""
    assert answer.headers["content-type"] == "text/html; charset=utf-16"
    assert "You do not have sufficient permission to enroll with SCEP." in answer.content.decode("utf-16")
    assert answer.status_code != 401 or answer.headers["www-authenticate"].startswith("Basic")


def is_an_ocsp_failure(answer: httpx.Response) -> None:
    """RFC 6960 section 4.2.1: an unsigned answer that is no success."""
    assert answer.headers["content-type"] == "application/ocsp-response"
    status = ocsp.load_der_ocsp_response(answer.content).response_status
    assert status in {ocsp.OCSPResponseStatus.MALFORMED_REQUEST, ocsp.OCSPResponseStatus.UNAUTHORIZED}


def is_a_scim_error(answer: httpx.Response) -> None:
    """RFC 7644 section 3.12."""
    assert answer.headers["content-type"].startswith("application/scim+json")
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(answer.status_code)
    assert len(body["detail"]) > 10


def is_a_graph_error(answer: httpx.Response) -> None:
    """docs/protocols/administration.md."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["code"] in GRAPH_CODES, error
    assert error["message"]
    assert re.fullmatch(r"[a-z_]+", error["details"][0]["code"])


def is_a_page(answer: httpx.Response) -> None:
    """A page that says what to do, which nobody frames and no cache keeps."""
    assert answer.headers["content-type"].startswith("text/html")
    code = re.search(r'<main [^>]*data-code="([a-z_]+)"', answer.text)
    assert code
    assert code.group(1) in answer.text.partition("</main>")[0].partition("<h1>")[2]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


FORMS: Final[tuple[tuple[str, Callable[[httpx.Response], None]], ...]] = (
    (r"/idp/(token|device_authorization|jwks|userinfo|\.well-known/.*)", is_an_oauth_error),
    (r"/\.well-known/oauth-authorization-server/idp|/issuer/oauth/token", is_an_oauth_error),
    (r"/scim/oauth/token", is_an_oauth_error),
    (r"/scim/v2/.*", is_a_scim_error),
    (r"/\.well-known/est/.*", is_an_est_refusal),
    (r"/scep/.*", is_a_scep_refusal),
    (r"/certsrv/.*", is_an_ndes_page),
    (r"/ocsp/.*", is_an_ocsp_failure),
    (r"/graph/.*", is_a_graph_error),
    (r"/(mdm|crl|certificates)/.*", is_a_problem),
    (r"/issuer/(link/v1|rekey|key-history|attestation|management)/.*", is_a_problem),
    (r"/issuer/\.well-known/.*|/issuer/derivations/\{derivation\}/state|/healthz|/metrics", is_a_problem),
)
"""Path to form; what is not named is for people."""
