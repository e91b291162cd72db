# SPDX-License-Identifier: Apache-2.0
"""A whole site with a proxy in front of it, and both ways there: through the proxy, and past it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card.tls import TLSIdentity
from etymon.server.proxy_files import UPSTREAM_CAS
from support import phone_messages, site_pages, tls_files
from support.browser import Browser, Page
from support.phone_messages import told
from support.proxies import HAProxy, Nginx, Proxy
from support.traffic import Exchange
from support.whole_site import WholeSite

Headers = Sequence[tuple[str, str]]
DOORS: Final = {"idp": site_pages.sign_in, "issuer": site_pages.present_card}
CHECK_IN: Final = {"protocol": 1, "known": 0}

SITE: Final = "etymon.agency.example"
CERTAUTH: Final = "certauth.agency.example"


def behind_nginx(directory: Path) -> Proxy:
    """Every listener on one host, each on a port of its own."""
    return Nginx(directory)


def behind_haproxy(directory: Path) -> Proxy:
    """Certauth on a host of its own."""
    return HAProxy(directory, host=SITE, certauth_host=CERTAUTH)


ONE_HOST: Final = pytest.param(
    behind_nginx, id="nginx", marks=[pytest.mark.needs("nginx"), pytest.mark.xdist_group("nginx")]
)
CERTAUTH_ON_ITS_OWN_HOST: Final = pytest.param(
    behind_haproxy, id="haproxy", marks=[pytest.mark.needs("haproxy"), pytest.mark.xdist_group("haproxy")]
)
KINDS: Final = (ONE_HOST, CERTAUTH_ON_ITS_OWN_HOST)
"""What the fixture `fronted` is made of."""


@dataclass(frozen=True, slots=True)
class FrontedSite:
    """Everybody reaches `site` through `proxy`."""

    site: WholeSite
    proxy: Proxy

    def refused(self, browser: Browser, service: str) -> tuple[int, str]:
        """Return status and code of what certauth says: a page of the application, which names the reason."""
        page: Page = DOORS[service](browser, self.site.url)
        assert page.url.startswith(self.site.deployment.settings.certauth_url), page.url
        assert page.code in page.words
        assert len(page.words) > 100, "the page says more than a code"
        return page.status, page.code

    def refused_everywhere(self, identity: TLSIdentity) -> set[tuple[int, str]]:
        """Return what certauth says to it, whichever service sent the browser there."""
        return {self.refused(self.site.browser(identity), service) for service in DOORS}

    def at_check_in(self, identity: TLSIdentity | None, headers: Headers = ()) -> tuple[int, str]:
        """Return what the device listener says to whoever shows `identity`."""
        client = self.site.client(identity, base_url=self.site.device_url)
        return told(client.post(phone_messages.CHECK_IN, json=CHECK_IN, headers=list(headers)))

    def past_the_proxy(self, name: str, source: str) -> httpx.Client:
        """Return a program that speaks to a listener itself, from an address of this machine."""
        anchors = x509.load_pem_x509_certificates((self.proxy.directory / UPSTREAM_CAS).read_bytes())
        transport = httpx.HTTPTransport(verify=tls_files.trusting(anchors), local_address=source)
        url = f"https://{self.proxy.host}:{self.proxy.upstream[name]}"
        return httpx.Client(transport=transport, base_url=url, timeout=60)

    def certificates_handed_on(self, since: int = 0) -> Mapping[str, set[int]]:
        """Return, for each listener, how many Client-Cert headers its requests had."""
        found: dict[str, set[int]] = {}
        for exchange in self.site.traffic.since(since):
            found.setdefault(exchange.listener, set()).add(len(values(exchange, "client-cert")))
        return found


def values(exchange: Exchange, name: str) -> list[str]:
    """Return what a request had under the name of a header."""
    return [value for header, value in exchange.headers if header == name]


def byte_sequence(certificate: x509.Certificate) -> str:
    """Return a certificate as `Client-Cert` carries it (RFC 9440 §2.2)."""
    return f":{base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()}:"
