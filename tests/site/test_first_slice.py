# SPDX-License-Identifier: Apache-2.0
"""The story the product must make true: card, device login, phone, derived credential, relying party, revocation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import authorities
from etymon.phone.state import Purpose, ResultState
from etymon.server.demo.peers import nginx, openssl_status
from etymon.server.demo.peers.nginx import Nginx
from etymon.server.demo.peers.programs import Verdict
from etymon.server.demo.peers.revocation import ByCRL, ByOCSP, Revocation
from support import site_pages
from support.held_phone import HeldPhone
from support.peer_pki import PeerPKI
from support.whole_site import ALL_PURPOSES, WholeSite

APP = "org.example.browser"
DERIVED = ("derived", "derived-root")


def crls(site: WholeSite) -> bytes:
    """Fetch the lists a relying party's operator configures, as PEM."""
    found = [site.client().get(f"{site.status_url}/crl/{name}.crl") for name in DERIVED]
    return b"".join(x509.load_der_x509_crl(one.content).public_bytes(Encoding.PEM) for one in found)


def chain(site: WholeSite) -> bytes:
    with site.deployment.database.snapshot() as tx:
        found = [authorities.load(tx, name).certificate for name in DERIVED]
    return b"".join(one.public_bytes(Encoding.PEM) for one in found)


class RelyingParty:
    """An nginx that lets in whoever shows a derived credential."""

    def __init__(self, server: Nginx) -> None:
        self.server = server

    def judge(self, held: HeldPhone) -> tuple[int, Verdict, str]:
        """Have a phone open the web site; return what it got and what nginx says of it."""
        since = self.server.log.position()
        page = held.phone.get(APP, self.server.url, approve=lambda _: True)
        judged = self.server.judgement(since=since)
        return page.status, judged.verdict, judged.reason


@contextmanager
def relying_party(site: WholeSite, pki: PeerPKI, directory: Path, revocation: Revocation) -> Iterator[RelyingParty]:
    with nginx.serving(directory, pki.server().files, anchors=chain(site), revocation=revocation) as server:
        yield RelyingParty(server)


def with_credential(site: WholeSite, name: str, pki: PeerPKI) -> HeldPhone:
    """Return somebody's phone with everything on it, unlocked."""
    card = site.card_for(name, group=ALL_PURPOSES)
    held = site.enroll(site.new_phone(roots=[pki.tls.certificate]), card)
    held.check_in()
    assert [note.action for note in held.notifications] == ["setUpDerivedCredential"]
    site.derive(held, card)
    held.check_in()
    assert [result.state for _, result in held.phone.status().policies if result] == [ResultState.SUCCEEDED]
    assert {found.purpose for found in held.phone.status().certificates} == set(Purpose)
    held.unlock()
    return held


@pytest.mark.needs("nginx", "openssl")
def test_from_the_card_to_a_relying_party_and_to_the_end(either_site: WholeSite, tmp_path: Path) -> None:
    site, pki = either_site, PeerPKI(tmp_path / "outside")
    alice, bob = (with_credential(site, name, pki) for name in ("slice-alice", "slice-bob"))
    accepted = (200, Verdict.ACCEPTED, "")
    with (
        relying_party(site, pki, tmp_path / "by-ocsp", ByOCSP()) as by_ocsp,
        relying_party(site, pki, tmp_path / "by-crl", ByCRL(crls(site))) as by_crl,
    ):
        for party in (by_ocsp, by_crl):
            assert [party.judge(alice), party.judge(bob)] == [accepted, accepted]

        browser = site.browser(site.card_for("slice-alice"))
        page = site_pages.expect(site_pages.present_card(browser, site.url), "home")
        end = next(url for url, _ in page.links if url.endswith("/end"))
        page = browser.get(end)
        page = browser.submit(page.form(action="/end"), {"reason": "keyCompromise"})
        assert "ended" in page.url
        site.settle()

        status, verdict, reason = by_ocsp.judge(alice)  # at once
        assert (status, verdict) == (400, Verdict.REFUSED)
        assert "certificate revoked" in reason
        by_crl.server.renew_crls(crls(site))  # with the list that was published for it
        status, verdict, reason = by_crl.judge(alice)
        assert (status, verdict) == (400, Verdict.REFUSED)
        assert "certificate revoked" in reason
        for party in (by_ocsp, by_crl):
            assert party.judge(bob) == accepted

    assert openssl(site, alice, tmp_path) == (Verdict.REFUSED, "revoked")
    assert openssl(site, bob, tmp_path) == (Verdict.ACCEPTED, "")


def openssl(site: WholeSite, held: HeldPhone, directory: Path) -> tuple[Verdict, str]:
    """Have OpenSSL ask the responder about each of the phone's certificates; they stand and fall together."""
    issuing, root = chain(site).split(b"-----END CERTIFICATE-----\n")[:2]
    ending = b"-----END CERTIFICATE-----\n"
    verdicts = set()
    for purpose in Purpose:
        certificate = directory / f"{purpose.value}.pem"
        certificate.write_bytes(held.credential(purpose).certificate.public_bytes(Encoding.PEM))
        judged = openssl_status.ask(
            certificate,
            issuer=issuing + ending,
            responder=f"{site.status_url}/ocsp/derived",
            anchors=root + ending + issuing + ending,
            directory=directory,
        )
        verdicts.add((judged.verdict, judged.reason.rpartition(": ")[2]))
    (verdict,) = verdicts
    return verdict
