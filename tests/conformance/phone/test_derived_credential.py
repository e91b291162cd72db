# SPDX-License-Identifier: Apache-2.0
"""Setting up a derived credential as docs/protocols/link.md and est.md say, against a stand-in made from them."""

import base64
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from etymon.kernel.errors import (
    Conflict,
    DecodeError,
    EtymonError,
    Expired,
    NotAuthenticated,
    NotPermitted,
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.phone.key_store.activation import ActivationState, CredentialDestroyed
from etymon.phone.key_store.contract import EncryptionPadding
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.phone import Phone
from etymon.phone.screen import Comparison, Installing, Instructions, Ready, SecretUse, Welcome
from etymon.phone.state import Purpose, ResultState
from etymon.wire.est import encode_csr_attributes
from support.clock import TurnedClock
from support.https_site import Answer
from support.phone_keys import PIN
from support.phone_services import Services
from support.phones import (
    RememberingScreen,
    enrolled,
    new_phone,
    picture,
)

pytestmark = pytest.mark.needs("openssl")

REDEEM, AUTHORIZATION = "/issuer/link/v1/redeem", "/issuer/link/v1/authorization"
EST = "/.well-known/est"
WRONG = Secret("not the pin")
ALL = (Purpose.AUTHENTICATION, Purpose.SIGNATURE, Purpose.ENCRYPTION)


def required(services: Services) -> dict[str, object]:
    issuer = {
        "name": "Agency issuer",
        "selfService": f"{services.site}/issuer/",
        "instructions": "https://help.example",
    }
    return {"required": True, "purposes": [purpose.value for purpose in ALL], "issuer": issuer}


def set_up(phone: Phone, services: Services) -> RememberingScreen:
    screen = RememberingScreen()
    phone.set_up_derived_credential(picture(services.link_code()), screen)
    return screen


@pytest.mark.parametrize(
    "vault", [VaultKind.SOFTWARE, pytest.param(VaultKind.PKCS11, marks=pytest.mark.needs("softhsm2-util"))], ids=str
)
def test_a_scanned_code_leads_to_three_certificates_under_one_activation_secret(
    tmp_path: Path, services: Services, escrowed_key: rsa.RSAPrivateKey, vault: VaultKind
) -> None:
    with new_phone(tmp_path / "phone", vault=vault) as phone:
        enrolled(phone, services)
        access = {"policy": str(uuid4()), "version": 1, "type": "derivedCredential", "name": "Apps"}
        services.notify(
            access | {"settings": {"certificateAccess": "userApproval"}}, derivedCredential=required(services)
        )
        phone.check_in(lambda _: None)
        guide = RememberingScreen()
        phone.guide(guide)
        assert [type(view) for view in guide.shown] == [Welcome, Instructions]

        screen = set_up(phone, services)

        assert [type(view) for view in screen.shown] == [Comparison, Installing, Installing, Installing, Ready]
        comparison = screen.shown[0]
        assert isinstance(comparison, Comparison)
        assert (comparison.person, comparison.mail) == ("Alice Adams", "a…e@agency.example")
        assert screen.uses == [SecretUse.CHOOSE]
        status = phone.status()
        assert [certificate.purpose for certificate in status.certificates] == list(ALL)
        assert status.activation.state is ActivationState.SET
        assert [result.state for _, result in status.policies if result] == [ResultState.SUCCEEDED]
        ciphertext = escrowed_key.public_key().encrypt(b"a content key", padding.PKCS1v15())
        opener = phone.device.state.credential(Purpose.ENCRYPTION)
        assert opener is not None
        with pytest.raises(NotPermitted, match="activation_required"):
            phone.device.keys.handle(opener.alias).decrypt(ciphertext, EncryptionPadding.PKCS1V15)
        with phone.unlock(PIN):
            opened = phone.device.keys.handle(opener.alias).decrypt(ciphertext, EncryptionPadding.PKCS1V15)
        assert opened == b"a content key"
        assert {entry.alias.split("-")[0] for entry in phone.device.keys.entries()} == {"device", "derived"}

        phone.check_in(lambda _: None)
        told = services.last("/mdm/device").document["credentials"]
        assert [item["thumbprint"] for item in told] == [certificate.thumbprint for certificate in status.certificates]


def test_every_request_of_the_flow_shows_the_device_identity_except_the_directory(
    enrolled_phone: Phone, services: Services
) -> None:
    set_up(enrolled_phone, services)
    assert [asked.path for asked in services.asked if asked.peer is None] == ["/issuer/.well-known/etymon-issuer"]


def test_the_issuer_says_which_kind_of_key_it_wants(enrolled_phone: Phone, services: Services) -> None:
    services.issuer.purposes = ("authentication", "signature")
    services.issuer.key_types = {
        "authentication": encode_csr_attributes(["p384", "rsa3072"]),
        "signature": encode_csr_attributes(["rsa2048"]),
    }
    set_up(enrolled_phone, services)
    kinds = [certificate.public_key() for certificate in services.issuer.certificates]
    assert isinstance(kinds[0], ec.EllipticCurvePublicKey)
    assert kinds[0].curve.key_size == 384
    assert isinstance(kinds[1], rsa.RSAPublicKey)


def test_the_transport_key_is_as_strong_as_the_issuer_says(enrolled_phone: Phone, services: Services) -> None:
    services.issuer.key_types = {"encryption": encode_csr_attributes(["rsa3072"], decrypt_key_identifier=True)}
    set_up(enrolled_phone, services)
    (body,) = [asked.body for asked in services.asked if asked.path.endswith("/encryption/serverkeygen")]
    key = x509.load_der_x509_csr(base64.b64decode(body)).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072


@pytest.mark.parametrize(("purpose", "kind"), [("authentication", "rsa1024"), ("encryption", "p256")])
def test_a_wanted_kind_of_key_that_the_phone_cannot_make_is_refused(
    enrolled_phone: Phone, services: Services, purpose: str, kind: str
) -> None:
    services.issuer.key_types = {purpose: encode_csr_attributes([kind])}
    with pytest.raises(NotPermitted, match="key_type_unknown"):
        set_up(enrolled_phone, services)


def test_other_digits_than_the_phones_own_end_the_flow_before_anything_is_confirmed(
    enrolled_phone: Phone, services: Services
) -> None:
    services.issuer.digits = "00000x"
    with pytest.raises(NotPermitted, match="digits_mismatch"):
        set_up(enrolled_phone, services)
    assert services.paths(AUTHORIZATION) == []
    assert not enrolled_phone.status().setting_up
    assert [entry.alias for entry in enrolled_phone.device.keys.entries()] == ["device-identity"]


def test_nothing_is_sent_to_an_issuer_whose_chain_lacks_the_pinned_key(
    enrolled_phone: Phone, services: Services
) -> None:
    code = services.link_code(pin=bytes(32))
    with pytest.raises(NotPermitted, match="server_pin"):
        enrolled_phone.set_up_derived_credential(picture(code), RememberingScreen())
    assert services.asked == []


def test_a_code_of_another_issuer_than_the_organisations_is_refused(enrolled_phone: Phone, services: Services) -> None:
    requirement = required(services)
    requirement["issuer"] = {"name": "Agency", "selfService": "https://issuer.agency.example/issuer/"}
    services.notify(derivedCredential=requirement)
    enrolled_phone.check_in(lambda _: None)
    with pytest.raises(NotPermitted, match="wrong_issuer"):
        set_up(enrolled_phone, services)


def test_an_enrollment_code_is_not_a_link_code(enrolled_phone: Phone, services: Services) -> None:
    with pytest.raises(DecodeError):
        enrolled_phone.set_up_derived_credential(picture(services.enrollment_code()), RememberingScreen())


def test_without_a_scanned_code_there_is_nothing_to_go_on_with(enrolled_phone: Phone) -> None:
    with pytest.raises(Conflict, match="no_link_code"):
        enrolled_phone.set_up_derived_credential(None, RememberingScreen())


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        (REDEEM, Answer.problem(404, "link_unknown"), EtymonError),
        (REDEEM, Answer.problem(403, "link_secret_wrong"), NotPermitted),
        (REDEEM, Answer.problem(409, "link_already_redeemed"), Conflict),
        (REDEEM, Answer.problem(410, "link_expired"), Expired),
        (AUTHORIZATION, Answer.problem(403, "link_denied"), NotPermitted),
        (AUTHORIZATION, Answer.problem(410, "link_expired"), Expired),
    ],
)
def test_a_link_the_issuer_refuses_ends_the_flow_and_the_next_code_begins_anew(
    enrolled_phone: Phone, services: Services, path: str, answer: Answer, error: type[EtymonError]
) -> None:
    services.instead[path] = [answer]
    with pytest.raises(error):
        set_up(enrolled_phone, services)
    assert not enrolled_phone.status().setting_up
    assert [entry.alias for entry in enrolled_phone.device.keys.entries()] == ["device-identity"]
    set_up(enrolled_phone, services)
    assert len(enrolled_phone.status().certificates) == 3


def test_a_person_who_never_confirms_ends_the_flow_by_the_phones_own_clock(
    enrolled_phone: Phone, services: Services, clock: TurnedClock
) -> None:
    services.issuer.confirmed = False
    clock.advance(datetime.now(UTC) - clock.now() + timedelta(minutes=9, seconds=50))  # the issuer's is the machine's
    with pytest.raises(Expired, match="link_expired"):
        set_up(enrolled_phone, services)
    assert 1 < len(services.paths(AUTHORIZATION)) < 20


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        (f"{EST}/authentication/simpleenroll", Answer(403, b"not allowed", "text/plain"), NotPermitted),
        (f"{EST}/authentication/simpleenroll", Answer(401, b"no authorization", "text/plain"), NotAuthenticated),
        (f"{EST}/signature/simpleenroll", Answer(503, b"stopped", "text/plain"), Unavailable),
        (f"{EST}/signature/simpleenroll", Answer(200, b"AAAA", "application/pkcs7-mime"), DecodeError),
        (f"{EST}/encryption/serverkeygen", Answer(200, b"AAAA", "application/pkcs7-mime"), DecodeError),
        (f"{EST}/cacerts", Answer(200, b"!", "application/pkcs7-mime"), DecodeError),
    ],
)
def test_a_refusal_or_strange_answer_of_est_is_gone_on_from_with_the_same_requests(
    enrolled_phone: Phone, services: Services, path: str, answer: Answer, error: type[EtymonError]
) -> None:
    services.instead[path] = [answer]
    with pytest.raises(error):
        set_up(enrolled_phone, services)
    screen = RememberingScreen()
    enrolled_phone.set_up_derived_credential(None, screen)
    assert screen.uses == [SecretUse.ENTER]
    assert len(enrolled_phone.status().certificates) == 3
    bodies = {asked.path: asked.body for asked in services.asked if asked.path == path}
    assert all(asked.body == bodies[path] for asked in services.asked if asked.path == path)


def test_a_certificate_of_an_unknown_authority_is_refused(enrolled_phone: Phone, services: Services) -> None:
    other = pkcs7.serialize_certificates([services.device_ca.certificate], Encoding.DER)
    services.instead[f"{EST}/cacerts"] = [Answer(200, base64.b64encode(other), "application/pkcs7-mime")]
    with pytest.raises(NotPermitted, match="unknown_authority"):
        set_up(enrolled_phone, services)


def test_the_same_code_again_goes_on_and_another_code_begins_anew(enrolled_phone: Phone, services: Services) -> None:
    code = picture(services.link_code())
    services.instead[AUTHORIZATION] = [Answer.problem(429, "slower")]
    with pytest.raises(EtymonError):
        enrolled_phone.set_up_derived_credential(code, RememberingScreen())
    first = enrolled_phone.device.state.derivation
    assert first is not None
    enrolled_phone.set_up_derived_credential(code, RememberingScreen())
    assert len(services.paths(REDEEM)) == 1
    assert {item.alias for item in enrolled_phone.device.state.credentials} == {first.alias(item) for item in ALL}


def test_a_secret_that_is_too_short_is_asked_for_again(enrolled_phone: Phone, services: Services) -> None:
    screen = RememberingScreen(Secret("12345"))
    enrolled_phone.set_up_derived_credential(picture(services.link_code()), screen)
    assert [bool(request.problem) for request in screen.asked] == [False, True]


def test_a_second_credential_replaces_the_first_and_keeps_what_opens_older_mail(
    enrolled_phone: Phone, services: Services
) -> None:
    set_up(enrolled_phone, services)
    before = enrolled_phone.device.state.credentials
    screen = RememberingScreen(WRONG)
    enrolled_phone.set_up_derived_credential(picture(services.link_code()), screen)
    assert screen.uses == [SecretUse.ENTER, SecretUse.ENTER]
    assert "9 tries are left" in screen.asked[1].problem
    after = enrolled_phone.device.state.credentials
    kept = [item for item in after if item.retired]
    assert [item.alias for item in kept] == [item.alias for item in before if item.purpose is Purpose.ENCRYPTION]
    assert len(enrolled_phone.status().certificates) == 3
    aliases = {entry.alias for entry in enrolled_phone.device.keys.entries()} - {"device-identity"}
    assert aliases == {item.alias for item in after}


def test_a_credential_that_too_many_wrong_secrets_destroyed_is_set_up_anew(
    enrolled_phone: Phone, services: Services
) -> None:
    set_up(enrolled_phone, services)
    with pytest.raises(CredentialDestroyed):
        enrolled_phone.set_up_derived_credential(picture(services.link_code()), RememberingScreen(*[WRONG] * 10))
    assert enrolled_phone.status().certificates == ()
    enrolled_phone.check_in(lambda _: None)
    assert services.last("/mdm/device").document["credentials"] == []
    assert set_up(enrolled_phone, services).uses == [SecretUse.CHOOSE]
    assert len(enrolled_phone.status().certificates) == 3


def test_keys_destroyed_in_the_middle_of_the_flow_end_it(enrolled_phone: Phone, services: Services) -> None:
    services.instead[f"{EST}/cacerts"] = [Answer(503)]
    with pytest.raises(Unavailable):
        set_up(enrolled_phone, services)
    with pytest.raises(CredentialDestroyed):
        enrolled_phone.set_up_derived_credential(None, RememberingScreen(*[WRONG] * 10))
    with pytest.raises(Conflict, match="link_key_lost"):
        enrolled_phone.set_up_derived_credential(None, RememberingScreen())
    assert not enrolled_phone.status().setting_up


def test_a_removed_certificate_is_gone_and_policies_wait_again(enrolled_phone: Phone, services: Services) -> None:
    set_up(enrolled_phone, services)
    account = {"accountName": "Mail", "host": "mail", "address": "alice@agency.example", "encryption": "derived"}
    policy = {"policy": str(uuid4()), "version": 1, "type": "email", "name": "Mail", "settings": account}
    services.notify(policy)
    enrolled_phone.check_in(lambda _: None)
    removed = enrolled_phone.status().certificates[2]
    assert removed.purpose is Purpose.ENCRYPTION
    command = {"command": str(uuid4()), "type": "removeCredential", "credential": removed.thumbprint}
    services.notify(policy, commands=[command])
    enrolled_phone.check_in(lambda _: None)
    report = services.last("/mdm/device").document
    assert report["commands"] == [{"command": command["command"], "state": "succeeded", "detail": ""}]
    assert [item["purpose"] for item in report["credentials"]] == ["authentication", "signature"]
    assert [item["state"] for item in report["results"]] == ["pending"]


def test_no_log_line_holds_a_secret_of_the_flow(
    enrolled_phone: Phone, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    code = services.link_code()
    enrolled_phone.set_up_derived_credential(picture(code), RememberingScreen())
    (link, secret), *_ = services.issuer.links.items()
    shown = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    proofs = [asked.headers["Link-Proof"] for asked in services.asked if "Link-Proof" in asked.headers]
    for value in (code.reveal(), shown, f"authorization-{link}", PIN.reveal(), *proofs):
        assert value not in caplog.text
    assert f"{EST}/cacerts" in caplog.text  # something was logged
