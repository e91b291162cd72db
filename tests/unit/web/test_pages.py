# SPDX-License-Identifier: Apache-2.0
import gettext
import re

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route

from etymon.kernel.errors import NotFound, Throttled
from etymon.web.branding import GROUND, LARGEST_LOGO_BYTES, READABLE, Branding, Logo, contrast
from etymon.web.exchange import Request
from etymon.web.pages import PageErrors, Pages

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def pages() -> Pages:
    return Pages("etymon.web", Branding("Agency"))


def error_page(pages: Pages, **values: str) -> str:
    shown = {"code": "some_code", "detail": "Do this.", "reference": "", "home": "/", **values}
    return bytes(pages.page("error.html", shown).body).decode()


def test_a_page_allows_nothing_but_its_own_files(pages: Pages) -> None:
    headers = pages.page("error.html", {"code": "c", "detail": "d", "reference": "", "home": "/"}).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["referrer-policy"] == "same-origin"


def test_no_page_carries_script_or_style_of_its_own(pages: Pages) -> None:
    text = error_page(pages)

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)|javascript:", text)


def test_what_comes_from_outside_is_escaped(pages: Pages) -> None:
    text = error_page(pages, detail="<script>alert(1)</script>", code='"><img src=x>')

    assert "<script>alert" not in text
    assert "<img src=x>" not in text


def test_a_missing_value_is_an_error_and_not_an_empty_word(pages: Pages) -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.page("error.html", {"code": "c"})


def test_files_have_addresses_that_change_with_their_content(pages: Pages) -> None:
    other = Pages("etymon.web", Branding("Agency", color="#aa0000"))

    assert pages.asset_url("brand.css") != other.asset_url("brand.css")
    assert pages.asset_url("brand.css") == Pages("etymon.web", Branding("Agency")).asset_url("brand.css")
    with pytest.raises(KeyError):
        pages.asset_url("missing.css")


def test_every_file_a_page_names_is_served(pages: Pages) -> None:
    named = set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', error_page(pages)))
    (route,) = pages.static_routes()
    assert isinstance(route, Route)

    assert len(named) >= 4
    for name in named:
        match, _ = route.matches({"type": "http", "path": name, "method": "GET", "root_path": ""})
        assert match.name == "FULL", name


def test_vendored_files_come_with_their_licence_and_version(pages: Pages) -> None:
    assert "Pico CSS" in pages._assets["vendor/pico/pico.min.css"].content.decode()[:200]  # noqa: SLF001
    assert not [name for name in pages._assets if name.endswith((".txt", ".md"))]  # noqa: SLF001


def test_a_logo_is_a_file_of_its_own() -> None:
    logo = Logo("image/png", PNG)
    pages = Pages("etymon.web", Branding("Agency", logo=logo))

    assert f'src="{pages.asset_url(logo.file_name)}"' in error_page(pages)


@pytest.mark.parametrize(
    ("media_type", "content"), [("image/svg+xml", b"<svg/>"), ("image/png", bytes(LARGEST_LOGO_BYTES + 1))]
)
def test_a_logo_that_may_carry_script_or_is_huge_is_refused(media_type: str, content: bytes) -> None:
    with pytest.raises(ValueError, match="a logo"):
        Logo(media_type, content)


@pytest.mark.parametrize("color", ["red", "#fff", "#GGGGGG", "#0B5CAD", "#0b5cad;}body{", ""])
def test_a_colour_is_six_digits(color: str) -> None:
    with pytest.raises(ValueError, match="#rrggbb"):
        Branding("Agency", color=color)


@given(st.integers(0, 0xFFFFFF))
def test_text_and_links_can_be_read_whatever_the_colour(value: int) -> None:
    branding = Branding("Agency", color=f"#{value:06x}")

    assert contrast(branding.text_color, branding.color) >= READABLE
    assert contrast(branding.link_color, GROUND) >= READABLE
    assert contrast(branding.link_color, "#ffffff") >= READABLE


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def asking(languages: str) -> Request:
    return Request(
        method="GET",
        path="/",
        path_parameters={},
        query={},
        headers={"accept-language": languages},
        cookies={},
        body=b"",
        peer=None,
        client_address="127.0.0.1",
    )


class Shouting(gettext.NullTranslations):
    """A language in which everything is in capitals."""

    def gettext(self, message: str) -> str:
        return message.upper()


def test_a_page_speaks_the_language_the_browser_asks_for() -> None:
    pages = Pages("etymon.web", Branding("Agency"), translations={"xx": Shouting()})
    values = {"code": "c", "detail": "d", "reference": "", "home": "/"}

    loud = bytes(pages.page("error.html", values, request=asking("fr, xx-YY;q=0.8, en")).body)
    plain = bytes(pages.page("error.html", values, request=asking("fr")).body)

    assert b'lang="xx"' in loud
    assert b"THAT DID NOT WORK" in loud
    assert b'lang="en"' in plain
    assert b"That did not work" in plain


def test_an_error_is_a_page_with_its_code(pages: Pages) -> None:
    errors = PageErrors(pages, home="/start")

    found = errors.expected(NotFound("page_unknown", "There is nothing here."))
    waiting = errors.expected(Throttled(retry_after_seconds=7))
    crashed = errors.unexpected("abc123")

    assert found.status_code == 404
    assert b'data-code="page_unknown"' in found.body
    assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "7")
    assert crashed.status_code == 500
    assert b"abc123" in crashed.body
