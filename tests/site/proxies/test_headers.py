# SPDX-License-Identifier: Apache-2.0
"""Who is believed when a header names a certificate or an address: the configured proxy, and nobody else.

A proxy's client may send the proxy's headers; anybody may speak to a listener past the proxy.
"""

from collections.abc import Sequence
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.server.demo.browser import Browser
from support import issued_identities, phone_messages, site_pages
from support.fronted_site import CHECK_IN, FrontedSite, Headers, byte_sequence, values
from support.phone_messages import told
from support.traffic import Exchange

NOBODY = (401, "device_identity_required")
KNOWN = (403, "device_not_managed")
"""What a device identity gets that was issued, and never enrolled."""


def escaped(certificate: x509.Certificate) -> str:
    return quote(certificate.public_bytes(Encoding.PEM).decode(), safe="")


def spellings(certificate: x509.Certificate) -> Sequence[Headers]:
    """Return ways to claim a certificate, or an address along with it."""
    sequence, pem = byte_sequence(certificate), escaped(certificate)
    return (
        [("Client-Cert", sequence)],
        [("client-cert", pem)],
        [("Client-Cert", sequence), ("CLIENT-CERT", pem)],
        [("Client-Cert", ""), ("Client-Cert", sequence)],
        [("Client_Cert", sequence), ("X-SSL-Client-Cert", pem), ("X-Forwarded-Client-Cert", pem)],
        [("Client-Cert", sequence), ("Connection", "Client-Cert, X-Forwarded-For")],
        [("Client-Cert", sequence), ("X-Forwarded-For", "127.0.0.2"), ("Forwarded", "for=127.0.0.2")],
    )


def heard(fronted: FrontedSite, since: int, *paths: str) -> Sequence[Exchange]:
    """Return the requests for these addresses; the site's own parts speak to each other meanwhile."""
    return [exchange for exchange in fronted.site.traffic.since(since) if exchange.path in paths]


@pytest.mark.parametrize("way", range(7))
def test_a_client_of_the_proxy_is_not_believed(fronted: FrontedSite, way: int) -> None:
    site, since = fronted.site, fronted.site.traffic.position()
    device, mine = issued_identities.device(site), issued_identities.device(site)
    headers = spellings(device.certificate)[way]
    assert fronted.at_check_in(None, headers) == NOBODY
    assert fronted.at_check_in(mine, headers) == KNOWN
    site.client().get("/healthz", headers=list(headers))
    without, with_mine, at_site = heard(fronted, since, phone_messages.CHECK_IN, "/healthz")
    assert [len(values(each, "client-cert")) for each in (without, with_mine, at_site)] == [0, 1, 0]
    assert {tuple(values(each, "x-forwarded-for")) for each in (without, with_mine, at_site)} == {("127.0.0.1",)}


def test_a_browser_that_names_somebody_elses_card_is_itself(fronted: FrontedSite) -> None:
    site = fronted.site
    alice, bob = site.card_for("alice"), site.card_for("bob")
    claim = {"client-cert": byte_sequence(alice.made.authentication)}
    certauth = site.deployment.settings.certauth_url
    with Browser(site.transport(), site.transport(), certauth_origin=certauth, headers=claim) as without:
        assert fronted.refused(without, "idp") == (401, "no_certificate")
    with Browser(
        site.transport(), site.transport(bob.identity()), certauth_origin=certauth, headers=claim
    ) as with_bobs:
        page = site_pages.expect(site_pages.sign_in(with_bobs, site.url), "signed_in")
    assert "Bob Example" in page.words
    assert "Alice" not in page.words


def past(fronted: FrontedSite, source: str, headers: Headers) -> tuple[int, str]:
    """Say to the device listener itself that one has a certificate."""
    with fronted.past_the_proxy("device", source) as client:
        return told(client.post(phone_messages.CHECK_IN, json=CHECK_IN, headers=list(headers)))


def test_past_the_proxy_only_its_address_is_believed(fronted: FrontedSite) -> None:
    certificate = issued_identities.device(fronted.site).certificate
    for claim in (byte_sequence(certificate), escaped(certificate)):
        assert past(fronted, "127.0.0.2", [("Client-Cert", claim)]) == KNOWN
        for stranger in ("127.0.0.1", "127.0.0.3"):
            headers = [("Client-Cert", claim), ("X-Forwarded-For", "127.0.0.2")]
            assert past(fronted, stranger, headers) == NOBODY
            last = heard(fronted, 0, phone_messages.CHECK_IN)[-1]
            assert last.headers.count(("client-cert", claim)) == 1, "it was heard"


def test_past_the_proxy_nobody_signs_in_with_a_header(fronted: FrontedSite) -> None:
    site = fronted.site
    card = site.card_for("alice")
    claim = {"client-cert": byte_sequence(card.made.authentication)}
    browser = site.browser()
    browser.get(f"{site.url}/idp/account")
    assert browser.page is not None
    asked = httpx.URL(browser.submit(browser.page.form(action="/idp/sign-in")).url)
    for source, status in (("127.0.0.1", 401), ("127.0.0.2", 200)):
        with fronted.past_the_proxy("certauth", source) as client:
            assert client.get(asked.raw_path.decode(), headers=claim).status_code == status


def test_a_proxy_that_hands_on_what_makes_no_sense_is_refused(fronted: FrontedSite) -> None:
    certificate = issued_identities.device(fronted.site).certificate
    sequence = byte_sequence(certificate)
    for headers in (
        [("Client-Cert", sequence), ("Client-Cert", sequence)],
        [("Client-Cert", sequence), ("client-cert", escaped(certificate))],
        [("Client-Cert", f"{sequence}, {sequence}")],
        [("Client-Cert", "(null)")],
        [("Client-Cert", ":%%%:")],
    ):
        assert past(fronted, "127.0.0.2", headers) == (400, "client_cert_header")


def test_metrics_are_for_those_who_come_past_the_proxy(fronted: FrontedSite) -> None:
    assert fronted.site.client().get("/metrics").status_code == 404
    for source, status in (("127.0.0.1", 200), ("127.0.0.2", 403)):
        with fronted.past_the_proxy("site", source) as client:
            assert client.get("/metrics").status_code == status
