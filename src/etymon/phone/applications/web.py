# SPDX-License-Identifier: Apache-2.0
"""Web sites and web apps: mutual TLS, and sign-in through the identity provider (docs/protocols/sign-in.md)."""

from etymon.kernel.errors import NotPermitted
from etymon.phone.applications.access import Approve, identity
from etymon.phone.applications.web_view import Page, WebView
from etymon.phone.device import Device


def get(device: Device, package: str, url: str, *, approve: Approve) -> Page:
    """Return a page of a site that asks for the certificate itself."""
    with WebView(device, identity(device, package, approve)) as view:
        return view.open(url)


def sign_in(device: Device, package: str, url: str, *, approve: Approve) -> Page:
    """Open an application's sign-in address and return the application's page once it has signed the person in.

    The application sends the browser to the identity provider, which asks for a certificate on its certauth listener:
    no password, and nothing for the person to type but the activation secret before.
    """
    with WebView(device, identity(device, package, approve)) as view:
        page = view.open(url)
        start = Page(url, page.status, "", "", ()).origin
        if page.origin == start:
            raise NotPermitted("no_sign_in", "The application did not ask anybody to sign in.")
        return view.follow_silent_forms(page, until=start)
