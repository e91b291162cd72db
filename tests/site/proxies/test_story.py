# SPDX-License-Identifier: Apache-2.0
"""The same story and the same refusals as without a proxy, behind nginx and behind HAProxy as deploy/ has them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from etymon.ca import revocation
from etymon.ca.model import RevocationReason
from etymon.card.external_key import SoftwareKey
from etymon.card.tls import TLSIdentity
from etymon.directory import trust
from etymon.mdm import lifecycle
from etymon.mdm.check_in import LONGEST_WAIT
from etymon.phone.state import Purpose
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from support import declared_pki, issued_identities, patience, phone_messages, site_pages
from support.declared_pki import CARD_POLICY, Certified
from support.event_origins import origins
from support.fronted_site import FrontedSite, values
from support.proxies import ADDRESS, DEPLOY
from support.whole_site import ALL_PURPOSES, TEST, WholeSite

NO_CERTIFICATE = {(401, "no_certificate")}


def test_the_whole_way(fronted: FrontedSite) -> None:
    site, since = fronted.site, fronted.site.traffic.position()
    with origins(site) as written:
        card = site.card_for("way", group=ALL_PURPOSES)
        site_pages.expect(site_pages.sign_in(site.browser(card), site.url), "signed_in")
        held = site.derive(site.enroll(site.new_phone(), card), card)
        held.check_in()
        assert {found.purpose for found in held.phone.status().certificates} == set(Purpose)
        held.unlock()
        site_pages.expect(site_pages.sign_in(site.browser(held.credential()), site.url), "signed_in")

    assert fronted.certificates_handed_on(since) == {"site": {0}, "certauth": {1}, "device": {1}}
    assert {tuple(values(each, "x-forwarded-for")) for each in site.traffic.since(since)} == {("127.0.0.1",)}
    assert {row["source"] for row in written.of_requests()} == {"127.0.0.1"}, f"{ADDRESS} is the proxy's"


def test_a_waiting_check_in_is_answered_at_once_when_there_is_news(fronted: FrontedSite) -> None:
    site = fronted.site
    device, identity = phone_messages.enrolled(site, site.card_for("alice"))
    client = site.client(identity, base_url=site.device_url)
    known = phone_messages.check_in(client).json()["version"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(phone_messages.check_in, client, known=known, wait=int(LONGEST_WAIT.total_seconds()))
        patience.until(lambda: site.wiring.mdm.wake_ups.is_anybody_asleep(device), "the check-in waits")
        with site.deployment.database.transaction() as tx:
            lifecycle.retire(tx, site.wiring.mdm, device, actor=TEST)
        assert [command["type"] for command in answer.result(timeout=30).json()["commands"]] == ["retire"]


@pytest.mark.parametrize("file", ["nginx/etymon-upstream.conf", "haproxy/etymon.cfg"])
def test_no_proxy_gives_up_on_a_check_in_that_waits(file: str) -> None:
    told = re.findall(
        r"^\s*(?:proxy_read_timeout|timeout client|timeout server) +(\d+)s;?$",
        (DEPLOY / file).read_text(),
        re.MULTILINE,
    )
    assert told
    assert all(timedelta(seconds=int(seconds)) > LONGEST_WAIT for seconds in told)


def test_who_shows_nothing_is_asked_for_a_certificate_by_the_application(fronted: FrontedSite) -> None:
    browser = fronted.site.browser()
    assert {fronted.refused(browser, service) for service in ("idp", "issuer")} == NO_CERTIFICATE
    assert fronted.at_check_in(None) == (401, "device_identity_required")


def test_a_certificate_of_the_wrong_kind_is_refused_at_either_door(fronted: FrontedSite) -> None:
    site = fronted.site
    assert fronted.refused_everywhere(issued_identities.device(site)) == {(403, "wrong_certificate_kind")}
    assert fronted.at_check_in(site.card_for("alice").identity()) == (403, "wrong_certificate_kind")


def test_a_revoked_certificate_is_refused_at_either_door(fronted: FrontedSite) -> None:
    site = fronted.site
    card, (_, identity) = site.card_for("lost"), phone_messages.enrolled(site, site.card_for("alice"))
    site_pages.expect(site_pages.sign_in(site.browser(card), site.url), "signed_in")
    assert fronted.at_check_in(identity) == (200, "")
    site.cards.issuer.revoke(card.made.authentication, RevocationReason.KEY_COMPROMISE)
    with site.deployment.database.transaction() as tx:
        revocation.revoke_serial(
            tx,
            site.deployment.ca,
            "device",
            identity.certificate.serial_number,
            RevocationReason.KEY_COMPROMISE,
            actor=TEST,
        )
    assert fronted.refused_everywhere(card.identity()) == {(403, "revoked_by_ocsp")}
    assert fronted.at_check_in(identity) == (403, "device_not_managed")


def test_a_certificate_whose_time_is_over_or_to_come_is_refused_at_either_door(fronted: FrontedSite) -> None:
    site = fronted.site
    now = site.clock.now()
    root = declared_pki.root(now)
    over = identity_of(root.issue(now, ends=timedelta(hours=-1)))
    to_come = identity_of(root.issue(now, starts=timedelta(days=1)))
    with trusting(site, root, TrustKind.CARD):
        assert fronted.refused_everywhere(over) == {(403, "expired")}
        assert fronted.refused_everywhere(to_come) == {(403, "not_yet_valid")}
    with trusting(site, root, TrustKind.DEVICE):
        assert fronted.at_check_in(over) == (403, "expired")
        assert fronted.at_check_in(to_come) == (403, "not_yet_valid")


def test_what_tls_itself_would_refuse_without_a_proxy_gets_an_answer(fronted: FrontedSite) -> None:
    """A certificate that nobody here trusts, and one whose purposes leave TLS clients out."""
    site = fronted.site
    now = site.clock.now()
    root = declared_pki.root(now)
    assert fronted.refused_everywhere(identity_of(root.issue(now))) == {(403, "untrusted_root")}
    assert fronted.at_check_in(identity_of(root.issue(now))) == (403, "wrong_certificate_kind")
    mail = identity_of(root.issue(now, purposes=(ExtendedKeyUsageOID.EMAIL_PROTECTION,)))
    with trusting(site, root, TrustKind.CARD):
        assert fronted.refused_everywhere(mail) == {(403, "wrong_certificate_kind")}


def test_a_copy_of_somebodys_certificate_with_another_key_proves_nothing(fronted: FrontedSite) -> None:
    site = fronted.site
    forged = Certified(site.card_for("alice").made.authentication, declared_pki.key())
    since = site.traffic.position()
    with pytest.raises(httpx.TransportError):
        site_pages.sign_in(site.browser(identity_of(forged)), site.url)
    assert "certauth" not in fronted.certificates_handed_on(since)


def identity_of(certified: Certified) -> TLSIdentity:
    return TLSIdentity(certified.certificate, SoftwareKey(certified.key))


@contextmanager
def trusting(site: WholeSite, root: Certified, kind: TrustKind) -> Iterator[None]:
    """Trust an outside authority for cards or for devices while the block runs."""
    entry = TrustEntry(
        name=f"outside-{kind.value}",
        kind=kind,
        anchors=(root.certificate,),
        policies=frozenset({CARD_POLICY}),
        identifier=IdentifierKind.UUID if kind is TrustKind.CARD else IdentifierKind.THUMBPRINT,
    )
    with site.deployment.database.transaction() as tx:
        trust.save(tx, site.wiring.directory, entry, actor=TEST)
    try:
        yield
    finally:
        with site.deployment.database.transaction() as tx:
            trust.remove(tx, site.wiring.directory, entry.name, actor=TEST)
