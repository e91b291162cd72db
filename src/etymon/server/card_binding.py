# SPDX-License-Identifier: Apache-2.0
"""Binding a software card to its holder's account with a one-time code and no browser (docs/protocols/sign-in.md).

The identity provider's pages are followed as a browser would follow them; nothing is sent to another host.
"""

from typing import Final
from urllib.parse import urlsplit

import httpx

from etymon.card.server_trust import ServerNotTrusted
from etymon.kernel.errors import NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.server.apply.card_sign_in import OneHost, told
from etymon.server.demo.browser import Browser
from etymon.server.demo.page import Page

PATH: Final = "/idp/binding"


def bind(site_url: str, transport: httpx.BaseTransport, code: Secret[str]) -> str:
    """Bind the card that `transport` proves, and return the sentence that says to whom; closes `transport`.

    Raises NotPermitted with the page's code and reason where the card or the code is refused, and Unavailable.
    """
    own = OneHost(transport, urlsplit(site_url).hostname or "")
    try:
        with Browser(own) as browser:
            page = browser.get(site_url + PATH)
            if page.status != httpx.codes.OK:
                raise Unavailable("not_a_site", f"{site_url}{PATH} answers {page.status}. Is that the site's address?")
            page = browser.submit(page.form(action=f"{PATH}/proof"))
            if page.code != "ok":
                raise _refused("The card is refused", page)
            page = browser.submit(page.form(action=f"{PATH}/code"), {"code": code.reveal()})
    except ServerNotTrusted as exc:
        advice = "Name the site's TLS anchors with --ca, or its data directory with --data."
        raise NotPermitted(exc.code, f"{exc.detail.rstrip('.')}. {advice}") from exc
    except httpx.TransportError as exc:
        told_why = f"{site_url} cannot be reached with the card. Is it running? {exc}."
        raise Unavailable("site_unreachable", told_why) from exc
    if page.code != "card_bound":
        raise _refused("The code is refused", page)
    return page.notice


def _refused(what: str, page: Page) -> NotPermitted:
    return NotPermitted(page.code or "binding_refused", f"{what}: {page.notice or told(page)}")
