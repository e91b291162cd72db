# SPDX-License-Identifier: Apache-2.0
"""FreeRADIUS and a real supplicant: who gets onto the network by EAP-TLS, and who not any more once revoked."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.kernel.secret import Secret
from etymon.server.demo.peers import eapol_test, freeradius
from etymon.server.demo.peers.daemons import DidNotStart
from etymon.server.demo.peers.freeradius import FreeRADIUS
from etymon.server.demo.peers.programs import Judgement, Verdict
from etymon.server.demo.peers.revocation import ByCRL, ByOCSP, Revocation
from support.peer_pki import MAIL, Leaf, PeerPKI, answering, soft_token

pytestmark = pytest.mark.needs("freeradius", "eapol_test")

ALICE, BOB = "alice@agency.example", "bob@agency.example"
SERVER_NAME = "aaa.agency.example"
both_tls_versions = pytest.mark.parametrize("tls13", [False, True], ids=["tls12", "tls13"])


class Network:
    """A FreeRADIUS and a supplicant that asks it."""

    def __init__(self, server: FreeRADIUS, pki: PeerPKI, directory: Path) -> None:
        self.server = server
        self._pki = pki
        self._directory = directory

    def block(self, identity: str, leaf: Leaf, *, tls13: bool, server_name: str = SERVER_NAME) -> str:
        return eapol_test.network_block(
            identity, leaf.files, server_anchors=self._pki.server_anchors, server_name=server_name, tls13=tls13
        )

    def judge(self, identity: str, leaf: Leaf, *, tls13: bool = True) -> Judgement:
        """Return what FreeRADIUS decided; the supplicant has to have come to the same end."""
        since = self.server.log.position()
        tried = eapol_test.authenticate(self.block(identity, leaf, tls13=tls13), self.server, directory=self._directory)
        judged = self.server.judgement(since=since)
        assert tried.succeeded is (judged.verdict is Verdict.ACCEPTED)
        assert tried.judgement.verdict is judged.verdict
        assert tried.tls_version == ("TLSv1.3" if tls13 else "TLSv1.2")
        return judged


@pytest.fixture
def pki(tmp_path: Path) -> PeerPKI:
    return PeerPKI(tmp_path)


def network(pki: PeerPKI, directory: Path, revocation: Revocation) -> Iterator[Network]:
    server = pki.server(SERVER_NAME).files
    with freeradius.serving(
        directory / "radius", server, anchors=pki.anchors, revocation=revocation, secret=Secret("shared-by-test")
    ) as radius:
        yield Network(radius, pki, directory)


@pytest.fixture
def network_with_crl(pki: PeerPKI, tmp_path: Path) -> Iterator[Network]:
    yield from network(pki, tmp_path, ByCRL(pki.crls))


@pytest.fixture
def network_with_ocsp(pki: PeerPKI, tmp_path: Path) -> Iterator[Network]:
    yield from network(pki, tmp_path, ByOCSP())


@both_tls_versions
def test_a_supplicant_is_refused_from_the_list_that_names_it_and_another_is_not(
    network_with_crl: Network, pki: PeerPKI, *, tls13: bool
) -> None:
    alice, bob = pki.client(ALICE), pki.client(BOB)
    assert network_with_crl.judge(ALICE, alice, tls13=tls13).verdict is Verdict.ACCEPTED
    assert network_with_crl.judge(BOB, bob, tls13=tls13).verdict is Verdict.ACCEPTED

    pki.revoke(alice)
    network_with_crl.server.renew_crls(pki.crls)

    judged = network_with_crl.judge(ALICE, alice, tls13=tls13)
    assert judged.verdict is Verdict.REFUSED
    assert "certificate revoked" in judged.reason
    assert network_with_crl.judge(BOB, bob, tls13=tls13).verdict is Verdict.ACCEPTED


@both_tls_versions
def test_a_supplicant_is_refused_as_soon_as_the_responder_says_revoked_and_another_is_not(
    network_with_ocsp: Network, pki: PeerPKI, *, tls13: bool
) -> None:
    with answering(pki.issuing) as responder:
        alice, bob = pki.client(ALICE, responder=responder), pki.client(BOB, responder=responder)
        assert network_with_ocsp.judge(ALICE, alice, tls13=tls13).verdict is Verdict.ACCEPTED

        pki.revoke(alice)

        judged = network_with_ocsp.judge(ALICE, alice, tls13=tls13)
        assert judged.verdict is Verdict.REFUSED
        assert "ocsp: Cert status: revoked" in judged.reason
        assert network_with_ocsp.judge(BOB, bob, tls13=tls13).verdict is Verdict.ACCEPTED


@both_tls_versions
def test_nobody_gets_on_the_network_while_the_responder_is_down(
    network_with_ocsp: Network, pki: PeerPKI, *, tls13: bool
) -> None:
    with answering(pki.issuing) as responder:
        alice = pki.client(ALICE, responder=responder)
        assert network_with_ocsp.judge(ALICE, alice, tls13=tls13).verdict is Verdict.ACCEPTED
    judged = network_with_ocsp.judge(ALICE, alice, tls13=tls13)
    assert judged.verdict is Verdict.REFUSED
    assert "Couldn't get OCSP response" in judged.reason


def test_a_certificate_that_names_no_responder_needs_a_configured_one(
    network_with_ocsp: Network, pki: PeerPKI, tmp_path: Path
) -> None:
    alice = pki.client(ALICE)
    judged = network_with_ocsp.judge(ALICE, alice)
    assert judged.verdict is Verdict.REFUSED
    assert "Unable to check certificate" in judged.reason
    with answering(pki.issuing) as responder:
        for configured in network(pki, tmp_path / "other", ByOCSP(responder)):
            assert configured.judge(ALICE, alice).verdict is Verdict.ACCEPTED


@both_tls_versions
def test_a_good_certificate_opens_the_network_to_nobody_but_the_one_it_names(
    network_with_crl: Network, pki: PeerPKI, *, tls13: bool
) -> None:
    for leaf, reason in (
        (pki.client(BOB), "names somebody else"),
        (pki.client(""), "no user principal name"),
        (pki.client(f"{ALICE}.evil.example"), "names somebody else"),
    ):
        judged = network_with_crl.judge(ALICE, leaf, tls13=tls13)
        assert judged.verdict is Verdict.REFUSED
        assert reason in judged.reason


@both_tls_versions
def test_a_certificate_for_mail_or_for_nothing_in_particular_is_refused(
    network_with_crl: Network, pki: PeerPKI, *, tls13: bool
) -> None:
    for leaf, reason in (
        (pki.client(ALICE, purposes=MAIL), "unsuitable certificate purpose"),
        (pki.client(ALICE, purposes=()), "not for TLS clients"),
    ):
        judged = network_with_crl.judge(ALICE, leaf, tls13=tls13)
        assert judged.verdict is Verdict.REFUSED
        assert reason in judged.reason


def test_a_certificate_of_another_ca_is_refused(network_with_crl: Network, tmp_path: Path) -> None:
    stranger = PeerPKI(tmp_path / "elsewhere", "Elsewhere").client(ALICE)
    judged = network_with_crl.judge(ALICE, stranger)
    assert judged.verdict is Verdict.REFUSED
    assert "unable to get local issuer certificate" in judged.reason


def test_the_supplicant_leaves_a_server_of_another_name(
    network_with_crl: Network, pki: PeerPKI, tmp_path: Path
) -> None:
    block = network_with_crl.block(ALICE, pki.client(ALICE), tls13=True, server_name="other.example")
    tried = eapol_test.authenticate(block, network_with_crl.server, directory=tmp_path)
    assert not tried.succeeded
    assert network_with_crl.server.judgement().verdict is Verdict.REFUSED


@pytest.mark.needs("softhsm2-util")
@both_tls_versions
@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_a_key_in_a_token_opens_the_network_and_its_pin_is_in_no_record(
    network_with_crl: Network, pki: PeerPKI, tmp_path: Path, key_type: str, *, tls13: bool
) -> None:
    key = rsa.generate_private_key(65537, 2048) if key_type == "rsa2048" else None
    token = soft_token(tmp_path / "token", pki.client(ALICE, key=key))
    block = eapol_test.network_block(
        ALICE, token, server_anchors=pki.server_anchors, server_name=SERVER_NAME, tls13=tls13
    )
    tried = eapol_test.authenticate(block, network_with_crl.server, directory=tmp_path, token=token)
    assert tried.succeeded, tried.judgement.output
    assert tried.tls_version == ("TLSv1.3" if tls13 else "TLSv1.2")
    record = str(tried.judgement.to_document())
    assert token.pin.reveal() not in record
    assert token.pin.reveal().encode()[:8].hex(" ") not in record, "dumped in hexadecimal"
    assert "shared-by-test" not in record
    assert not list(tmp_path.glob("network*"))


def test_a_wrong_secret_of_the_access_point_is_a_failure_without_a_handshake(
    network_with_crl: Network, pki: PeerPKI, tmp_path: Path
) -> None:
    network_with_crl.server.secret = Secret("not-the-shared-one")
    tried = eapol_test.authenticate(
        network_with_crl.block(ALICE, pki.client(ALICE), tls13=True),
        network_with_crl.server,
        directory=tmp_path,
        limit=timedelta(seconds=1),
    )
    assert (tried.succeeded, tried.tls_version) == (False, "")


def test_freeradius_that_does_not_start_is_quoted(pki: PeerPKI, tmp_path: Path) -> None:
    server = pki.server(SERVER_NAME).files
    server.key.write_text("no key")
    with (
        pytest.raises(DidNotStart, match=r"Failed reading private key file"),
        freeradius.serving(
            tmp_path / "radius", server, anchors=pki.anchors, revocation=ByOCSP(), secret=Secret("shared-by-test")
        ),
    ):
        pass
