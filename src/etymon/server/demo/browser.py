# SPDX-License-Identifier: Apache-2.0
"""A browser without a screen: follows redirects, keeps cookies for a host over all its ports, fills in forms.

It has two ways out, httpx transports both: `site` for every address that never asks for a certificate, and `certauth`
for the listener that does. A certificate may come from a file, a token or a card. Without the second, `site` is all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Final, Self
from urllib.parse import urljoin

import httpx

from etymon.kernel.errors import EtymonError

MOST_REDIRECTS: Final = 15
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PATIENCE_SECONDS: Final = 60.0
"""How long one step of a connection may take."""


class PageUnexpected(EtymonError):
    """A site answered with something else than the page the script goes on from."""

    default_code = "page_unexpected"


@dataclass(slots=True)
class Form:
    """One form of a page. `buttons` are the named submit buttons."""

    action: str
    method: str
    id: str
    automatic: bool
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser shows."""

    url: str
    status: int
    headers: Mapping[str, str]
    text: str
    code: str
    title: str
    forms: tuple[Form, ...]
    links: tuple[tuple[str, str], ...]
    words: str
    """The visible text, with single spaces."""

    def form(self, *, id_: str | None = None, action: str | None = None) -> Form:
        """Return the one form that fits; with no wishes, the page's only form."""
        found = [f for f in self.forms if (id_ is None or f.id == id_) and (action is None or action in f.action)]
        told = f"{len(found)} forms fit on {self.url} ({self.status}, {self.code}): {self.words[:400]}"
        _require(len(found) == 1, told)
        return found[0]


class Browser:
    """One browser profile."""

    def __init__(
        self,
        site: httpx.BaseTransport,
        certauth: httpx.BaseTransport | None = None,
        *,
        certauth_origin: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._site = site
        self._certauth = certauth
        self._certauth_origin = certauth_origin.rstrip("/")
        self._headers = {"user-agent": "scripted-browser", "accept": "text/html", **(headers or {})}
        self.cookies: dict[tuple[str, str], str] = {}
        self.history: list[str] = []
        self.page: Page | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both ways out."""
        self._site.close()
        if self._certauth is not None:
            self._certauth.close()

    def get(self, url: str) -> Page:
        """Open an address and follow where it leads."""
        return self._go("GET", self._resolve(url), None, origin=None)

    def submit(self, form: Form, fields: Mapping[str, str] | None = None, *, button: str | None = None) -> Page:
        """Send a form of the present page; `button` is the value of the submit button that is pressed."""
        values = form.fields | dict(fields or {})
        if button is not None:
            names = [name for name, value in form.buttons if value == button]
            _require(bool(names), f"There is no button {button!r} among {form.buttons}.")
            values[names[0]] = button
        target = self._resolve(form.action)
        if self.page is None:
            raise PageUnexpected(detail="No page is open.")
        origin = _origin_told(self.page, target)
        if form.method == "get":
            return self._go("GET", str(httpx.URL(target, params=values)), None, origin=None)
        return self._go("POST", target, values, origin=origin)

    def follow(self, words: str) -> Page:
        """Follow the link of the present page that says `words`."""
        page = self.page
        found = [url for url, text in page.links if words in text] if page else []
        _require(len(found) == 1, f"{len(found)} links say {words!r} on {page.url if page else 'no page'}.")
        return self.get(found[0])

    def _resolve(self, url: str) -> str:
        return urljoin(self.page.url, url) if self.page else url

    def _go(self, method: str, url: str, form: Mapping[str, str] | None, *, origin: str | None) -> Page:
        """Request, follow redirects, and send a form that sends itself, as a browser with scripts does."""
        for _ in range(MOST_REDIRECTS):
            response = self._send(method, url, form, origin)
            if response.status_code in REDIRECTS and "location" in response.headers:
                url = urljoin(url, response.headers["location"])
                if response.status_code in {301, 302, 303}:
                    method, form = "GET", None
                if httpx.URL(url).scheme == "http":  # a native client's loopback address: the browser's way ends here
                    self.history.append(url)
                    self.page = read_page(url, response)
                    return self.page
                continue
            self.page = page = read_page(url, response)
            automatic = [form for form in page.forms if form.automatic]
            if not automatic:
                return page
            target = urljoin(url, automatic[0].action)
            origin = _origin_told(page, target)
            url = target
            method, form = "POST", automatic[0].fields
        raise PageUnexpected(detail=f"There are more than {MOST_REDIRECTS} redirects, the last to {url}.")

    def _send(self, method: str, url: str, form: Mapping[str, str] | None, origin: str | None) -> httpx.Response:
        target = httpx.URL(url)
        self.history.append(url)
        headers = dict(self._headers)
        if cookie := self._cookie_header(target.host):
            headers["cookie"] = cookie
        if method == "POST":
            headers["origin"] = origin or "null"
            headers["sec-fetch-site"] = "same-origin" if origin == _origin(target) else "same-site"
        else:
            headers["sec-fetch-site"] = "none"
        request = httpx.Request(
            method,
            target,
            headers=headers,
            data=dict(form) if form is not None else None,
            extensions={"timeout": httpx.Timeout(PATIENCE_SECONDS).as_dict()},
        )
        at_certauth = _origin(target) == self._certauth_origin
        transport = self._certauth if at_certauth and self._certauth is not None else self._site
        response = transport.handle_request(request)
        response.request = request
        response.read()
        response.close()
        set_cookies = response.headers.get_list("set-cookie")
        _require(not (at_certauth and set_cookies), "Certauth set a cookie.")
        for line in set_cookies:
            self._store_cookie(target.host, line)
        return response

    def _cookie_header(self, host: str) -> str:
        return "; ".join(f"{name}={value}" for (where, name), value in self.cookies.items() if where == host)

    def _store_cookie(self, host: str, line: str) -> None:
        parsed: SimpleCookie = SimpleCookie()
        parsed.load(line)
        for name, morsel in parsed.items():
            if name.startswith("__Host-"):  # RFC 6265bis §4.1.3.2
                kept = bool(morsel["secure"]) and morsel["path"] == "/" and not morsel["domain"]
                _require(kept, f"The cookie {name} is not Secure, or has a path or a domain.")
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop((host, name), None)
            else:
                self.cookies[host, name] = morsel.value


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition and what is wrong without it
    if not holds:
        raise PageUnexpected(detail=otherwise)


def _origin_told(page: Page, target: str) -> str:
    """Return what `Origin` says when `page` sends a form (Fetch, "append a request Origin header")."""
    origin = _origin(httpx.URL(page.url))
    policy = page.headers.get("referrer-policy", "")
    crosses = origin != _origin(httpx.URL(target))
    return "null" if policy == "no-referrer" or (policy == "same-origin" and crosses) else origin


def _origin(url: httpx.URL) -> str:
    default = {"https": 443, "http": 80}[url.scheme]
    port = url.port or default
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}" + ("" if port == default else f":{port}")


def read_page(url: str, response: httpx.Response) -> Page:
    """Return what a browser would show of an answer."""
    reader = _Reader()
    if "html" in response.headers.get("content-type", ""):
        reader.feed(response.text)
    return Page(
        url=url,
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        text=response.text,
        code=reader.code,
        title=" ".join("".join(reader.title).split()),
        forms=tuple(reader.forms),
        links=tuple((target, " ".join("".join(words).split())) for target, words in reader.links),
        words=" ".join(" ".join(reader.words).split()),
    )


class _Reader(HTMLParser):
    """Reads what the browser needs of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.code = ""
        self.title: list[str] = []
        self.forms: list[Form] = []
        self.links: list[tuple[str, list[str]]] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._inside: list[str] = []
        self._select: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "main":
            self.code = values.get("data-code", "")
        elif tag == "form":
            self._form = Form(
                action=values.get("action", ""),
                method=values.get("method", "get").lower(),
                id=values.get("id", ""),
                automatic="data-submit" in values,
            )
            self.forms.append(self._form)
        elif tag == "a" and "href" in values:
            self.links.append((values["href"], []))
        elif tag in {"input", "button"} and self._form is not None:
            self._control(self._form, tag, values)
        elif tag == "select":
            self._select = values.get("name")
        elif tag == "option" and self._select and self._form is not None:
            if "selected" in values or self._select not in self._form.fields:
                self._form.fields[self._select] = values.get("value", "")
        elif tag == "textarea" and self._form is not None:
            self._form.fields[values.get("name", "")] = ""
        if tag in {"title", "a", "script", "style"}:
            self._inside.append(tag)

    @staticmethod
    def _control(form: Form, tag: str, values: Mapping[str, str]) -> None:
        name = values.get("name", "")
        kind = values.get("type", "submit" if tag == "button" else "text")
        if not name:
            return
        if kind == "submit":
            form.buttons.append((name, values.get("value", "")))
        elif kind not in {"checkbox", "radio"} or "checked" in values:
            form.fields[name] = values.get("value", "on" if kind in {"checkbox", "radio"} else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "title":
            self.title.append(data)
        elif inside not in {"script", "style"}:
            if inside == "a" and self.links:
                self.links[-1][1].append(data)
            self.words.append(data)
