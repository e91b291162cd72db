# SPDX-License-Identifier: Apache-2.0
"""EST at a connector: one challenge, one certificate, by whichever protocol it comes; renewed by the certificate."""

import base64
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.issuer.model import EndReason, Purpose
from etymon.issuer.scep import endings, enrollment, transport
from etymon.issuer.scep.model import CHALLENGE_LIFETIME, ChallengeSource, Holder
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.bad_keys import KeyLists
from etymon.pki.certificate import card_uuid, mail, spki, spki_sha256, to_der, upn
from etymon.web.peer_certificate import PeerCertificate
from support import weak_rsa
from support.registration_keys import rsa_key
from support.scep_site import SCEPSite, fresh_address

CONNECTOR = "kiosks"
ALICE = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice Example")])


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr(of: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, subject: x509.Name = ALICE) -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(of, hashes.SHA256())
    return base64.b64encode(request.public_bytes(Encoding.DER))


@dataclass
class Client:
    """An EST client of another endpoint manager's, without its wire."""

    site: SCEPSite
    key: ec.EllipticCurvePrivateKey = field(default_factory=key)
    address: str = field(default_factory=fresh_address)

    def challenge(self, holder: Holder | None = None) -> str:
        return self.site.challenge(holder, CONNECTOR)

    def enroll(self, challenge: str, body: bytes | None = None, connector: str = CONNECTOR) -> x509.Certificate:
        sent = csr(self.key) if body is None else body
        issued = transport.enroll(self.site.deps, connector, sent, Secret(challenge), source=self.address)
        return issued.certificate

    def renew(self, shown: x509.Certificate | None, body: bytes, connector: str = CONNECTOR) -> x509.Certificate:
        peer = PeerCertificate(to_der(shown)) if shown else None
        return transport.renew(self.site.deps, connector, body, peer, source=self.address).certificate

    def refused(self, act: Callable[[], x509.Certificate]) -> str:
        """Return the code of a refusal that is on record and left everything else as it was."""
        before, self.address = self.site.kept(), fresh_address()
        with pytest.raises(EtymonError) as caught:
            act()
        assert self.site.kept() == before
        recorded = [event for event in self.site.events("issuer:est_request:refused") if event.source == self.address]
        assert [event.facts["code"] for event in recorded] == [caught.value.code]
        return caught.value.code


def connected(site: SCEPSite) -> Client:
    site.connector(CONNECTOR, key_types=frozenset({KeyType.P256, KeyType.RSA3072}))
    return Client(site)


@pytest.fixture
def client(site: SCEPSite) -> Client:
    return connected(site)


@pytest.fixture
def common(shared: SCEPSite) -> Client:
    return connected(shared)


def test_a_certificate_says_what_the_records_say(common: Client) -> None:
    number = uuid.uuid4()
    certificate = common.enroll(common.challenge(Holder(common.site.alice.id, number, "Alice's tablet")))
    assert spki(certificate) == spki(common.key.public_key())
    assert certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "Alice Example"
    assert (upn(certificate), mail(certificate), card_uuid(certificate)) == (
        "alice@agency.example",
        ("alice@agency.example",),
        number,
    )
    certificate.verify_directly_issued_by(common.site.ca.authorities["managed"].certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_agreement) == (True, False, False)


def test_the_same_request_again_gets_the_same_certificate(common: Client) -> None:
    challenge, body = common.challenge(), csr(common.key)
    first, enrollments = common.enroll(challenge, body), len(common.site.enrollments())
    common.site.turn(hours=2)  # the challenge would be over
    assert common.enroll(challenge, body) == first
    assert len(common.site.enrollments()) == enrollments


def test_a_used_challenge_opens_nothing_for_another_request(common: Client) -> None:
    challenge = common.challenge()
    common.enroll(challenge)
    thief = Client(common.site)
    assert thief.refused(lambda: thief.enroll(challenge)) == "challenge_used"


def test_a_challenge_used_by_scep_opens_nothing_by_est(common: Client) -> None:
    challenge = common.site.challenge(connector="fleet")
    common.site.device().enroll(challenge)
    assert common.refused(lambda: common.enroll(challenge, connector="fleet")) == "key_type_not_allowed"
    common.site.connector(key_types=frozenset({KeyType.P256, KeyType.RSA2048}))
    assert common.refused(lambda: common.enroll(challenge, connector="fleet")) == "challenge_used"


def test_the_same_request_at_once_gets_one_certificate(client: Client) -> None:
    challenge, body = client.challenge(), csr(client.key)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: client.enroll(challenge, body), range(4)))
    assert len(set(found)) == len(client.site.enrollments()) == 1


def test_of_two_requests_at_once_under_one_challenge_one_is_granted(client: Client) -> None:
    challenge = client.challenge()

    def enroll(each: Client) -> str:
        try:
            each.enroll(challenge)
        except EtymonError as refusal:
            return refusal.code
        return "granted"

    with ThreadPoolExecutor(3) as threads:
        told = list(threads.map(enroll, [Client(client.site) for _ in range(3)]))
    assert sorted(told) == ["challenge_used", "challenge_used", "granted"]
    assert len(client.site.enrollments()) == 1


def test_what_is_no_challenge_of_the_connector_opens_nothing(common: Client) -> None:
    other = common.site.challenge(connector="fleet")
    assert common.refused(lambda: common.enroll(other)) == "challenge_wrong"
    assert common.refused(lambda: common.enroll("0" * 32)) == "challenge_wrong"
    for label in ("nobody", "Kiosks", "\x00"):
        with pytest.raises(EtymonError, match="label_unknown"):
            common.enroll(other, connector=label)


def test_an_expired_challenge_opens_nothing(common: Client) -> None:
    challenge = common.challenge()
    common.site.turn(seconds=CHALLENGE_LIFETIME.total_seconds())
    assert common.refused(lambda: common.enroll(challenge)) == "challenge_expired"


def test_what_cannot_be_granted_leaves_the_challenge_good(common: Client) -> None:
    challenge = common.challenge()
    other_key = ec.generate_private_key(ec.SECP384R1())
    mallory = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Mallory")])
    forged = bytearray(base64.b64decode(csr(common.key)))
    forged[-1] ^= 1
    sent = {
        "not_base64": b"!",
        "empty_body": b" \n",
        "csr_malformed": base64.b64encode(b"0"),
        "body_too_large": b"A" * (16 * 1024 + 1),
        "proof_of_possession_failed": base64.b64encode(forged),
        "key_type_not_allowed": csr(other_key),
        "names_differ": csr(common.key, mallory),
    }
    told = {code: common.refused(lambda body=body: common.enroll(challenge, body)) for code, body in sent.items()}  # type: ignore[misc]  # a default that binds
    assert told == {code: code for code in sent}
    common.enroll(challenge)


def test_a_weak_key_is_refused_though_it_signed_its_request(common: Client, tmp_path: Path) -> None:
    made = base64.b64decode(csr(rsa_key(-100)))
    weak = (weak_rsa.roca(), weak_rsa.prime(), weak_rsa.sharing(rsa_key(-100)))
    sent = [base64.b64encode(each.request(made)) for each in weak]
    sent += [csr(ec.generate_private_key(curve)) for curve in (ec.SECP521R1(), ec.SECP256K1())]
    challenge = common.challenge()
    for body in sent:
        assert common.refused(lambda body=body: common.enroll(challenge, body)) == "weak_key"  # type: ignore[misc]  # a default that binds
    listed, before = tmp_path / "compromised", common.site.deps
    listed.write_text(f"{spki_sha256(common.key.public_key()).hex()}\n")
    common.site.deps = replace(before, ca=replace(before.ca, bad_keys=KeyLists.opened([], [listed])))
    try:
        assert common.refused(lambda: common.enroll(challenge)) == "compromised_key"
    finally:
        common.site.deps = before
    common.enroll(challenge)


def test_a_key_is_certified_once(common: Client) -> None:
    common.enroll(common.challenge())
    challenge = common.challenge()
    assert common.refused(lambda: common.enroll(challenge)) == "key_already_certified"


def test_a_person_who_has_left_gets_nothing_and_keeps_nothing(client: Client) -> None:
    certificate, waiting = client.enroll(client.challenge()), client.challenge()
    client.site.end_account(client.site.alice)
    late = Client(client.site)
    assert late.refused(lambda: late.enroll(waiting)) == "not_eligible"
    assert late.refused(lambda: late.renew(certificate, csr(key()))) == "not_eligible"
    endings.account_ended(client.site.deps, client.site.alice.id)
    assert client.site.is_revoked(certificate)
    assert late.refused(lambda: late.renew(certificate, csr(key()))) == "certificate_revoked"


def test_a_certificate_renews_itself_once_for_a_new_key(common: Client) -> None:
    before = common.enroll(common.challenge())
    body = csr(key())
    after = common.renew(before, body)
    assert after != before
    assert after.subject == before.subject
    assert common.renew(before, body) == after, "the same request again"
    assert common.refused(lambda: common.renew(before, csr(key()))) == "renewed_before"
    assert common.refused(lambda: common.renew(after, csr(common.key))) == "key_already_certified"


def test_two_renewals_of_a_certificate_at_once_are_one(client: Client) -> None:
    before = client.enroll(client.challenge())
    bodies = [csr(key()) for _ in range(3)]

    def renew(body: bytes) -> str:
        try:
            client.renew(before, body)
        except EtymonError as refusal:
            return refusal.code
        return "granted"

    with ThreadPoolExecutor(3) as threads:
        told = sorted(threads.map(renew, bodies))
    assert told == ["granted", "renewed_before", "renewed_before"]


def test_only_the_connectors_own_certificates_that_are_good_renew(common: Client) -> None:
    site = common.site
    certificate = common.enroll(common.challenge())
    body = csr(key())
    assert common.refused(lambda: common.renew(certificate, body, "fleet")) == "certificate_unknown"
    stranger = site.ca.authorities["managed"].certificate
    assert common.refused(lambda: common.renew(stranger, body)) == "certificate_unknown"
    with pytest.raises(EtymonError, match="certificate_required"):
        common.renew(None, body)
    serial = f"{certificate.serial_number:x}"
    endings.end_certificate(site.deps, site.client, CONNECTOR, serial, EndReason.KEY_COMPROMISE, source="192.0.2.1")
    assert common.refused(lambda: common.renew(certificate, body)) == "certificate_revoked"
    over = Client(site)
    ended = over.enroll(over.challenge())
    site.turn(days=366)
    assert over.refused(lambda: over.renew(ended, body)) == "certificate_expired"


def test_what_cannot_be_signed_now_is_pending_and_then_there(client: Client) -> None:
    challenge, body = client.challenge(), csr(client.key)
    with client.site.authority_without_key(), pytest.raises(enrollment.Pending):
        client.enroll(challenge, body)
    assert client.enroll(challenge, body).serial_number > 0


def test_a_connector_whose_challenges_an_outside_service_makes_is_for_scep_alone(common: Client) -> None:
    common.site.connector("clouded", source=ChallengeSource.INTUNE, client=None)
    with pytest.raises(EtymonError, match="est_not_offered"):
        common.enroll("anything", connector="clouded")


@pytest.mark.parametrize("name", [*Purpose, "cacerts", "simplereenroll"])
def test_no_connector_has_a_name_that_means_something_else_in_an_address(shared: SCEPSite, name: str) -> None:
    with pytest.raises(EtymonError, match="name_reserved"):
        shared.connector(str(name))


def test_an_elliptic_certificate_signs_nothing_by_scep(common: Client) -> None:
    """SCEP's answers are enveloped to the key that signed, so that an RSA device asks at the same connector."""
    device = common.site.device(connector=CONNECTOR)
    assert device.refused(device.message(device.request(common.challenge())))[1] == "key_type_not_allowed"
    larger = common.site.device(connector=CONNECTOR, key=common.site.key(3072))
    assert larger.enroll(common.challenge()).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
