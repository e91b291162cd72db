# SPDX-License-Identifier: Apache-2.0
"""Every address answers whatever is sent to it in the form of its protocol, never with a crash, and changes nothing."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.server.wiring import ADMINISTRATION_CLIENT
from support import issued_identities, phone_messages, site_pages
from support.endpoints import Endpoint, endpoints, is_a_problem
from support.phone_messages import Enrolling, told
from support.whole_site import TEST, WholeSite

ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
LIMITS = {"/graph/": 1024 * 1024, "/.well-known/est/": 16 * 1024, "/ocsp/": 16 * 1024}
LIMIT = 64 * 1024


@dataclass
class Attacker:
    """Somebody with a device identity and an administrator's token, who sends what nobody should."""

    site: WholeSite
    clients: Mapping[str, httpx.Client]
    bearer: Mapping[str, str]

    @property
    def endpoints(self) -> list[Endpoint]:
        return [one for one in endpoints(self.site) if not one.path.startswith("/graph/v1.0")]

    def send(self, to: Endpoint, method: str, path: str | None = None, **options: Any) -> httpx.Response:
        """Send a request; a refusal has to have the form of the address, and nothing may crash."""
        headers = {**self.bearer, "Content-Type": kind_of(to), **options.pop("headers", {})}
        address = to.filled(str(uuid.uuid4())) if path is None else path
        answer = self.clients[to.listener].request(method, address, headers=headers, **options)
        assert answer.status_code < 500, (method, address, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            form = is_a_problem if "urn:etymon:problem:nothing_here" in answer.text else to.form
            try:
                form(answer)
            except (AssertionError, KeyError, ValueError) as exc:
                message = f"{method} {address} {options}: {answer.status_code} {answer.headers} {answer.text[:300]}"
                raise AssertionError(message) from exc
        return answer


def kind_of(to: Endpoint) -> str:
    """Return the media type an address reads."""
    if "/est/" in to.path:
        return "application/pkcs10"
    if to.path.startswith("/ocsp/"):
        return "application/ocsp-request"
    problem_forms = (
        *("/mdm/", "/issuer/link/v1", "/issuer/key-history/v1", "/issuer/attestation/v1", "/issuer/management"),
        *("/graph/", "/scim/v2"),
    )
    if to.path.startswith(problem_forms):
        return "application/json"
    return "application/x-www-form-urlencoded"


def administrators_token(site: WholeSite) -> str:
    card = site.card_for("sweep-admin")
    with site.deployment.database.transaction() as tx:
        person = site.person("sweep-admin").id
        roles.assign(tx, site.wiring.directory, person, Role.ADMINISTRATOR, actor=TEST, authority="letter")
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid administration").is_success
    site_pages.approve(site.browser(card), tool.user_code)
    return str(tool.poll(client_id=ADMINISTRATION_CLIENT).json()["access_token"])


@pytest.fixture
def attacker(either_site: WholeSite, tmp_path: Path) -> Iterator[Attacker]:
    site, settings = either_site, either_site.deployment.settings
    identity = issued_identities.device(site)
    context = issued_identities.context(site, identity, tmp_path)
    urls = {
        "site": settings.site_url,
        "certauth": settings.certauth_url,
        "device": settings.device_url,
        "status": settings.status_url,
    }
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(httpx.Client(verify=context, base_url=url, timeout=60, trust_env=False))
            for name, url in urls.items()
        }
        yield Attacker(site, clients, {"Authorization": f"Bearer {administrators_token(site)}"})


@pytest.fixture
def unchanged(attacker: Attacker) -> Iterator[None]:
    """See that all that was sent changed nothing."""
    attacker.site.settle()
    before = attacker.site.state()
    yield
    attacker.site.settle()
    after = attacker.site.state()
    assert [name for name in after if after[name] != before[name]] == []


def test_there_is_something_to_send_to(attacker: Attacker) -> None:
    found = attacker.endpoints
    assert {one.listener for one in found} == {"site", "certauth", "device", "status"}
    assert len(found) > 80
    assert len({one.form for one in found}) == 9


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_method_is_told_which_are_right(attacker: Attacker) -> None:
    for one in attacker.endpoints:
        for method in ALL_METHODS:
            if method in one.methods or (method == "HEAD" and "GET" in one.methods):
                continue
            answer = attacker.send(one, method)
            if one.path.startswith("/graph/") and answer.status_code == 404:
                continue  # it is an address of another resource too
            assert answer.status_code == 405, (method, one.path, answer.status_code)
            allowed = set(re.split(r",\s*", answer.headers["allow"]))
            missing = one.methods - {"HEAD"} - allowed
            assert not missing or one.path.startswith("/graph/"), (method, one.path, allowed)


def limit_of(one: Endpoint) -> int:
    return next((limit for beginning, limit in LIMITS.items() if one.path.startswith(beginning)), LIMIT)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_not_read(attacker: Attacker, *, announced: bool) -> None:
    for one in attacker.endpoints:
        size = limit_of(one) + 1
        for method in one.methods & {"POST", "PUT", "PATCH"}:
            content: Any = b"a" * size if announced else iter([b"a" * (size // 2), b"a" * (size // 2 + 1)])
            answer = attacker.send(one, method, content=content)
            if one.path.startswith("/ocsp/"):
                continue  # an answer of its own, judged by its form
            assert answer.status_code == 413, (method, one.path, answer.status_code, answer.text)


BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe\x00",
    b"[" * 30_000,
    b'{"a":' * 5_000,
    b"a=1&a=2",
    b"=&" * 100,
    b"%ff=%00",
    b"a=" + b"%" * 50,
    b"\x30\x82\xff\xff",
    b"MIIB",
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
)


TAKE_ANY_BODY = ("/ocsp/", "/idp/authorize", "/idp/userinfo")
"""The first answers in its own form, the second goes round to GET, the third reads none."""


@pytest.mark.usefixtures("unchanged")
def test_a_body_that_cannot_be_read_is_refused(attacker: Attacker) -> None:
    for one in attacker.endpoints:
        for method in one.methods & {"POST", "PUT", "PATCH"}:
            for body in BODIES:
                for kind in (kind_of(one), "text/plain", "multipart/form-data; boundary=x", ""):
                    answer = attacker.send(one, method, content=body, headers={"Content-Type": kind})
                    is_refused = answer.status_code >= 400 or one.path.startswith(TAKE_ANY_BODY)
                    assert is_refused, (one.path, body, answer.text)


PARAMETERS = ("x", "%00", "%2e%2e", "%ff", "%0d%0aX:%20y", "a" * 400, "%F0%9F%98%80", "-1", "0" * 32, "' OR 1=1 --")


@pytest.mark.usefixtures("unchanged")
def test_an_address_that_means_nothing_is_not_found_or_malformed(attacker: Attacker) -> None:
    for one in attacker.endpoints:
        if "{" not in one.path:
            continue
        for method in one.methods - {"HEAD"}:
            for value in PARAMETERS:
                attacker.send(
                    one, method, one.filled(value), content=b"{}" if method in {"POST", "PUT", "PATCH"} else None
                )


QUERIES = (
    "?request=%ff%fe",
    "?a=1&a=2",
    "?%00=%00",
    "?cursor=x&device=y&person=z&personIssuer=w",
    "?proof=x&authorization=y",
    "?$filter=x%20eq&$top=-1&$skiptoken=%00",
    "?$filter=" + "(" * 1000,
    "?response_type=code&client_id=%00&redirect_uri=http%3A%2F%2F%5B",
    "?" + "a" * 8000,
    "?" + "&".join(f"k{n}=v" for n in range(500)),
)


@pytest.mark.usefixtures("unchanged")
def test_a_query_that_means_nothing_breaks_nothing(attacker: Attacker) -> None:
    for one in attacker.endpoints:
        if "GET" in one.methods:
            for query in QUERIES:
                attacker.send(one, "GET", one.filled(str(uuid.uuid4())) + query)


HEADERS: tuple[dict[str, str | bytes], ...] = (
    {"Authorization": b"Bearer \xff\xfe"},
    {"Authorization": "Bearer " + "x" * 6000},
    {"Authorization": "Bearer a.b.c"},
    {"Authorization": "Basic Og=="},
    {"Authorization": ""},
    {"Cookie": b"__Host-etymon-idp=\xff; __Host-etymon-issuer=\x80"},
    {"Cookie": "; ".join(f"{name}={'x' * 200}" for name in ("__Host-etymon-idp", "__Host-etymon-issuer", "a" * 100))},
    {"Accept-Language": "," * 3000},
    {"X-Forwarded-For": "'; --", "Client-Cert": ":AAAA:", "X-SSL-Client-Cert": "x", "Forwarded": "for=x"},
    {"Host": "elsewhere.example"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Referer": "https://elsewhere.example/"},
    {"Content-Type": "application/json; charset=utf-7"},
    {"client-request-id": "x" * 3000},
)


@pytest.mark.usefixtures("unchanged")
def test_headers_that_mean_nothing_break_nothing(attacker: Attacker) -> None:
    for one in attacker.endpoints:
        for method in one.methods & {"GET", "POST", "PUT"}:
            for headers in HEADERS:
                attacker.send(one, method, headers=headers, content=b"{}" if method != "GET" else None)


def test_headers_over_the_limit_are_refused_before_any_address_is_looked_at(attacker: Attacker) -> None:
    for name, path in (("site", "/idp/token"), ("device", phone_messages.CHECK_IN), ("status", "/crl/derived.crl")):
        usual = attacker.clients[name].get(path).status_code
        for headers in ({"X": "x" * 40_000}, {f"X{n}": "x" * 900 for n in range(50)}):
            answer = attacker.clients[name].get(path, headers=headers)
            assert answer.status_code == 431
            is_a_problem(answer)
        try:
            status = attacker.clients[name].get(path, headers={"X": "x" * 300_000}).status_code
        except httpx.TransportError:
            status = 400  # the HTTP library says so and hangs up while more is being sent
        assert status in {400, 431}
        assert attacker.clients[name].get(path, headers={"X": "x" * 20_000}).status_code == usual


HOSTILE: tuple[Any, ...] = (
    "\u0000",
    "\ud800",
    "a\nb\u202e",
    "x" * 5000,
    "",
    -1,
    0,
    2**63,
    1e308,
    True,
    None,
    [],
    {},
    ["\u0000"],
    {"\u0000": "\u0000"},
)


def documents() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Give documents that are right but for what they refer to: listener, method, address, members."""
    some = str(uuid.uuid4())
    csr = "MIIB"
    device = dict(phone_messages.DEVICE)
    yield "site", "POST", "/mdm/enrollment/v1/sessions", {"protocol": 1, "token": "A" * 32, "device": device}
    sessions = f"/mdm/enrollment/v1/sessions/{some}"
    yield "site", "POST", f"{sessions}/assertion", {"protocol": 1, "sessionSecret": "c" * 43}
    yield "site", "POST", f"{sessions}/complete", {"protocol": 1, "sessionSecret": "c" * 43, "csr": csr}
    thumbprint = "0" * 64
    yield (
        "device",
        "POST",
        phone_messages.CHECK_IN,
        {
            "protocol": 1,
            "known": 1,
            "wait": 0,
            "device": {"osVersion": "14", "securityPatch": "2026-11-05"},
            "results": [{"policy": some, "version": 1, "state": "succeeded", "detail": "x"}],
            "commands": [{"command": some, "state": "succeeded", "detail": "x"}],
            "credentials": [{"purpose": "signature", "thumbprint": thumbprint, "notAfter": "2027-01-01T00:00:00Z"}],
        },
    )
    link = {"protocol": 1, "link": some}
    yield "device", "POST", phone_messages.REDEEM, {**link, "secret": "A" * 22, "key": csr, "device": device}
    yield "device", "POST", phone_messages.AUTHORIZATION, {**link, "proof": csr, "wait": 0}
    order = {"device": thumbprint, "reason": "keyCompromise", "comment": "x"}
    yield "site", "PUT", f"/issuer/management/v1/invalidations/{some}", order
    graph = "/graph/beta"
    yield (
        "site",
        "PATCH",
        f"{graph}/users/{some}",
        {"displayName": "x", "mail": "x@agency.example", "otherMails": ["x"]},
    )
    yield "site", "PUT", f"{graph}/etymon/roles/{some}", {"roles": ["auditor"]}
    yield "site", "POST", f"{graph}/groups/{some}/members/$ref", {"@odata.id": f"{graph}/users/{some}"}
    yield "site", "POST", f"{graph}/users/{some}/cards", {"trustEntry": "x", "identifier": "y"}


def changed(document: Any) -> Iterator[Any]:
    """Give the document with every member in turn replaced by something hostile."""
    if isinstance(document, dict):
        for name, value in document.items():
            for hostile in HOSTILE:
                yield {**document, name: hostile}
            for inner in changed(value):
                yield {**document, name: inner}
    elif isinstance(document, list) and document:
        for inner in changed(document[0]):
            yield [inner, *document[1:]]


@pytest.mark.usefixtures("unchanged")
def test_no_value_of_a_member_breaks_a_service(attacker: Attacker) -> None:
    known = {one.path: one for one in attacker.endpoints}
    sent = 0
    for listener, method, address, document in documents():
        to = next(one for one in known.values() if one.listener == listener and fits(one, address))
        for hostile in changed(document):
            content = json.dumps(hostile).encode()
            attacker.send(to, method, address, content=content)
            sent += 1
    assert sent > 500


def test_no_value_of_a_managed_phone_breaks_check_in(either_site: WholeSite, tmp_path: Path) -> None:
    """Of a phone that is managed more is looked at, and some of it is kept."""
    site = either_site
    _, identity = phone_messages.enrolled(site, site.card_for("sweep-phone"))
    (document,) = (members for _, _, address, members in documents() if address == phone_messages.CHECK_IN)
    context = issued_identities.context(site, identity, tmp_path)
    with httpx.Client(verify=context, base_url=site.device_url, trust_env=False) as client:
        bodies = [json.dumps(hostile).encode() for hostile in changed(document)]
        seen = {told(client.post(phone_messages.CHECK_IN, content=body))[0] for body in bodies}
    assert seen == {200, 204, 400}


def fits(one: Endpoint, address: str) -> bool:
    pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(one.path))
    return re.fullmatch(pattern, address) is not None


FORMS = {
    "/idp/token": {"grant_type": "refresh_token", "client_id": "etymon-phone", "refresh_token": "x" * 43},
    "/idp/device_authorization": {"client_id": "etymon-phone", "scope": "openid", "enrollment_assertion": "a.b.c"},
    "/issuer/oauth/token": {
        "grant_type": "client_credentials",
        "scope": "management",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "a.b.c",
    },
}
GRANTS = ("authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "password", "client_credentials")
WORDS = ("\u0000", "x" * 5000, "", "é\u202e", "a b c", "%", "{}", "..", "' OR 1=1 --")


@pytest.mark.usefixtures("unchanged")
def test_no_value_of_a_field_breaks_a_token_endpoint(attacker: Attacker) -> None:
    by_path = {one.path: one for one in attacker.endpoints}
    for path, fields in FORMS.items():
        forms = [{**fields, name: word} for name in fields for word in WORDS]
        forms += [{key: value for key, value in fields.items() if key != name} for name in fields]
        forms += [{**fields, "grant_type": grant, "code": "\u0000", "device_code": "\u0000"} for grant in GRANTS]
        for form in forms:
            answer = attacker.send(by_path[path], "POST", data=form, headers={"Authorization": ""})
            assert answer.status_code in {400, 401, 429}, (path, form)
