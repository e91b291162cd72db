# SPDX-License-Identifier: Apache-2.0
"""A browser without a screen: follows redirects, keeps cookies for a host over all its ports, fills in forms.

It has two ways out, httpx transports both: `site` for every address that never asks for a certificate, and `certauth`
for the listener that does. A certificate may come from a file, a token or a card. Without the second, `site` is all.
"""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Final, Self
from urllib.parse import urljoin

import httpx

from etymon.server.demo.page import Form, Page, PageUnexpected, read_page, require

MOST_REDIRECTS: Final = 15
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PATIENCE_SECONDS: Final = 60.0
"""How long one step of a connection may take."""


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
            require(bool(names), f"There is no button {button!r} among {form.buttons}.")
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
        require(len(found) == 1, f"{len(found)} links say {words!r} on {page.url if page else 'no page'}.")
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
        require(not (at_certauth and set_cookies), "Certauth set a cookie.")
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
                require(kept, f"The cookie {name} is not Secure, or has a path or a domain.")
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop((host, name), None)
            else:
                self.cookies[host, name] = morsel.value


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
