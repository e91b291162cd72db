# SPDX-License-Identifier: Apache-2.0
"""A page of ours as a browser shows it: what it says, its links, its forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

from etymon.kernel.errors import EtymonError


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
    notice: str
    """The visible text, and what alerts and statuses say of it; both with single spaces."""

    def form(self, *, id_: str | None = None, action: str | None = None) -> Form:
        """Return the one form that fits; with no wishes, the page's only form."""
        found = [f for f in self.forms if (id_ is None or f.id == id_) and (action is None or action in f.action)]
        told = f"{len(found)} forms fit on {self.url} ({self.status}, {self.code}): {self.words[:400]}"
        require(len(found) == 1, told)
        return found[0]


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
        notice=" ".join(" ".join(reader.notice).split()),
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
        self.notice: list[str] = []
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
        if tag in {"title", "a", "script", "style"} or values.get("role") in {"alert", "status"}:
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
            elif inside:
                self.notice.append(data)
            self.words.append(data)


def require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition and what is wrong without it
    """Raise PageUnexpected unless a condition holds."""
    if not holds:
        raise PageUnexpected(detail=otherwise)
