# SPDX-License-Identifier: Apache-2.0
"""nginx as relying party: whom it lets in, and whom not any more once revoked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etymon.server.demo.peers import curl, nginx, programs
from etymon.server.demo.peers.credentials import Credential
from etymon.server.demo.peers.daemons import Daemon, DidNotStart, Log
from etymon.server.demo.peers.nginx import Nginx
from etymon.server.demo.peers.programs import Verdict
from etymon.server.demo.peers.revocation import ByCRL, ByOCSP, Revocation
from support.peer_pki import MAIL, PeerPKI, answering, soft_token

pytestmark = pytest.mark.needs("nginx", "curl")


class Site:
    """An nginx and a curl that asks it."""

    def __init__(self, server: Nginx, pki: PeerPKI, directory: Path) -> None:
        self.server = server
        self._pki = pki
        self._directory = directory

    def judge(self, credential: Credential | None, *options: str) -> tuple[int, Verdict, str]:
        """Return curl's HTTP status, nginx's verdict and nginx's reason."""
        since = self.server.log.position()
        answer = curl.get(
            self.server.url,
            server_anchors=self._pki.server_anchors,
            directory=self._directory,
            credential=credential,
            options=options,
        )
        judged = self.server.judgement(since=since)
        return answer.status, judged.verdict, judged.reason


@pytest.fixture
def pki(tmp_path: Path) -> PeerPKI:
    return PeerPKI(tmp_path)


def site(pki: PeerPKI, directory: Path, revocation: Revocation) -> Iterator[Site]:
    with nginx.serving(directory / "nginx", pki.server().files, anchors=pki.anchors, revocation=revocation) as server:
        yield Site(server, pki, directory)


@pytest.fixture
def site_with_crl(pki: PeerPKI, tmp_path: Path) -> Iterator[Site]:
    yield from site(pki, tmp_path, ByCRL(pki.crls))


@pytest.fixture
def site_with_ocsp(pki: PeerPKI, tmp_path: Path) -> Iterator[Site]:
    yield from site(pki, tmp_path, ByOCSP())


@pytest.mark.parametrize("protocol", [("--tls-max", "1.2"), ("--tlsv1.3",)], ids=["tls12", "tls13"])
def test_a_client_is_refused_from_the_list_that_names_it_and_another_is_not(
    site_with_crl: Site, pki: PeerPKI, protocol: tuple[str, ...]
) -> None:
    alice, bob = pki.client("alice@agency.example"), pki.client("bob@agency.example")
    assert site_with_crl.judge(alice.files, *protocol) == (200, Verdict.ACCEPTED, "")
    assert site_with_crl.judge(bob.files, *protocol) == (200, Verdict.ACCEPTED, "")

    pki.revoke(alice)
    assert site_with_crl.judge(alice.files, *protocol)[1] is Verdict.ACCEPTED  # the old list is still in force
    site_with_crl.server.renew_crls(pki.crls)

    status, verdict, reason = site_with_crl.judge(alice.files, *protocol)
    assert (status, verdict) == (400, Verdict.REFUSED)
    assert "certificate revoked" in reason
    assert site_with_crl.judge(bob.files, *protocol) == (200, Verdict.ACCEPTED, "")


def test_a_client_is_refused_as_soon_as_the_responder_says_revoked_and_another_is_not(
    site_with_ocsp: Site, pki: PeerPKI
) -> None:
    with answering(pki.issuing) as responder:
        alice = pki.client("alice@agency.example", responder=responder)
        bob = pki.client("bob@agency.example", responder=responder)
        assert site_with_ocsp.judge(alice.files) == (200, Verdict.ACCEPTED, "")

        pki.revoke(alice)

        status, verdict, reason = site_with_ocsp.judge(alice.files)
        assert (status, verdict) == (400, Verdict.REFUSED)
        assert "certificate revoked" in reason
        assert site_with_ocsp.judge(bob.files) == (200, Verdict.ACCEPTED, "")


def test_nobody_is_let_in_while_the_responder_is_down(site_with_ocsp: Site, pki: PeerPKI) -> None:
    with answering(pki.issuing) as responder:
        alice = pki.client("alice@agency.example", responder=responder)
        assert site_with_ocsp.judge(alice.files)[1] is Verdict.ACCEPTED
    status, verdict, reason = site_with_ocsp.judge(alice.files)
    assert (status, verdict) == (400, Verdict.REFUSED)
    assert "while requesting certificate status" in reason


def test_a_certificate_that_names_no_responder_needs_a_configured_one(
    pki: PeerPKI, site_with_ocsp: Site, tmp_path: Path
) -> None:
    alice = pki.client("alice@agency.example")
    assert site_with_ocsp.judge(alice.files)[1] is Verdict.REFUSED
    with answering(pki.issuing) as responder:
        (other,) = (site(pki, tmp_path / "other", ByOCSP(responder)),)
        for configured in other:
            assert configured.judge(alice.files)[1] is Verdict.ACCEPTED


def test_no_certificate_a_certificate_for_mail_and_one_of_another_ca_are_refused(
    site_with_crl: Site, pki: PeerPKI, tmp_path: Path
) -> None:
    stranger = PeerPKI(tmp_path / "elsewhere", "Elsewhere").client("alice@agency.example")
    for credential, reason in (
        (None, "client sent no required SSL certificate"),
        (pki.client("alice@agency.example", purposes=MAIL).files, "unsuitable certificate purpose"),
        (stranger.files, "client SSL certificate verify error"),
    ):
        status, verdict, said = site_with_crl.judge(credential)
        assert (status, verdict) == (400, Verdict.REFUSED)
        assert reason in said


@pytest.mark.needs("softhsm2-util")
def test_a_key_in_a_token_opens_the_site_and_its_pin_is_in_no_record(
    site_with_crl: Site, pki: PeerPKI, tmp_path: Path
) -> None:
    alice = pki.client("alice@agency.example")
    token = soft_token(tmp_path / "token", alice)
    answer = curl.get(site_with_crl.server.url, server_anchors=pki.server_anchors, directory=tmp_path, credential=token)
    assert (answer.status, answer.body) == (200, b"SUCCESS CN=alice@agency.example,O=Agency\n")
    assert answer.judgement.program == "curl"
    assert token.pin.reveal() not in str(answer.judgement.to_document())
    assert not list(tmp_path.glob("pin*"))


def test_curl_does_not_believe_a_server_of_another_ca(site_with_crl: Site, tmp_path: Path) -> None:
    other = PeerPKI(tmp_path / "elsewhere", "Elsewhere")
    answer = curl.get(site_with_crl.server.url, server_anchors=other.server_anchors, directory=tmp_path)
    assert (answer.status, answer.alert, answer.judgement.verdict) == (0, None, Verdict.REFUSED)
    assert answer.judgement.reason.startswith("curl: (60)")


@pytest.mark.needs("openssl")
def test_a_server_that_refuses_in_the_handshake_is_quoted_by_its_alert(pki: PeerPKI, tmp_path: Path) -> None:
    stranger = PeerPKI(tmp_path / "elsewhere", "Elsewhere").client("alice@agency.example")
    server = pki.server().files
    log = Log(tmp_path / "s_server.log")
    daemon = Daemon(
        programs.required("openssl"),
        [
            *("s_server", "-accept", "127.0.0.1:0", "-www", "-CAfile", pki.server_anchors),
            *("-cert", server.certificate, "-key", server.key, "-Verify", "2", "-verify_return_error"),
        ],
        directory=tmp_path,
        log=log,
        ready=lambda since: bool(log.lines(r"^ACCEPT .*:\d+$", since=since)),
    )
    daemon.start()
    try:
        port = log.lines(r"^ACCEPT .*:\d+$")[0].rpartition(":")[2]
        answer = curl.get(
            f"https://localhost:{port}/",
            server_anchors=pki.server_anchors,
            directory=tmp_path,
            credential=stranger.files,
        )
    finally:
        daemon.stop()
    assert (answer.status, answer.alert, answer.judgement.verdict) == (0, "unknown CA", Verdict.REFUSED)


def test_a_list_that_cannot_be_read_is_not_put_in_force(site_with_crl: Site, pki: PeerPKI) -> None:
    with pytest.raises(DidNotStart, match="emerg"):
        site_with_crl.server.renew_crls(b"no list")
    assert site_with_crl.judge(pki.client("alice@agency.example").files)[1] is Verdict.ACCEPTED


def test_nginx_that_does_not_start_is_quoted(pki: PeerPKI, tmp_path: Path) -> None:
    with (
        pytest.raises(DidNotStart, match="no certificate or crl found"),
        nginx.serving(tmp_path / "nginx", pki.server().files, anchors=b"", revocation=ByCRL(b"")),
    ):
        pass
