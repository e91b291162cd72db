# SPDX-License-Identifier: Apache-2.0
"""SCIM 2.0 (RFC 7643, RFC 7644): identity feeds tell of people and cards (docs/protocols/scim.md)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeGuard
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from etymon.directory import feeds, identity_accounts
from etymon.directory.dependencies import FeedDependencies
from etymon.directory.feeds import SCOPE, TOKEN_LIFETIME, TOKEN_PATH
from etymon.directory.http import schema, users
from etymon.directory.http.patch import patched
from etymon.directory.http.schema import Document
from etymon.directory.http.scim_answers import STALE, WRONG_MEDIA_TYPE, SCIMErrors, answer
from etymon.directory.identity_accounts import PAGE_LIMIT, IdentityAccount, Wish
from etymon.directory.store.feeds import Feed
from etymon.kernel.errors import (
    Conflict,
    Malformed,
    NotFound,
    NotPermitted,
)
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction
from etymon.web import documents
from etymon.web.exchange import Request, endpoint
from etymon.web.token_endpoint import bearer_token, token_endpoint
from etymon.wire import scim
from etymon.wire.scim import CORE, Comparison

PATH: Final = "/scim/v2"
FURTHEST: Final = 10_000
"""Largest `startIndex`; further on a cursor goes (RFC 9865)."""

Handler = Callable[[FeedDependencies, Feed, Request], Response]


class Elsewhere(BaseRoute):
    """What is no endpoint, so that SCIM's clients have SCIM's answer; a known one with a wrong method is left to it."""

    def __init__(self, route: BaseRoute, known: list[BaseRoute]) -> None:
        self._route, self._known = route, known

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what no other route has the path of."""
        if any(route.matches(scope)[0] is not Match.NONE for route in self._known):
            return Match.NONE, {}
        return self._route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._route.handle(scope, receive, send)


def site_routes(deps: FeedDependencies) -> list[BaseRoute]:
    """Return what the site listener serves to identity feeds."""

    def give(assertion: str, source: str) -> Secret[str]:
        return feeds.give_token(deps, assertion, source=source)

    def route(path: str, method: str, handler: Handler) -> BaseRoute:
        served = partial(_authenticated, deps, handler)
        return endpoint(f"{PATH}{path}", served, methods=[method], errors=SCIMErrors(), proxies=deps.proxies)

    routes = [
        route("/ServiceProviderConfig", "GET", _configuration),
        route("/ResourceTypes", "GET", _resource_types),
        route("/ResourceTypes/{name}", "GET", _resource_type),
        route("/Schemas", "GET", _schemas),
        route("/Schemas/{name}", "GET", _schema),
        route("/Users", "GET", _list),
        route("/Users", "POST", _create),
        route("/.search", "POST", _search),
        route("/Users/.search", "POST", _search),
        route("/Users/{user:uuid}", "GET", _get),
        route("/Users/{user:uuid}", "PUT", _put),
        route("/Users/{user:uuid}", "PATCH", _patch),
        route("/Users/{user:uuid}", "DELETE", _delete),
    ]
    rest = endpoint(
        f"{PATH}/{{rest:path}}",
        partial(_authenticated, deps, _nothing),
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        errors=SCIMErrors(),
        proxies=deps.proxies,
    )
    return [
        token_endpoint(TOKEN_PATH, give, scope=SCOPE, lifetime=TOKEN_LIFETIME, proxies=deps.proxies),
        *routes,
        Elsewhere(rest, routes),
    ]


def _authenticated(deps: FeedDependencies, handler: Handler, request: Request) -> Response:
    source = request.client_address
    feed = feeds.by_token(deps, bearer_token(request), source=source)
    user = request.path_parameters.get("user", "users")
    with deps.refusals.noted(
        "directory:identity_account:refused", actor=f"feed:{feed.id}", subject=f"person:{user}", source=source
    ):
        return handler(deps, feed, request)


def _configuration(deps: FeedDependencies, _: Feed, __: Request) -> Response:
    return answer(schema.configuration(_root(deps)))


def _resource_types(deps: FeedDependencies, _: Feed, request: Request) -> Response:
    return _all(request, [schema.resource_type(_root(deps))])


def _resource_type(deps: FeedDependencies, _: Feed, request: Request) -> Response:
    if request.path_parameters["name"] != "User":
        raise NotFound("resource_type_unknown", "The one resource type is User.")
    return answer(schema.resource_type(_root(deps)))


def _schemas(deps: FeedDependencies, _: Feed, request: Request) -> Response:
    return _all(request, list(schema.schemas(_root(deps)).values()))


def _schema(deps: FeedDependencies, _: Feed, request: Request) -> Response:
    found = schema.schemas(_root(deps)).get(request.path_parameters["name"])
    if found is None:
        raise NotFound("schema_unknown", "There is no such schema.")
    return answer(found)


def _nothing(_: FeedDependencies, __: Feed, ___: Request) -> Response:
    raise NotFound("nothing_here", "There is no such endpoint; see /scim/v2/ResourceTypes.")


def _list(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    query = request.query
    count = min(_number(query.get("count", str(PAGE_LIMIT)), "count"), PAGE_LIMIT)
    start = max(1, _number(query.get("startIndex", "1"), "startIndex"))
    with deps.database.snapshot() as tx:
        if query.get("filter"):
            found = _filtered(tx, feed, scim.parse_filter(query["filter"]))
            return _page(deps, request, found[start - 1 :][:count], total=len(found), startIndex=start)
        if "cursor" in query:
            found = identity_accounts.page(tx, feed, after=_cursor(query["cursor"]), limit=count)
            more = {"nextCursor": str(found[-1].person.id)} if found and len(found) == count else {}
            return _page(deps, request, found, total=feed.accounts, **more)
        if start > FURTHEST:
            raise Malformed("invalidValue", f"startIndex is at most {FURTHEST}. Go on with cursor (RFC 9865).")
        found = identity_accounts.page(tx, feed, skip=start - 1, limit=count) if count else []
    return _page(deps, request, found, total=feed.accounts, startIndex=start)


def _search(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    """List what a query in the body asks for (RFC 7644 §3.4.3)."""
    asked = {name: value for name, value in _body(request).items() if name != "schemas"}
    query = {name: ",".join(value) if _are_texts(value) else str(value) for name, value in asked.items()}
    return _list(deps, feed, replace(request, query=query))


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _create(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    wish = users.wished(_body(request))
    with deps.database.transaction() as tx:
        account = identity_accounts.create(tx, deps, feed, wish)
    return _user(deps, request, account, 201)


def _get(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    with deps.database.snapshot() as tx:
        account = identity_accounts.find(tx, feed, _id(request))
    user = users.shown(account, _root(deps))
    version = user["meta"]["version"]
    if version in _versions(request, "if-none-match"):
        return Response(status_code=304, headers={"ETag": version})
    return _user(deps, request, account)


def _put(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    document = _body(request)
    return _changed(deps, feed, request, lambda account: users.wished(document, account))


def _patch(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    operations = scim.parse_operations(_body(request))

    def wish(account: IdentityAccount) -> Wish:
        return users.wished(patched(users.shown(account, _root(deps)), operations), account)

    return _changed(deps, feed, request, wish)


def _delete(deps: FeedDependencies, feed: Feed, request: Request) -> Response:
    with deps.database.transaction() as tx:
        account = identity_accounts.kept(tx, feed, _id(request))
        _require_version(deps, request, account)
        identity_accounts.remove(tx, deps, feed, account)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def _changed(deps: FeedDependencies, feed: Feed, request: Request, wish: Callable[[IdentityAccount], Wish]) -> Response:
    with deps.database.transaction() as tx:
        before = identity_accounts.kept(tx, feed, _id(request))
        _require_version(deps, request, before)
        account = identity_accounts.change(tx, deps, feed, before, wish(before))
    return _user(deps, request, account)


def _filtered(tx: Transaction, feed: Feed, wanted: Comparison) -> list[IdentityAccount]:
    if wanted.schema in {"", CORE.lower()} and wanted.name == "username":
        return identity_accounts.by_user_principal_name(tx, feed, wanted.value)
    if wanted.schema in {"", CORE.lower()} and wanted.name == "externalid":
        return identity_accounts.by_external_id(tx, feed, wanted.value)
    raise Malformed("invalidFilter", "Users are found by userName or externalId, with eq.")


def _page(
    deps: FeedDependencies, request: Request, found: list[IdentityAccount], *, total: int, **place: object
) -> Response:
    resources = [_selected(request, users.shown(account, _root(deps))) for account in found]
    body = {"schemas": [scim.LIST], "totalResults": total, "itemsPerPage": len(resources), **place}
    return answer({**body, "Resources": resources})


def _all(request: Request, resources: list[Document]) -> Response:
    """Return all of what a server says of itself; a filter is refused there (RFC 7644 §4)."""
    if "filter" in request.query:
        raise NotPermitted("filter_not_permitted", "What the server says of itself is not filtered.")
    body = {"schemas": [scim.LIST], "totalResults": len(resources), "itemsPerPage": len(resources), "startIndex": 1}
    return answer({**body, "Resources": resources})


def _user(deps: FeedDependencies, request: Request, account: IdentityAccount, status: int = 200) -> Response:
    user = users.shown(account, _root(deps))
    headers = {"ETag": user["meta"]["version"], "Location": user["meta"]["location"]}
    return answer(_selected(request, user), status, headers)


def _selected(request: Request, user: Document) -> Document:
    return users.selected(user, request.query.get("attributes", ""), request.query.get("excludedAttributes", ""))


def _require_version(deps: FeedDependencies, request: Request, account: IdentityAccount) -> None:
    """Refuse a change of what has changed since it was read (RFC 7644 §3.14)."""
    wanted = _versions(request, "if-match")
    if wanted and wanted != {"*"} and users.shown(account, _root(deps))["meta"]["version"] not in wanted:
        raise Conflict(STALE, "The user has changed since it was read. Read it again.")


def _versions(request: Request, header: str) -> set[str]:
    return {version.strip() for version in request.headers.get(header, "").split(",") if version.strip()}


def _body(request: Request) -> Mapping[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {scim.MEDIA_TYPE, "application/json"}:
        raise Malformed(WRONG_MEDIA_TYPE, f"Send {scim.MEDIA_TYPE}.")
    return documents.read(request)


def _id(request: Request) -> UUID:
    return UUID(request.path_parameters["user"])


def _cursor(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as exc:
        raise Malformed("invalidCursor", "A cursor is the nextCursor of the page before.") from exc


def _number(text: str, name: str) -> int:
    """Return a number; a negative one counts as zero (RFC 7644 §3.4.2.4)."""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise Malformed("invalidValue", f"{name} is a whole number.")
    return max(0, int(text))


def _root(deps: FeedDependencies) -> str:
    return f"{deps.site_url}{PATH}"
