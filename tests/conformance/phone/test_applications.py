# SPDX-License-Identifier: Apache-2.0
"""What apps do with the derived credential: sign in, mutual TLS, mail; judged by OpenSSL where something is made."""

import base64
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed, NotFound, NotPermitted, Unavailable
from etymon.phone.phone import Phone
from etymon.phone.state import Purpose
from etymon.server.demo.peers import openssl_cms
from etymon.server.demo.peers.programs import Verdict
from support.card_issuer import common_name
from support.phone_issuer import MAIL, empty_crl
from support.phone_keys import PIN
from support.phone_relying_party import RelyingParty, relying_party
from support.phone_services import Services
from support.phones import RememberingScreen, enrolled, new_phone, picture

pytestmark = pytest.mark.needs("openssl")

APP, OTHER = "example.agency.mail", "example.other"
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nMeet me at noon.\r\n"


def no(_: str) -> bool:
    return False


def yes(_: str) -> bool:
    return True


def policy(kind: str, **settings: object) -> dict[str, object]:
    return {"policy": str(uuid4()), "version": 1, "type": kind, "name": kind, "settings": settings}


@pytest.fixture
def party(tmp_path: Path, services: Services) -> Iterator[RelyingParty]:
    with relying_party(tmp_path, services.issuer.generator.ca.certificate) as party:
        yield party


@pytest.fixture
def ready(tmp_path: Path, services: Services, party: RelyingParty) -> Iterator[Phone]:
    """A phone with a derived credential, a root for the web, and policies for apps and mail."""
    with new_phone(tmp_path / "phone") as phone:
        enrolled(phone, services)
        phone.set_up_derived_credential(picture(services.link_code()), RememberingScreen())
        root = base64.b64encode(party.tls.certificate.public_bytes(Encoding.DER)).decode()
        mail = {"accountName": "Mail", "host": "mail", "address": MAIL, "signing": "derived", "encryption": "derived"}
        services.notify(
            policy("trustedRoot", certificate=root, fileName="web.cer"),
            policy("derivedCredential", certificateAccess="specificApps", packages=[APP]),
            policy("email", **mail),
        )
        phone.check_in(lambda _: None)
        yield phone


def test_an_app_signs_its_user_in_with_the_derived_certificate(ready: Phone, party: RelyingParty) -> None:
    with ready.unlock(PIN):
        page = ready.sign_in(APP, f"{party.application}/login", approve=no)
    assert (page.code, page.url) == ("home", f"{party.application}/home")
    entry = ready.device.state.credential(Purpose.AUTHENTICATION)
    assert entry is not None
    assert [certificate.public_key() for certificate in party.shown] == [
        ready.device.keys.handle(entry.alias).public_key
    ]


def test_an_app_no_policy_names_needs_the_users_consent(ready: Phone, party: RelyingParty) -> None:
    with ready.unlock(PIN):
        with pytest.raises(NotPermitted, match="access_denied"):
            ready.sign_in(OTHER, f"{party.application}/login", approve=no)
        assert party.shown == []
        ready.sign_in(OTHER, f"{party.application}/login", approve=lambda package: package == OTHER)
    assert len(party.shown) == 1


def test_without_the_activation_secret_nothing_is_proved(ready: Phone, party: RelyingParty) -> None:
    with pytest.raises(NotPermitted, match="activation_required"):
        ready.sign_in(APP, f"{party.application}/login", approve=no)
    assert party.shown == []


def test_a_refusal_of_the_certificate_reaches_the_user_with_its_code(ready: Phone, party: RelyingParty) -> None:
    party.refuse = "revoked_by_ocsp"
    with ready.unlock(PIN), pytest.raises(NotPermitted, match="revoked_by_ocsp"):
        ready.sign_in(APP, f"{party.application}/login", approve=no)


def test_a_page_that_asks_nobody_to_sign_in_is_told_apart(ready: Phone, party: RelyingParty) -> None:
    with ready.unlock(PIN), pytest.raises(NotPermitted, match="no_sign_in"):
        ready.sign_in(APP, f"{party.application}/public", approve=no)


def test_a_site_that_asks_for_the_certificate_itself_gets_it(ready: Phone, party: RelyingParty) -> None:
    with ready.unlock(PIN):
        page = ready.get(APP, f"{party.certauth}/anything", approve=no)
    assert page.status == 200
    assert len(party.shown) == 1


def test_a_site_below_a_root_no_policy_brought_is_refused(
    ready: Phone, party: RelyingParty, services: Services
) -> None:
    services.notify(policy("derivedCredential", certificateAccess="userApproval"))
    ready.check_in(lambda _: None)
    with ready.unlock(PIN), pytest.raises(NotPermitted, match="server_pin"):
        ready.get(APP, f"{party.certauth}/anything", approve=yes)
    with ready.unlock(PIN), pytest.raises(Unavailable, match="server_unreachable"):
        ready.get(APP, "http://127.0.0.1:1/", approve=yes)
    assert party.shown == []


def test_without_a_policy_or_a_credential_apps_get_nothing(enrolled_phone: Phone, services: Services) -> None:
    with pytest.raises(NotPermitted, match="access_denied"):
        enrolled_phone.get(APP, "https://127.0.0.1/", approve=yes)
    services.notify(policy("derivedCredential", certificateAccess="userApproval"))
    enrolled_phone.check_in(lambda _: None)
    with pytest.raises(NotFound, match="no_credential"):
        enrolled_phone.get(APP, "https://127.0.0.1/", approve=yes)


def test_openssl_verifies_the_mail_the_phone_signs(ready: Phone, services: Services, tmp_path: Path) -> None:
    with ready.unlock(PIN):
        signed = ready.sign_mail(MAIL, ENTITY)
    ca = services.issuer.generator.ca
    anchors = ca.certificate.public_bytes(Encoding.PEM)
    judged = openssl_cms.verify(signed, anchors=anchors, crls=empty_crl(ca), sender=MAIL, directory=tmp_path)
    assert judged.judgement.verdict is Verdict.ACCEPTED
    assert judged.content == ENTITY
    altered = signed.replace(b"at noon", b"at nine")
    judged = openssl_cms.verify(altered, anchors=anchors, crls=empty_crl(ca), sender=MAIL, directory=tmp_path)
    assert judged.judgement.verdict is Verdict.REFUSED


def test_the_phone_opens_mail_that_openssl_encrypted_to_it(ready: Phone, services: Services, tmp_path: Path) -> None:
    recipient = tmp_path / "recipient.pem"
    recipient.write_bytes(services.issuer.certificates[-1].public_bytes(Encoding.PEM))
    sent = openssl_cms.encrypt(
        ENTITY, recipient, sender="bob@agency.example", recipient=MAIL, subject="Noon", directory=tmp_path
    )
    with pytest.raises(NotPermitted, match="activation_required"):
        ready.decrypt_mail(MAIL, sent.content)
    with ready.unlock(PIN):
        assert ready.decrypt_mail(MAIL, sent.content) == ENTITY
    ready.set_up_derived_credential(picture(services.link_code()), RememberingScreen())
    ready.check_in(lambda _: None)
    with ready.unlock(PIN):
        assert ready.decrypt_mail(MAIL, sent.content) == ENTITY


def test_what_is_not_encrypted_to_the_phone_is_not_opened(
    ready: Phone, services: Services, escrowed_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    somebody = tmp_path / "somebody.pem"
    certificate = services.issuer.generator.ca.issue(
        x509.CertificateBuilder().subject_name(common_name("Somebody else")).public_key(escrowed_key.public_key())
    )
    somebody.write_bytes(certificate.public_bytes(Encoding.PEM))
    sent = openssl_cms.encrypt(ENTITY, somebody, sender=MAIL, recipient="x@y", subject="", directory=tmp_path)
    with ready.unlock(PIN):
        for message in (sent.content, b"", b"no mail", ENTITY):
            with pytest.raises(Malformed, match="not_decryptable"):
                ready.decrypt_mail(MAIL, message)


def test_mail_goes_through_accounts_that_policy_set_up(ready: Phone) -> None:
    with ready.unlock(PIN), pytest.raises(NotFound, match="no_account"):
        ready.sign_mail("bob@agency.example", ENTITY)
