# SPDX-License-Identifier: Apache-2.0
"""Enrollment by SCEP: one challenge, one certificate, whoever asks at once and however often."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.ca import crl
from etymon.ca.model import CertificateState
from etymon.directory import people
from etymon.directory.model import TerminationReason
from etymon.issuer import invalidation, terminations
from etymon.issuer.model import EndReason
from etymon.issuer.scep import completion, endings
from etymon.issuer.scep.model import CHALLENGE_LIFETIME, EnrollmentState, Holder
from etymon.kernel.errors import NotPermitted
from etymon.pki.certificate import card_uuid, mail, upn
from support.scep_client import Reply
from support.scep_site import Device, SCEPSite


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_a_certificate_says_what_the_records_say(site: SCEPSite) -> None:
    number = uuid.uuid4()
    device = site.device()
    certificate = device.enroll(site.challenge(Holder(site.alice.id, number, "Alice's tablet")))
    assert (common_name(certificate), upn(certificate)) == ("Alice Example", "alice@agency.example")
    assert (mail(certificate), card_uuid(certificate)) == (("alice@agency.example",), number)
    certificate.verify_directly_issued_by(site.ca.authorities["managed"].certificate)
    issued = site.events("issuer:scep_enrollment:issued")
    (enrollment,) = site.enrollments()
    assert [event.subject for event in issued] == [str(enrollment.id)]
    (authorized,) = site.events("issuer:scep_enrollment:authorized")
    assert authorized.facts["officer"] == str(site.officer.id)
    assert authorized.facts["stands_on"] == f"challenge:{enrollment.challenge}"


def test_a_device_without_a_person_has_the_name_its_endpoint_manager_gave_it(site: SCEPSite) -> None:
    number = uuid.uuid4()
    device = site.device(common_name="kiosk 7")
    certificate = device.enroll(site.challenge(Holder(None, number, "kiosk 7")))
    assert (common_name(certificate), card_uuid(certificate)) == ("kiosk 7", number)
    assert (mail(certificate), upn(certificate)) == ((), None)


def test_the_same_message_again_gets_the_same_certificate(site: SCEPSite) -> None:
    device = site.device()
    message = device.message(device.request(site.challenge())).encode()
    first = device.send(message)
    site.turn(hours=2)  # the challenge would be over
    again = device.send(message)
    assert again.certificate == first.certificate
    assert again.sender_nonce != first.sender_nonce
    other_envelope = device.message(device.request(site.challenge()))
    assert other_envelope.encode() != message
    assert len(site.enrollments()) == 1


def test_a_used_challenge_opens_nothing_for_another_request(site: SCEPSite) -> None:
    challenge = site.challenge()
    site.device().enroll(challenge)
    thief = site.device()
    assert thief.refused(thief.message(thief.request(challenge))) == ("badRequest", "challenge_used")


def test_an_expired_challenge_opens_nothing(site: SCEPSite) -> None:
    challenge = site.challenge()
    site.turn(seconds=CHALLENGE_LIFETIME.total_seconds())
    device = site.device()
    assert device.refused(device.message(device.request(challenge))) == ("badTime", "challenge_expired")


def test_a_challenge_is_good_until_its_last_second(site: SCEPSite) -> None:
    challenge = site.challenge()
    site.turn(seconds=CHALLENGE_LIFETIME.total_seconds() - 1)
    site.device().enroll(challenge)


def at_once(sends: list[Callable[[], Reply]]) -> list[Reply]:
    with ThreadPoolExecutor(len(sends)) as threads:
        return list(threads.map(lambda send: send(), sends))


def test_of_two_requests_at_once_under_one_challenge_one_is_granted(site: SCEPSite) -> None:
    challenge = site.challenge()
    devices = [site.device() for _ in range(4)]
    messages = [device.message(device.request(challenge)).encode() for device in devices]
    replies = at_once([lambda d=d, m=m: d.send(m) for d, m in zip(devices, messages, strict=True)])  # type: ignore[misc]  # a default that binds
    assert sorted(reply.status for reply in replies) == ["failure", "failure", "failure", "success"]
    assert {reply.refusal for reply in replies} == {None, "badRequest"}
    assert len(site.enrollments()) == 1
    assert [event.facts["code"] for event in site.refusals()] == ["challenge_used"] * 3


def test_the_same_request_at_once_gets_one_certificate(site: SCEPSite) -> None:
    device = site.device()
    message = device.message(device.request(site.challenge())).encode()
    replies = at_once([lambda: device.send(message)] * 4)
    assert len({reply.certificate for reply in replies}) == 1
    assert len(site.enrollments()) == 1
    assert len(site.events("issuer:scep_enrollment:issued")) == 1


def test_a_challenge_stays_good_when_nothing_could_be_planned(site: SCEPSite) -> None:
    """A key that has a certificate already does not burn the challenge."""
    device = site.device()
    device.enroll()
    challenge = site.challenge()
    again = site.device(key=device.key)
    assert again.refused(again.message(again.request(challenge))) == ("badRequest", "key_already_certified")
    site.device().enroll(challenge)


# ---- renewal: with the certificate, always for a new key


def test_a_certificate_renews_itself_once_for_a_new_key(site: SCEPSite) -> None:
    device = site.device()
    first = device.enroll()
    message = device.renewal(site.key()).encode()
    second = device.send(message).certificate
    assert second.subject == first.subject
    assert second.public_key() != first.public_key()
    assert device.send(message).certificate == second
    assert device.refused(device.renewal(site.key())) == ("badRequest", "renewed_before")
    assert not site.is_revoked(first)


def test_two_renewals_of_a_certificate_at_once_are_one(site: SCEPSite) -> None:
    device = site.device()
    device.enroll()
    messages = [device.renewal(site.key()).encode() for _ in range(3)]
    replies = at_once([lambda m=m: device.send(m) for m in messages])  # type: ignore[misc]  # a default that binds
    assert sorted(reply.status for reply in replies) == ["failure", "failure", "success"]
    assert len(site.enrollments()) == 2


def test_a_renewal_may_call_itself_a_first_request_as_some_clients_do(site: SCEPSite) -> None:
    device = site.device()
    device.enroll()
    assert device.send(device.renewal(site.key(), type="19")).status == "success"


def test_a_renewal_bears_the_names_of_now(site: SCEPSite) -> None:
    device = site.device()
    device.enroll()
    site.rename(site.alice, "Alice Married")
    device.common_name = "Alice Married"
    assert common_name(device.send(device.renewal(site.key())).certificate) == "Alice Married"


def test_nobody_renews_for_a_person_who_has_left(site: SCEPSite) -> None:
    device, waiting = site.device(), site.challenge()
    certificate = device.enroll()
    site.end_account(site.alice)
    assert device.refused(device.renewal(site.key())) == ("badRequest", "not_eligible")
    late = site.device()
    assert late.refused(late.message(late.request(waiting))) == ("badRequest", "not_eligible")
    endings.account_ended(site.deps, site.alice.id)
    assert site.is_revoked(certificate)
    assert device.refused(device.renewal(site.key())) == ("badRequest", "certificate_revoked")


def test_the_end_of_an_account_is_over_when_its_devices_certificates_are(site: SCEPSite) -> None:
    """Eighteen hours are for all that stands for a person, whoever manages the device (FIPS 201-3 §2.9.4)."""
    certificate = site.device().enroll(site.challenge())
    with site.database.transaction() as tx:
        people.end_account(tx, site.deps, site.alice.id, reason=TerminationReason.SEPARATION, actor="test")
    invalidation.account_ended(site.deps, site.alice.id, TerminationReason.SEPARATION)
    assert not terminations.close(site.deps, site.alice.id), "the device still has its certificate"
    endings.account_ended(site.deps, site.alice.id)
    assert not terminations.close(site.deps, site.alice.id), "nobody who reads the list knows it"
    listed = x509.load_der_x509_crl(crl.refresh(site.ca.deps, "managed").der)
    assert listed.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    assert terminations.close(site.deps, site.alice.id)
    (closed,) = site.events("directory:termination:closed")
    assert closed.facts == {"certificates": 1}


def test_an_ended_certificate_is_not_given_out_again(site: SCEPSite) -> None:
    device = site.device()
    message = device.message(device.request(site.challenge()))
    device.certificate = device.send(message).certificate
    serial = f"{device.certificate.serial_number:x}"
    endings.end_certificate(site.deps, site.client, "fleet", serial, EndReason.KEY_COMPROMISE, source="192.0.2.1")
    assert device.refused(message) == ("badRequest", "enrollment_ended")
    assert device.refused(device.renewal(site.key())) == ("badRequest", "certificate_revoked")


# ---- what was planned is finished


def test_a_client_asks_again_while_the_authority_cannot_sign(site: SCEPSite) -> None:
    device = site.device()
    message = device.message(device.request(site.challenge()))
    with site.authority_without_key():
        assert device.send(message).status == "pending"
        poll = device.message(site.issuer_and_subject(device), type="20")
        assert device.send(poll).status == "pending"
    (enrollment,) = site.enrollments()
    assert enrollment.state is EnrollmentState.PLANNED
    polled = device.send(poll)
    assert device.send(message).certificate == polled.certificate


def test_a_poll_by_another_key_or_for_another_transaction_finds_nothing(site: SCEPSite) -> None:
    device, other = site.device(), site.device()
    device.enroll()
    content = site.issuer_and_subject(device)
    device.certificate = None
    found = device.send(device.message(content, type="20"))
    assert found.certificate.public_key() == device.key.public_key()
    assert device.refused(device.message(content, type="20", transaction="FF")) == ("badCertId", "certificate_unknown")
    assert other.refused(other.message(content, type="20")) == ("badCertId", "certificate_unknown")


def test_a_worker_finishes_what_nobody_came_back_for(site: SCEPSite) -> None:
    device = site.device()
    with site.authority_without_key():
        device.send(device.message(device.request(site.challenge())))
    site.turn(minutes=6)
    site.work()
    (enrollment,) = site.enrollments()
    assert enrollment.state is EnrollmentState.ACTIVE
    with site.database.snapshot() as tx:
        assert site.certificate_record(tx, enrollment).state is CertificateState.ISSUED


def test_an_account_that_ends_between_plan_and_signature_gets_nothing(site: SCEPSite) -> None:
    device = site.device()
    with site.authority_without_key():
        device.send(device.message(device.request(site.challenge())))
    site.end_account(site.alice)
    (enrollment,) = site.enrollments()
    with pytest.raises(NotPermitted, match="enrollment_ended"):
        completion.finish(site.deps, enrollment.id)
    (ended,) = site.enrollments()
    assert (ended.state, ended.end_reason) == (EnrollmentState.ENDED, EndReason.AFFILIATION_CHANGED)


def test_challenges_that_nobody_used_are_forgotten_after_a_day(site: SCEPSite) -> None:
    site.challenge()
    device = site.device()
    device.enroll()
    site.turn(hours=26)
    site.sweep()
    _, kept, _, _ = site.kept()
    assert [row.request_digest is None for row in kept] == [False]


def test_a_registration_authority_is_renewed_and_the_older_one_still_opens_messages(site: SCEPSite) -> None:
    old = site.registrar
    site.turn(days=340)
    site.connector()
    assert site.registrar != old
    device = site.device()
    device.enroll(recipients=[old])
    site.turn(days=30)
    device = site.device()
    late = device.message(device.request(site.challenge()), recipients=[old])
    assert device.refused(late) == ("badMessageCheck", "message_not_opened")


def test_a_connector_gives_lifetimes_within_its_profile(site: SCEPSite) -> None:
    site.connector("weekly", lifetime=timedelta(days=7))
    certificate = Device(site, site.key(), connector="weekly").enroll()
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=7, seconds=-1)
