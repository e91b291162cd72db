# SPDX-License-Identifier: Apache-2.0
"""OpenSSL as correspondent and judge: S/MIME, paths with revocation and policies, OCSP."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.server.demo.peers import openssl_cms, openssl_status
from etymon.server.demo.peers.credentials import Credential
from etymon.server.demo.peers.openssl_cms import Mail
from etymon.server.demo.peers.programs import Verdict
from support.peer_pki import OTHER_POLICY, POLICY, Leaf, PeerPKI, answering, soft_token

pytestmark = pytest.mark.needs("openssl")

ALICE, BOB = "alice@agency.example", "bob@agency.example"
TEXT = b"Content-Type: text/plain\r\n\r\nMeet at noon.\r\n"


@pytest.fixture
def pki(tmp_path: Path) -> PeerPKI:
    return PeerPKI(tmp_path)


@pytest.fixture(scope="module")
def transport_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def signed_by(signer: Credential, directory: Path) -> bytes:
    signed = openssl_cms.sign(TEXT, signer, directory=directory)
    assert signed.judgement.verdict is Verdict.ACCEPTED
    return signed.content


def judge(message: bytes, pki: PeerPKI, directory: Path, *, sender: str = ALICE) -> Mail:
    return openssl_cms.verify(message, anchors=pki.anchors, crls=pki.crls, sender=sender, directory=directory)


def test_a_signed_mail_is_refused_once_its_signer_is_revoked_and_another_is_not(pki: PeerPKI, tmp_path: Path) -> None:
    alice, bob = pki.mail(ALICE), pki.mail(BOB)
    from_alice, from_bob = signed_by(alice.files, tmp_path), signed_by(bob.files, tmp_path)
    accepted = judge(from_alice, pki, tmp_path)
    assert (accepted.judgement.verdict, accepted.content) == (Verdict.ACCEPTED, TEXT)

    pki.revoke(alice)

    refused = judge(from_alice, pki, tmp_path)
    assert (refused.judgement.verdict, refused.content) == (Verdict.REFUSED, b"")
    assert "certificate revoked" in refused.judgement.reason
    assert judge(from_bob, pki, tmp_path, sender=BOB).judgement.verdict is Verdict.ACCEPTED


def test_a_mail_is_refused_when_altered_of_another_sender_or_signed_by_a_tls_client(
    pki: PeerPKI, tmp_path: Path
) -> None:
    message = signed_by(pki.mail(ALICE).files, tmp_path)
    for tried, sender, reason in (
        (message.replace(b"noon", b"nine"), ALICE, "verification failure"),
        (message, BOB, "the mail is from bob@agency.example"),
        (signed_by(pki.client(ALICE).files, tmp_path), ALICE, "unsuitable certificate purpose"),
        (b"no mail", ALICE, "rror"),
    ):
        refused = judge(tried, pki, tmp_path, sender=sender)
        assert (refused.judgement.verdict, refused.content) == (Verdict.REFUSED, b"")
        assert reason in refused.judgement.reason


def test_a_mail_is_refused_without_a_list_of_every_ca(pki: PeerPKI, tmp_path: Path) -> None:
    message = signed_by(pki.mail(ALICE).files, tmp_path)
    refused = openssl_cms.verify(message, anchors=pki.anchors, crls=pki.issuing.crl(), sender=ALICE, directory=tmp_path)
    assert refused.judgement.verdict is Verdict.REFUSED
    assert "unable to get certificate CRL" in refused.judgement.reason


@pytest.mark.needs("softhsm2-util")
@pytest.mark.parametrize("place", ["file", "token"])
def test_a_mail_is_opened_by_the_recipients_key_wherever_it_is_and_by_no_other(
    pki: PeerPKI, tmp_path: Path, transport_key: rsa.RSAPrivateKey, place: str
) -> None:
    alice = pki.mail(ALICE, key=transport_key)
    encrypted = openssl_cms.encrypt(
        signed_by(pki.mail(BOB).files, tmp_path),
        alice.files.certificate,
        sender=BOB,
        recipient=ALICE,
        subject="Lunch",
        directory=tmp_path,
    )
    assert b"noon" not in encrypted.content
    assert openssl_cms.sender_of(encrypted.content) == BOB

    other = pki.mail(BOB, key=rsa.generate_private_key(65537, 2048))
    assert openssl_cms.decrypt(encrypted.content, other.files, directory=tmp_path).judgement.verdict is Verdict.REFUSED
    key: Credential = alice.files if place == "file" else soft_token(tmp_path / "token", alice)
    opened = openssl_cms.decrypt(encrypted.content, key, directory=tmp_path)
    assert opened.judgement.verdict is Verdict.ACCEPTED, opened.judgement.output
    assert "5678-token" not in str(opened.judgement.to_document())
    assert judge(opened.content, pki, tmp_path, sender=BOB).content == TEXT


@pytest.mark.needs("softhsm2-util")
def test_a_mail_is_signed_by_a_key_in_a_token(pki: PeerPKI, tmp_path: Path) -> None:
    message = signed_by(soft_token(tmp_path / "token", pki.mail(ALICE)), tmp_path)
    assert judge(message, pki, tmp_path).content == TEXT


def path_verdict(pki: PeerPKI, leaf: Leaf, directory: Path, *policies: str) -> tuple[Verdict, str]:
    judged = openssl_status.verify(
        leaf.files.certificate,
        anchors=pki.root.pem,
        intermediates=pki.issuing.pem,
        crls=pki.crls,
        policies=policies,
        directory=directory,
    )
    return judged.verdict, judged.reason


def test_a_path_is_judged_by_policy_and_revocation(pki: PeerPKI, tmp_path: Path) -> None:
    alice = pki.client(ALICE)
    assert path_verdict(pki, alice, tmp_path, POLICY.dotted_string) == (Verdict.ACCEPTED, "")
    verdict, reason = path_verdict(pki, alice, tmp_path, OTHER_POLICY.dotted_string)
    assert verdict is Verdict.REFUSED
    assert "no explicit policy" in reason
    verdict, reason = path_verdict(pki, pki.mail(ALICE), tmp_path)
    assert verdict is Verdict.REFUSED
    assert "purpose" in reason
    pki.revoke(alice)
    verdict, reason = path_verdict(pki, alice, tmp_path)
    assert verdict is Verdict.REFUSED
    assert "certificate revoked" in reason


def test_a_responder_is_asked_and_believed_only_when_it_may_speak(pki: PeerPKI, tmp_path: Path) -> None:
    alice, bob = pki.client(ALICE), pki.client(BOB)

    def ask(leaf: Leaf, url: str, anchors: bytes) -> tuple[Verdict, str]:
        judged = openssl_status.ask(
            leaf.files.certificate, issuer=pki.issuing.pem, responder=url, anchors=anchors, directory=tmp_path
        )
        return judged.verdict, judged.reason

    with answering(pki.issuing) as url:
        assert ask(alice, url, pki.anchors) == (Verdict.ACCEPTED, "")
        pki.revoke(alice)
        verdict, reason = ask(alice, url, pki.anchors)
        assert verdict is Verdict.REFUSED
        assert reason.endswith(": revoked")
        assert ask(bob, url, pki.anchors)[0] is Verdict.ACCEPTED
        assert ask(bob, url, pki.tls.pem)[0] is Verdict.REFUSED
    assert ask(bob, url, pki.anchors)[0] is Verdict.REFUSED
