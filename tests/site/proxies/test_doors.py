# SPDX-License-Identifier: Apache-2.0
"""What TLS says at each door of a proxy, as OpenSSL sees it; and how the proxy learns whose certificates to ask for."""

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from etymon.directory import trust
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.server.command_line import app
from etymon.server.proxy_files import CLIENT_CAS, UPSTREAM_CAS
from support import declared_pki, patience, programs
from support.fronted_site import FrontedSite
from support.whole_site import TEST

pytestmark = pytest.mark.needs("openssl")

REQUEST = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def handshake(fronted: FrontedSite, door: str, *arguments: str | Path) -> str:
    """Have OpenSSL speak to a door of the proxy; return everything it tells of it."""
    address = f"127.0.0.1:{fronted.proxy.public[door]}"
    command = [programs.required("openssl"), "s_client", "-connect", address, "-servername", fronted.proxy.host]
    done = subprocess.run(
        [*map(str, command), "-msg", "-ign_eof", *map(str, arguments)],
        input=REQUEST,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout + done.stderr


def asks(told: str) -> bool:
    return "CertificateRequest" in told


def names(told: str) -> str:
    """Return the part that lists the CAs whose certificates are asked for."""
    return told.partition("Acceptable client certificate CA names")[2].partition("Requested Signature")[0]


def test_only_certauth_and_device_ask_for_a_certificate_and_name_the_accepted_cas(fronted: FrontedSite) -> None:
    assert not asks(handshake(fronted, "site"))
    for door in ("certauth", "device"):
        told = handshake(fronted, door)
        assert asks(told)
        for entry in (fronted.site.cards.entry(), *own_entries(fronted)):
            for certificate in (*entry.anchors, *entry.intermediates):
                common_name = certificate.subject.rfc4514_string().partition("CN=")[2].partition(",")[0]
                assert common_name in names(told)


def own_entries(fronted: FrontedSite) -> tuple[TrustEntry, ...]:
    with fronted.site.deployment.database.snapshot() as tx:
        return tuple(trust.entry(tx, name) for name in ("derived", "device"))


def test_each_door_speaks_the_versions_it_should(fronted: FrontedSite) -> None:
    for door, old in (("site", True), ("device", True), ("certauth", False)):
        assert ("Cipher is (NONE)" not in handshake(fronted, door, "-tls1_2")) is old, door
        assert "Cipher is (NONE)" not in handshake(fronted, door, "-tls1_3"), door
        assert "Cipher is (NONE)" in handshake(fronted, door, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), door


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_session_is_resumed_where_a_certificate_is_shown(fronted: FrontedSite, tmp_path: Path, version: str) -> None:
    for door in ("device",) if version == "-tls1_2" else ("certauth", "device"):
        kept = tmp_path / f"{door}.session"
        assert "Reused" not in handshake(fronted, door, version, "-sess_out", kept)
        if kept.exists():
            told = handshake(fronted, door, version, "-sess_in", kept)
            assert "New, TLSv1" in told
            assert "Reused" not in told


def test_certauth_keeps_no_connection(fronted: FrontedSite) -> None:
    settings = fronted.site.deployment.settings
    answer = fronted.site.client().get(f"{settings.certauth_url}/nothing")
    assert (answer.status_code, answer.headers["connection"]) == (404, "close")


def test_the_hop_behind_the_proxy_is_verified(fronted: FrontedSite) -> None:
    """With other CAs in the file, nobody gets through; the file put right, everybody does."""
    proxy, site = fronted.proxy, fronted.site
    right = (proxy.directory / UPSTREAM_CAS).read_bytes()
    wrong = declared_pki.root(site.clock.now()).certificate.public_bytes(Encoding.PEM)
    (proxy.directory / UPSTREAM_CAS).write_bytes(wrong)
    proxy.reload()
    patience.until(lambda: at_site(fronted) in {502, 503}, "the proxy trusts another CA")
    assert proxy.learn(site.directory / "data") == (UPSTREAM_CAS,)
    assert (proxy.directory / UPSTREAM_CAS).read_bytes() == right
    proxy.reload()
    patience.until(lambda: at_site(fronted) == 200, "the proxy trusts the site again")


def test_the_sites_own_certificate_is_for_every_public_host(fronted: FrontedSite) -> None:
    proxy = fronted.proxy
    shown = ssl.get_server_certificate(("127.0.0.1", proxy.upstream["certauth"]))
    extension = x509.load_pem_x509_certificate(shown.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert set(extension.value.get_values_for_type(x509.DNSName)) == {proxy.host, proxy.certauth_host}


def at_site(fronted: FrontedSite) -> int:
    return fronted.site.client().get("/healthz").status_code


def test_a_new_trust_entry_reaches_the_proxy_by_one_command(fronted: FrontedSite) -> None:
    site, proxy = fronted.site, fronted.proxy
    arguments = ["proxy-files", str(proxy.directory), "--data", str(site.directory / "data")]
    unchanged = CliRunner().invoke(app, arguments)
    assert (unchanged.exit_code, unchanged.output) == (0, "")

    root = declared_pki.root(site.clock.now(), name="Newcomers Root")
    entry = TrustEntry(
        name="newcomers",
        kind=TrustKind.CARD,
        anchors=(root.certificate,),
        policies=frozenset({declared_pki.CARD_POLICY}),
        identifier=IdentifierKind.UUID,
    )
    with site.deployment.database.transaction() as tx:
        trust.save(tx, site.wiring.directory, entry, actor=TEST)
    changed = CliRunner().invoke(app, arguments)
    assert (changed.exit_code, changed.output) == (0, f"{proxy.directory / CLIENT_CAS}\n")
    assert "Newcomers Root" not in names(handshake(fronted, "certauth"))
    proxy.reload()
    patience.until(lambda: "Newcomers Root" in names(handshake(fronted, "certauth")), "the proxy names the new CA")
    assert "Newcomers Root" in names(handshake(fronted, "device"))
