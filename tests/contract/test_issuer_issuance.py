# SPDX-License-Identifier: Apache-2.0
"""Initial issuance by EST requests, with every refusal of est.md, on both engines."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from etymon.ca import certificates
from etymon.ca import issuance as ca_issuance
from etymon.directory import bindings
from etymon.issuer import completion, device_identity, follow_ups, initial_issuance, planning
from etymon.issuer.attestation import judging
from etymon.issuer.initial_issuance import Enrolled
from etymon.issuer.model import CredentialState, DerivationState, Purpose
from etymon.issuer.store import derivations
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotAuthenticated, NotPermitted, TooLarge, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki import certificate as reading
from etymon.pki import csr
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Database
from etymon.wire import est
from support.ca_site import csr_der, rsa_key
from support.clock import TurnedClock
from support.issuer_phone import Phone, transport_csr
from support.issuer_site import PHONE_ADDRESS, IssuerSite, Link


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


@pytest.fixture
def link(site: IssuerSite) -> Link:
    return site.linked()


def names(certificate: x509.Certificate) -> dict[str, object]:
    return {
        "common": reading.common_name(certificate),
        "upn": reading.upn(certificate),
        "mail": reading.mail(certificate),
    }


def test_a_phone_fetches_one_certificate_a_purpose(site: IssuerSite, link: Link) -> None:
    given = {purpose: link.enroll(purpose) for purpose in Purpose}
    authentication = given[Purpose.AUTHENTICATION].certificate
    assert names(authentication) == {"common": "Alice Example", "upn": "alice@agency.example", "mail": ()}
    assert names(given[Purpose.SIGNATURE].certificate)["mail"] == ("alice@agency.example",)
    assert names(given[Purpose.ENCRYPTION].certificate)["mail"] == ("alice@agency.example",)
    assert reading.spki(authentication) == link.phone.spki
    kept = site.derivation(link.begun)
    assert kept.state is DerivationState.COMPLETED
    credentials = site.credentials(link.begun)
    assert {credential.state for credential in credentials.values()} == {CredentialState.ACTIVE}
    for purpose, credential in credentials.items():
        certificate = given[purpose].certificate
        assert credential.thumbprint == reading.thumbprint(certificate)
        assert credential.serial_number == f"{certificate.serial_number:x}"
        assert credential.not_after == certificate.not_valid_after_utc
        assert credential.device_thumbprint == reading.thumbprint(link.phone.device) if link.phone.device else None
    assert credentials[Purpose.ENCRYPTION].escrowed_key is not None


def test_names_come_from_the_directory_and_never_from_the_request(link: Link) -> None:
    """The request's own idea of a name is `requester's own idea of a name`."""
    certificate = link.enroll().certificate
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "Alice Example"


def test_the_life_of_a_certificate_is_the_rule_s(site: IssuerSite) -> None:
    site.save_rule(lifetime=timedelta(days=90))
    end = site.linked().enroll().certificate.not_valid_after_utc
    assert timedelta(days=89) < end - site.clock.now() < timedelta(days=90)


def test_three_years_are_possible(site: IssuerSite) -> None:
    site.save_rule(lifetime=timedelta(days=3 * 365))
    end = site.linked().enroll().certificate.not_valid_after_utc
    assert end - site.clock.now() > timedelta(days=3 * 365 - 1)


def test_the_authentication_certificate_stands_for_the_person(site: IssuerSite, link: Link) -> None:
    certificate = link.enroll().certificate
    uuid = reading.card_uuid(certificate)
    with site.database.snapshot() as tx:
        person = bindings.person_for(tx, "derived", str(uuid))
    assert person is not None
    assert person.id == site.alice.id
    assert ExtendedKeyUsageOID.CLIENT_AUTH in list(
        certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )


def test_each_certificate_is_told_of_once(site: IssuerSite, link: Link) -> None:
    site.mail()
    link.enroll()
    link.enroll()
    (notice,) = site.mail()
    assert notice["subject"] == "A certificate for sign-in was issued to your phone"
    assert "/issuer/undo/" in notice["text"]
    assert len(site.events("issuer:credential:issued")) == 1
    (authorized,) = site.events("issuer:credential:authorized")
    assert authorized.facts["officer"] == str(site.officer.id)


# ---- again, and something else


def test_the_same_request_gets_the_same_certificate_while_the_authorization_lives(site: IssuerSite, link: Link) -> None:
    first = link.enroll()
    for purpose in (Purpose.SIGNATURE, Purpose.ENCRYPTION):  # also when everything is complete
        link.enroll(purpose)
    site.turn(minutes=14, seconds=59)
    assert link.enroll().certificate == first.certificate
    site.turn(seconds=1)
    with pytest.raises(NotAuthenticated, match="authorization_unknown"):
        link.enroll()


@pytest.mark.parametrize("purpose", [Purpose.SIGNATURE, Purpose.ENCRYPTION])
def test_another_request_for_the_same_purpose_is_a_conflict(link: Link, purpose: Purpose) -> None:
    link.enroll(purpose)
    other = csr_der(rsa_key()) if purpose is Purpose.SIGNATURE else link.phone.body(purpose) + b"\n"
    body = est.encode_body(other) if purpose is Purpose.SIGNATURE else other
    with pytest.raises(Conflict, match="authorization_used"):
        link.enroll(purpose, body=body)


def test_of_many_requests_at_once_one_is_served(site: IssuerSite, link: Link) -> None:
    bodies = [est.encode_body(csr_der(ec.generate_private_key(ec.SECP256R1()))) for _ in range(6)]
    together = threading.Barrier(len(bodies))

    def enroll(body: bytes) -> Enrolled | str:
        together.wait()
        try:
            return link.enroll(Purpose.SIGNATURE, body=body)
        except EtymonError as refusal:
            return refusal.code

    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(enroll, bodies))
    assert sorted(answer for answer in answers if isinstance(answer, str)) == ["authorization_used"] * 5
    assert len(site.credentials(link.begun)) == 1


def test_the_same_request_many_times_at_once_gets_one_certificate(site: IssuerSite, link: Link) -> None:
    link.phone.body(Purpose.AUTHENTICATION)
    together = threading.Barrier(6)

    def enroll(_: int) -> bytes:
        together.wait()
        return reading.to_der(link.enroll().certificate)

    with ThreadPoolExecutor(6) as threads:
        given = set(threads.map(enroll, range(6)))
    assert len(given) == 1
    assert len(site.events("issuer:credential:issued")) == 1


# ---- who asks


def test_without_the_authorization_nothing_is_given(link: Link) -> None:
    for wrong in ("", "x", "A" * 43):
        with pytest.raises(NotAuthenticated, match="authorization_unknown"):
            link.enroll(authorization=Secret(wrong))


def test_another_device_with_the_authorization_gets_nothing(site: IssuerSite, link: Link) -> None:
    with pytest.raises(NotPermitted, match="other_device"):
        link.enroll(on=site.phone())
    with pytest.raises(NotPermitted, match="other_device"):
        link.enroll(on=Phone(None))
    refused = site.events("issuer:credential:refused")
    assert [(event.subject, event.facts["code"]) for event in refused] == [
        (str(link.begun.derivation.id), "other_device")
    ] * 2


def test_a_device_identity_that_was_revoked_since_gets_nothing(site: IssuerSite, link: Link) -> None:
    site.revoke_device(link.phone)
    with pytest.raises(NotPermitted, match="revoked_by_database"):
        link.enroll()


def test_a_request_is_signed_by_the_link_key_for_its_own_purpose_and_body(link: Link) -> None:
    stranger = Phone(None)
    for wrong in (
        {"proof": stranger.sign(b"anything")},
        {"proof": b""},
        {"proof": bytes(2000)},
        {"signed_for": Purpose.SIGNATURE},
    ):
        with pytest.raises(NotPermitted, match="link_proof_wrong"):
            link.enroll(**wrong)
    genuine = link.request(Purpose.AUTHENTICATION)
    with pytest.raises(NotPermitted, match="link_proof_wrong"):
        link.enroll(proof=genuine.proof, body=genuine.body + b"\n")


def test_the_authentication_certificate_is_for_the_link_key_only(link: Link) -> None:
    other = est.encode_body(csr_der(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(NotPermitted, match="key_not_linked"):
        link.enroll(body=other)
    assert link.enroll().certificate.serial_number  # the refusal used nothing


def test_a_purpose_the_rule_leaves_out_is_not_given(site: IssuerSite) -> None:
    site.save_rule(purposes=(Purpose.AUTHENTICATION,))
    link = site.linked()
    with pytest.raises(NotPermitted, match="purpose_not_authorized"):
        link.enroll(Purpose.ENCRYPTION)
    link.enroll()
    assert site.derivation(link.begun).state is DerivationState.COMPLETED


# ---- what is asked


@pytest.mark.parametrize("body", [b"", b"!", b"AAAA", est.encode_body(b"\x30\x00"), est.encode_body(bytes(9000))])
def test_what_cannot_be_read_is_malformed(link: Link, body: bytes) -> None:
    with pytest.raises(Malformed):
        link.enroll(Purpose.SIGNATURE, body=body)


def test_a_request_of_more_than_16_kilobytes_is_too_large(link: Link) -> None:
    with pytest.raises(TooLarge):
        link.enroll(Purpose.SIGNATURE, body=b"A" * (16 * 1024 + 4))


def test_a_request_that_its_key_did_not_sign_proves_nothing(link: Link) -> None:
    broken = bytearray(csr_der(ec.generate_private_key(ec.SECP256R1())))
    broken[-1] ^= 1
    with pytest.raises(Malformed):
        link.enroll(Purpose.SIGNATURE, body=est.encode_body(bytes(broken)))


def test_a_key_the_rule_does_not_take_is_refused(site: IssuerSite) -> None:
    site.save_rule(key_types=frozenset({KeyType.P256}))
    link = site.linked()
    with pytest.raises(NotPermitted, match="key_type_not_allowed"):
        link.enroll(Purpose.SIGNATURE, body=est.encode_body(csr_der(ec.generate_private_key(ec.SECP384R1()))))
    assert link.enroll(Purpose.SIGNATURE).certificate.serial_number


def test_a_key_is_certified_once(site: IssuerSite, link: Link) -> None:
    link.enroll()
    with pytest.raises(Conflict, match="key_already_certified"):
        link.enroll(Purpose.SIGNATURE, body=est.encode_body(csr_der(link.phone.key)))
    assert site.credentials(link.begun).keys() == {Purpose.AUTHENTICATION}


def test_the_transport_key_is_an_rsa_key_that_names_itself(link: Link) -> None:
    key = rsa_key()
    assert isinstance(key, rsa.RSAPrivateKey)
    for wrong in (csr_der(link.phone.key), csr_der(key), transport_csr(key, bytes(20)), transport_csr(key, b"")):
        with pytest.raises(Malformed, match="transport_key"):
            link.enroll(Purpose.ENCRYPTION, body=est.encode_body(wrong))


# ---- when


def test_the_authorization_lives_fifteen_minutes(site: IssuerSite, link: Link) -> None:
    site.turn(minutes=15)
    with pytest.raises(NotAuthenticated, match="authorization_unknown"):
        link.enroll()
    follow_ups.sweep(site.deps)
    assert site.derivation(link.begun).state is DerivationState.EXPIRED


def test_what_was_fetched_in_time_stays(site: IssuerSite, link: Link) -> None:
    link.enroll()
    site.turn(minutes=15)
    follow_ups.sweep(site.deps)
    assert site.derivation(link.begun).state is DerivationState.COMPLETED
    with pytest.raises(NotAuthenticated, match="authorization_unknown"):
        link.enroll(Purpose.SIGNATURE)
    assert site.credentials(link.begun)[Purpose.AUTHENTICATION].state is CredentialState.ACTIVE


def test_nothing_is_issued_while_the_audit_trail_is_not_sealed(site: IssuerSite, link: Link) -> None:
    site.clock.advance(timedelta(seconds=61))
    with pytest.raises(Unavailable, match="audit_not_sealed"):
        link.enroll()
    site.ca.seal()
    assert link.enroll().certificate.serial_number


def test_an_account_that_ended_gets_nothing_more(site: IssuerSite, link: Link) -> None:
    site.end_account(site.alice)
    with pytest.raises(NotPermitted, match="not_eligible"):
        link.enroll()


def test_a_rule_that_was_withdrawn_issues_nothing_more(site: IssuerSite, link: Link) -> None:
    link.enroll()
    site.withdraw_rule()
    with pytest.raises(NotPermitted, match="rule_withdrawn"):
        link.enroll(Purpose.SIGNATURE)
    assert link.enroll().certificate.serial_number  # what was given before is given again


def test_a_derivation_that_was_ended_gives_nothing_more(site: IssuerSite, link: Link) -> None:
    link.enroll()
    site.end_own(link.begun)
    for purpose in (Purpose.AUTHENTICATION, Purpose.SIGNATURE):
        with pytest.raises(NotAuthenticated, match="authorization_unknown"):
            link.enroll(purpose)


# ---- what a killed process left behind


def plan_only(site: IssuerSite, link: Link, purpose: Purpose = Purpose.AUTHENTICATION) -> object:
    """Do what a process does that is killed between plan and signature."""
    request = link.request(purpose)
    proven = csr.verify_proof_of_possession(est.decode_body(request.body))
    judged = judging.judge(site.deps, purpose, proven.public_key, None, challenges=())
    with site.database.transaction() as tx:
        locked = derivations.lock(tx, link.begun.derivation.id)
        assert locked is not None
        return planning.use_authorization(tx, site.deps, locked, request, proven, judged, source=PHONE_ADDRESS)


def test_a_plan_left_behind_is_finished_by_a_worker(site: IssuerSite, link: Link) -> None:
    plan_only(site, link)
    site.mail()
    assert site.work() == 0  # not yet: whoever planned it may be at it
    site.turn(minutes=6)
    assert site.work() == 1
    credential = site.credentials(link.begun)[Purpose.AUTHENTICATION]
    assert credential.state is CredentialState.ACTIVE
    assert [notice["subject"] for notice in site.mail()] == ["A certificate for sign-in was issued to your phone"]
    certificate = link.enroll().certificate  # the phone asks again and gets the very same
    assert reading.thumbprint(certificate) == credential.thumbprint
    assert len(site.events("issuer:credential:issued")) == 1


def test_a_plan_left_behind_is_finished_by_the_phone_s_next_try(site: IssuerSite, link: Link) -> None:
    plan_only(site, link)
    certificate = link.enroll().certificate
    site.turn(minutes=6)
    site.work()
    assert site.credentials(link.begun)[Purpose.AUTHENTICATION].thumbprint == reading.thumbprint(certificate)


def test_a_signature_whose_end_was_not_written_down_is_used(site: IssuerSite, link: Link) -> None:
    """Killed after the authority signed and before the issuer knew."""
    plan_only(site, link)
    planned = site.credentials(link.begun)[Purpose.AUTHENTICATION]
    signed = ca_issuance.complete(site.ca.deps, planned.certificate).certificate
    assert link.enroll().certificate == signed


def test_a_plan_that_was_ended_meanwhile_is_never_signed(site: IssuerSite, link: Link) -> None:
    plan_only(site, link)
    site.end_own(link.begun)
    planned = site.credentials(link.begun)[Purpose.AUTHENTICATION]
    with pytest.raises(Conflict, match="certificate_abandoned"):
        ca_issuance.complete(site.ca.deps, planned.certificate)
    with pytest.raises(NotPermitted, match="credential_ended"):
        completion.finish(site.deps, planned.id)
    site.turn(minutes=6)
    assert site.work() == 1  # the job that would finish it has nothing to do


def test_a_plan_the_authority_gave_up_ends_the_credential(site: IssuerSite, link: Link) -> None:
    plan_only(site, link)
    planned = site.credentials(link.begun)[Purpose.AUTHENTICATION]
    with site.database.transaction() as tx:
        record = certificates.find(tx, planned.certificate)
        assert record is not None
        ca_issuance.abandon(tx, site.ca.deps, record)
    with pytest.raises(NotPermitted, match="credential_ended"):
        link.enroll()
    assert site.credentials(link.begun)[Purpose.AUTHENTICATION].state is CredentialState.ENDED


def test_a_certificate_that_was_revoked_is_not_handed_out_again(site: IssuerSite, link: Link) -> None:
    given = link.enroll().certificate
    site.end_own(link.begun)
    assert site.is_revoked(given)
    device = device_identity.judge(site.deps, link.phone.peer)
    with pytest.raises(NotAuthenticated):
        initial_issuance.redeem(site.deps, link.request(Purpose.AUTHENTICATION), device, source=PHONE_ADDRESS)
