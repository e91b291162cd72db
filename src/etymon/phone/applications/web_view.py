# SPDX-License-Identifier: Apache-2.0
"""A web view without a screen: follows redirects, keeps cookies, sends forms that ask the person nothing."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import httpx

from etymon.card.tls import TLSIdentity
from etymon.kernel.errors import NotPermitted, Unavailable
from etymon.phone.connection import TIMEOUT_SECONDS, Caller, DeviceTransport
from etymon.phone.device import Device

MOST_REDIRECTS: Final = 20
MOST_FORMS: Final = 10
_SILENT_INPUTS: Final = frozenset({"hidden", "submit", "button"})


@dataclass(slots=True)
class Form:
    """A form of a page; `silent` when it has nothing to fill in and one way to send it."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: int = 0
    asks: bool = False

    @property
    def silent(self) -> bool:
        """Whether sending it needs no decision."""
        return not self.asks and self.buttons <= 1


@dataclass(frozen=True, slots=True)
class Page:
    """What the view shows."""

    url: str
    status: int
    text: str
    code: str
    """`data-code` of the page's main part (docs/protocols/certificate-proof.md)."""
    forms: tuple[Form, ...]

    @property
    def origin(self) -> tuple[str, str]:
        """Scheme and authority of the page's address."""
        parts = urlsplit(self.url)
        return parts.scheme, parts.netloc


class WebView:
    """A browser of one app. Servers that ask for a client certificate get `identity`'s."""

    def __init__(self, device: Device, identity: TLSIdentity | None) -> None:
        self._client = httpx.Client(
            transport=DeviceTransport(device, identity, caller=Caller.APP),
            timeout=TIMEOUT_SECONDS,
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            headers={"User-Agent": "etymon-phone-webview", "Accept": "text/html, */*"},
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def open(self, url: str) -> Page:
        """Go to an address."""
        return self._load("GET", url, {})

    def send(self, page: Page, form: Form) -> Page:
        """Send a form of a page as it stands."""
        return self._load(form.method, urljoin(page.url, form.action or page.url), form.fields)

    def follow_silent_forms(self, page: Page, *, until: tuple[str, str]) -> Page:
        """Send each page's silent form until a page of the origin `until` is reached.

        `NotPermitted` with the page's code where a page refuses, or asks for something a person has to decide.
        """
        for _ in range(MOST_FORMS):
            if page.status >= httpx.codes.BAD_REQUEST:
                raise NotPermitted(page.code or f"http_{page.status}", "The sign-in page refused.")
            if page.origin == until:
                return page
            silent = [form for form in page.forms if form.silent]
            if len(silent) != 1:
                break
            page = self.send(page, silent[0])
        raise NotPermitted(page.code or "sign_in_stopped", "The sign-in did not come back to the application.")

    def _load(self, method: str, url: str, fields: dict[str, str]) -> Page:
        try:
            if method == "POST":
                origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
                answer = self._client.post(url, data=fields, headers={"Origin": origin})
            else:
                answer = self._client.get(url, params=fields or None)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable("server_unreachable", f"The page does not load: {exc}") from exc
        reader = _Reader()
        if answer.headers.get("content-type", "").startswith("text/html"):
            reader.feed(answer.text)
        return Page(str(answer.url), answer.status_code, answer.text, reader.code, tuple(reader.forms))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.code = ""
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of forms, their fields and the page's code."""
        values = {name: value or "" for name, value in attrs}
        if tag == "main":
            self.code = values.get("data-code", "")
        elif tag == "form":
            self._open = Form(values.get("action", ""), values.get("method", "get").upper())
            self.forms.append(self._open)
        elif self._open is not None:
            _add(self._open, tag, values)

    def handle_endtag(self, tag: str) -> None:
        """Close the form."""
        if tag == "form":
            self._open = None


def _add(form: Form, tag: str, values: dict[str, str]) -> None:
    kind = values.get("type", "text" if tag == "input" else "submit").lower()
    if tag in {"select", "textarea"} or (tag == "input" and kind not in _SILENT_INPUTS):
        form.asks = True
    elif tag == "button" or (tag == "input" and kind == "submit"):
        form.buttons += kind == "submit"
    if tag in {"input", "button"} and values.get("name") and kind in {"hidden", "submit"}:
        form.fields[values["name"]] = values.get("value", "")
