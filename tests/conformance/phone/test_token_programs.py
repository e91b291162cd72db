# SPDX-License-Identifier: Apache-2.0
"""Other programs use the phone's keys where they are: curl, openssl and wpa_supplicant through the PKCS#11 engine."""

import base64
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card.external_key import sign, usual_scheme
from etymon.kernel.errors import NotFound, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.phone import Phone
from etymon.phone.state import Purpose, ResultState
from etymon.server.demo.peers import curl, eapol_test, freeradius, openssl_cms
from etymon.server.demo.peers.credentials import TokenKey
from etymon.server.demo.peers.programs import Verdict
from etymon.server.demo.peers.revocation import ByCRL
from support.peer_pki import PeerPKI
from support.phone_issuer import MAIL, empty_crl
from support.phone_keys import PIN
from support.phone_relying_party import relying_party
from support.phone_services import Services
from support.phones import RememberingScreen, enrolled, new_phone, picture

pytestmark = pytest.mark.needs("softhsm2-util", "openssl")

ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nMeet me at noon.\r\n"
SSID = "Campus"


@pytest.fixture
def ready(tmp_path: Path, services: Services) -> Iterator[Phone]:
    """A phone whose keys are in a token, with a derived credential."""
    with new_phone(tmp_path / "phone", vault=VaultKind.PKCS11) as phone:
        enrolled(phone, services)
        phone.set_up_derived_credential(picture(services.link_code()), RememberingScreen())
        yield phone


def token_key(phone: Phone, purpose: Purpose, directory: Path) -> TokenKey:
    """Return what the programs are told; the use session must be open."""
    credential = phone.device.state.credential(purpose)
    assert credential is not None
    entry = phone.device.keys.entry(credential.alias)
    reference = phone.device.keys.token_reference(credential.alias)
    assert entry is not None
    assert entry.certificate is not None
    assert reference is not None
    file = directory / f"{purpose.value}.pem"
    file.write_bytes(entry.certificate.public_bytes(Encoding.PEM))
    settings = {"SOFTHSM2_CONF": str(reference.configuration)}
    return TokenKey(file, reference.module, reference.token, reference.key_id, reference.pin, settings)


@pytest.mark.needs("curl")
def test_curl_shows_the_certificate_of_the_token(ready: Phone, services: Services, tmp_path: Path) -> None:
    with relying_party(tmp_path, services.issuer.generator.ca.certificate) as party, ready.unlock(PIN):
        anchors = tmp_path / "web-ca.pem"
        anchors.write_bytes(party.tls.certificate.public_bytes(Encoding.PEM))
        key = token_key(ready, Purpose.AUTHENTICATION, tmp_path)
        got = curl.get(f"{party.certauth}/", server_anchors=anchors, directory=tmp_path, credential=key)
        assert got.status == 200
        assert len(party.shown) == 1
        nothing_shown = curl.get(f"{party.certauth}/", server_anchors=anchors, directory=tmp_path)
        assert nothing_shown.status == 401


def test_openssl_signs_and_decrypts_mail_with_the_keys_in_the_token(
    ready: Phone, services: Services, tmp_path: Path
) -> None:
    ca = services.issuer.generator.ca
    with ready.unlock(PIN):
        signer = token_key(ready, Purpose.SIGNATURE, tmp_path)
        signed = openssl_cms.sign(ENTITY, signer, directory=tmp_path)
        recipient = token_key(ready, Purpose.ENCRYPTION, tmp_path)
        sent = openssl_cms.encrypt(
            ENTITY, recipient.certificate, sender=MAIL, recipient=MAIL, subject="Noon", directory=tmp_path
        )
        opened = openssl_cms.decrypt(sent.content, recipient, directory=tmp_path)
    assert opened.content == ENTITY
    anchors = ca.certificate.public_bytes(Encoding.PEM)
    judged = openssl_cms.verify(signed.content, anchors=anchors, crls=empty_crl(ca), sender=MAIL, directory=tmp_path)
    assert judged.judgement.verdict is Verdict.ACCEPTED


def test_the_token_is_closed_to_other_programs_outside_a_use_session(ready: Phone) -> None:
    credential = ready.device.state.credential(Purpose.AUTHENTICATION)
    assert credential is not None
    with pytest.raises(NotPermitted, match="activation_required"):
        ready.device.keys.token_reference(credential.alias)


@pytest.mark.needs("freeradius", "eapol_test")
@pytest.mark.parametrize("tls13", [False, True], ids=["tls12", "tls13"])
def test_the_network_a_policy_set_up_lets_the_phone_in_and_a_false_server_does_not_get_it(
    ready: Phone, services: Services, tmp_path: Path, *, tls13: bool
) -> None:
    ca, pki = services.issuer.generator.ca, PeerPKI(tmp_path / "pki")
    root, name = str(uuid4()), "aaa.agency.example"
    network = {
        "ssid": SSID,
        "hidden": False,
        "connectAutomatically": True,
        "security": "wpaEnterprise",
        "eap": "tls",
        "serverNames": [name],
        "trustedRoots": [root],
        "outerIdentity": "",
        "credential": "derived",
    }
    certificate = base64.b64encode(pki.tls.certificate.public_bytes(Encoding.DER)).decode()
    anchor = {"certificate": certificate, "fileName": "radius.cer"}
    services.notify(
        {"policy": root, "version": 1, "type": "trustedRoot", "name": "RADIUS", "settings": anchor},
        {"policy": str(uuid4()), "version": 1, "type": "wifi", "name": SSID, "settings": network},
    )
    ready.check_in(lambda _: None)
    assert [result.state for _, result in ready.status().policies if result] == [ResultState.SUCCEEDED] * 2

    trusted = ca.certificate.public_bytes(Encoding.PEM)
    for server_name, lets_in in ((name, True), ("aaa.evil.example", False)):
        with (
            freeradius.serving(
                tmp_path / server_name,
                pki.server(server_name).files,
                anchors=trusted,
                revocation=ByCRL(empty_crl(ca)),
                secret=Secret("shared-by-test"),
            ) as server,
            ready.unlock(PIN),
        ):
            block, _ = ready.wifi_network(SSID, tls13=tls13)
            token = token_key(ready, Purpose.AUTHENTICATION, tmp_path)
            tried = eapol_test.authenticate(block, server, directory=tmp_path, token=token)
            assert tried.succeeded is lets_in
            if lets_in:
                assert tried.tls_version == ("TLSv1.3" if tls13 else "TLSv1.2")


def test_a_network_no_policy_set_up_is_not_joined(ready: Phone) -> None:
    with ready.unlock(PIN), pytest.raises(NotFound, match="no_network"):
        ready.wifi_network(SSID)


def test_software_keys_are_nothing_other_programs_could_use(tmp_path: Path, services: Services) -> None:
    with new_phone(tmp_path / "software") as phone:
        enrolled(phone, services)
        phone.set_up_derived_credential(picture(services.link_code()), RememberingScreen())
        credential = phone.device.state.credential(Purpose.AUTHENTICATION)
        assert credential is not None
        with phone.unlock(PIN):
            assert phone.device.keys.token_reference(credential.alias) is None
            with pytest.raises(NotFound, match="no_network"):
                phone.wifi_network(SSID)


def test_a_token_process_that_is_lost_is_followed_by_another_in_the_same_state(ready: Phone) -> None:
    credential = ready.device.state.credential(Purpose.SIGNATURE)
    assert credential is not None
    with ready.unlock(PIN):
        key = ready.device.keys.handle(credential.alias)
        reference = ready.device.keys.token_reference(credential.alias)
        assert reference is not None
        os.kill(process_of(reference.configuration), signal.SIGKILL)
        with pytest.raises(Unavailable, match="token_lost"):
            sign(key, b"m", usual_scheme(key.public_key))
        assert sign(key, b"m", usual_scheme(key.public_key))
        identity = ready.device.keys.handle("device-identity")
        assert sign(identity, b"m", usual_scheme(identity.public_key))
    with pytest.raises(NotPermitted, match="activation_required"):
        sign(key, b"m", usual_scheme(key.public_key))


def process_of(configuration: Path) -> int:
    """Return the one child of this process that runs with a SoftHSM configuration."""
    wanted = f"SOFTHSM2_CONF={configuration}".encode()
    found = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/environ")
        if _readable(path) and wanted in path.read_bytes().split(b"\0")
    ]
    assert len(found) == 1
    return found[0]


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
