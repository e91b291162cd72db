# SPDX-License-Identifier: Apache-2.0
"""Entities and collections as OData writes them, with `$filter`, `$select`, `$top` and `$skiptoken`."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request
from starlette.responses import JSONResponse, Response

from etymon.graph.dependencies import Dependencies
from etymon.kernel.errors import Malformed
from etymon.wire import odata, odata_filter

Entity: TypeAlias = "Mapping[str, Any]"
Item = TypeVar("Item")

LARGEST_PAGE: Final = 100
UNSUPPORTED: Final = ("orderby", "search", "skip", "count", "apply", "compute", "deltatoken")
TYPE: Final = "@odata.type"


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks of a collection. `after` is the key of the last entity of the page before."""

    condition: odata.Expression | None = None
    select: frozenset[str] | None = None
    top: int = LARGEST_PAGE
    after: str | None = None
    expand: frozenset[str] = frozenset()

    def after_id(self) -> UUID | None:
        """Return the key as an id; raises Malformed."""
        if self.after is None:
            return None
        try:
            return UUID(self.after)
        except ValueError as exc:
            raise Malformed("skiptoken_not_understood", "Follow @odata.nextLink as it was given.") from exc


def read_options(
    request: Request,
    filter_: Annotated[str | None, Query(alias="$filter", max_length=2000)] = None,
    select: Annotated[str | None, Query(alias="$select", max_length=2000)] = None,
    top: Annotated[int | None, Query(alias="$top", ge=1, le=LARGEST_PAGE)] = None,
    skiptoken: Annotated[str | None, Query(alias="$skiptoken", max_length=500)] = None,
    expand: Annotated[str | None, Query(alias="$expand", max_length=100)] = None,
) -> Options:
    """Read the options of a collection; those that are not offered are refused, not ignored."""
    plain = request.query_params
    for name in UNSUPPORTED:
        if name in plain or f"${name}" in plain:
            raise Malformed("option_not_supported", f"${name} is not offered here.")
    filter_, select = filter_ or plain.get("filter"), select or plain.get("select")
    skiptoken = skiptoken or plain.get("skiptoken")
    return Options(
        condition=odata_filter.parse(filter_) if filter_ else None,
        select=odata.parse_select(select) if select else None,
        top=top or _number(plain.get("top")),
        after=odata.parse_skiptoken(skiptoken) if skiptoken else None,
        expand=odata.parse_select(expand) if expand else frozenset(),
    )


ListOptions = Annotated[Options, Depends(read_options)]


def read_item_options(
    select: Annotated[str | None, Query(alias="$select", max_length=2000)] = None,
    expand: Annotated[str | None, Query(alias="$expand", max_length=100)] = None,
) -> Options:
    """Read the options of one entity."""
    return Options(
        select=odata.parse_select(select) if select else None,
        expand=odata.parse_select(expand) if expand else frozenset(),
    )


ItemOptions = Annotated[Options, Depends(read_item_options)]


def entity(
    request: Request, deps: Dependencies, name: str, item: Entity, *, options: Options | None = None, status: int = 200
) -> Response:
    """Return one entity of the collection `name`."""
    shown = _selected(item, options.select if options else None)
    return _json({"@odata.context": f"{_root(request, deps)}/$metadata#{name}/$entity", **shown}, status)


def page(
    request: Request,
    deps: Dependencies,
    name: str,
    options: Options,
    *,
    fetch: Callable[[int], Sequence[Item]],
    key: Callable[[Item], object],
    show: Callable[[Sequence[Item]], Sequence[Entity]],
) -> Response:
    """Return a page: `fetch` up to a number of items after `options.after`, `show` them, keep those that are asked for.

    One more is fetched than is shown, to know whether anything follows.
    """
    found = fetch(options.top + 1)
    here = found[: options.top]
    shown = [item for item in show(here) if _is_wanted(item, options)]
    body: dict[str, Any] = {
        "@odata.context": f"{_root(request, deps)}/$metadata#{name}",
        "value": [_selected(item, options.select) for item in shown],
    }
    if len(found) > len(here):
        body["@odata.nextLink"] = _next_link(request, deps, str(key(here[-1])))
    return _json(body)


def whole(
    request: Request, deps: Dependencies, name: str, items: Sequence[Entity], options: Options | None = None
) -> Response:
    """Return a collection that is small by nature on one page."""
    options = options or Options()
    shown = [_selected(item, options.select) for item in items if _is_wanted(item, options)]
    return _json({"@odata.context": f"{_root(request, deps)}/$metadata#{name}", "value": shown})


def nothing() -> Response:
    """Return 204."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def pem_chain(text: str) -> Response:
    """Return certificates as a file (RFC 8555 §9.1)."""
    return Response(text, headers={"Cache-Control": "no-store"}, media_type="application/pem-certificate-chain")


def answer(body: Entity) -> Response:
    """Return the result of an action."""
    return _json(body)


def _is_wanted(item: Entity, options: Options) -> bool:
    if options.condition is None:
        return True
    type_ = str(item.get(TYPE, "")).removeprefix("#")
    return odata.matches(options.condition, lambda path: _value_at(item, path), type_)


def _value_at(item: Entity, path: str) -> odata.PropertyValue:
    value: Any = item
    for step in path.split("/"):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [str(one) for one in value]
    return value if isinstance(value, str | int | float | bool | datetime) else None


def _selected(item: Entity, select: frozenset[str] | None) -> Entity:
    if select is None:
        return item
    return {name: value for name, value in item.items() if name in select or name == "id" or name.startswith("@odata.")}


def _root(request: Request, deps: Dependencies) -> str:
    """Return the address of the version that was asked, such as https://HOST:8443/graph/beta."""
    return f"{deps.url}/{_path(request).split('/')[0]}"


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", "")).lstrip("/")


def _next_link(request: Request, deps: Dependencies, last: str) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name.lstrip("$") != "skiptoken"]
    query = urlencode([*kept, ("$skiptoken", odata.write_skiptoken(last))], safe="$")
    return f"{deps.url}/{_path(request)}?{query}"


def _number(text: str | None) -> int:
    if text is None:
        return LARGEST_PAGE
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= LARGEST_PAGE:
        raise Malformed("top_not_understood", f"$top is a number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _json(body: Entity, status: int = 200) -> Response:
    text = json.dumps(body, default=_plain, ensure_ascii=False, separators=(",", ":"))
    headers = {"Cache-Control": "no-store", "OData-Version": "4.0"}
    return Response(text, status, headers, media_type=JSONResponse.media_type)


def _plain(value: object) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case _:
            raise TypeError(type(value).__name__)
