# SPDX-License-Identifier: Apache-2.0
"""Connectors when a key ceremony has made another issuing authority, or has revoked the one before."""

import base64
from dataclasses import replace

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import authorities, ceremony
from etymon.ca.model import RevocationReason, SubjectNames
from etymon.issuer import incidents
from etymon.issuer.incidents import Suspect
from etymon.issuer.model import EndReason
from etymon.issuer.officers import Order
from etymon.issuer.scep import completion, own_certificates, registration_authority, transport
from etymon.issuer.scep.model import ChallengeSource, EnrollmentState
from etymon.kernel.errors import EtymonError, NotPermitted, Unavailable
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import to_der
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import scep
from etymon.wire.scep import CertificateIdentity
from support.scep_site import Device, SCEPSite


def authority(site: SCEPSite, name: str) -> x509.Certificate:
    with site.database.snapshot() as tx:
        return authorities.load(tx, name).certificate


def make_successor(site: SCEPSite) -> None:
    """Make `managed-2`; it begins later, as one of another day does."""
    site.turn(days=1)
    (like,) = [new for new in ceremony.deployment(SubjectNames(organization="Agency")) if new.name == "managed"]
    second = replace(like, name="managed-2", subject=replace(like.subject, common_name="Managed Endpoint CA 2"))
    ceremony.create(site.ca.deps, site.ca.keys, [second], actor="ceremony")


def revoke(site: SCEPSite, name: str = "managed") -> None:
    with site.database.transaction() as tx:
        authorities.revoke(tx, site.ca.deps, name, RevocationReason.CA_COMPROMISE, actor="ceremony")


def asked(device: Device, of: x509.Certificate, serial: int, kind: str) -> bytes:
    identity = CertificateIdentity(of.subject.public_bytes(), serial)
    return device.message(scep.encode_certificate_identity(identity), type=kind).encode()


def test_a_successor_is_followed_and_what_was_begun_goes_on(site: SCEPSite) -> None:
    old, device, waiting = site.registrar, site.device(), site.device()
    first = device.enroll()
    message = waiting.message(waiting.request(site.challenge())).encode()
    with site.authority_without_key():
        assert waiting.send(message).status == "pending"
    make_successor(site)
    assert site.registrar == old, "clients learn of both at once"
    assert registration_authority.renew(site.deps)
    assert not registration_authority.renew(site.deps)
    before, now = authority(site, "managed"), authority(site, "managed-2")
    assert (old.issuer, site.registrar.issuer) == (before.subject, now.subject)
    waiting.send(message).certificate.verify_directly_issued_by(before)
    late = site.device()
    late.enroll(recipients=[old]).verify_directly_issued_by(now)
    renewed = device.send(device.renewal(site.key())).certificate
    renewed.verify_directly_issued_by(now)
    assert device.send(asked(device, before, first.serial_number, "21")).certificate == first
    assert device.refused(asked(device, now, first.serial_number, "21")) == ("badCertId", "certificate_unknown")
    for of in (before, now):
        (found,) = cms.ContentInfo.load(device.send(asked(device, of, 1, "22")).content)["content"]["crls"]
        assert x509.load_der_x509_crl(found.chosen.dump()).issuer == of.subject


def test_a_revoked_authority_certifies_nothing_and_its_registration_authority_is_gone(site: SCEPSite) -> None:
    old, device, waiting = site.registrar, site.device(), site.device()
    with site.authority_without_key():
        assert waiting.send(waiting.message(waiting.request(site.challenge()))).status == "pending"
    message = device.message(device.request(site.challenge())).encode()
    revoke(site)
    with pytest.raises(Unavailable, match="authority_revoked"):
        device.send(message)
    assert [event.facts["code"] for event in site.refusals(device.address)] == ["authority_revoked"]
    assert not registration_authority.renew(site.deps)
    make_successor(site)
    with pytest.raises(Unavailable, match="registration_authority_missing"):
        device.send(message)
    assert registration_authority.renew(site.deps)
    device.enroll().verify_directly_issued_by(authority(site, "managed-2"))
    late = site.device()
    assert late.refused(late.message(late.request(site.challenge()), recipients=[old])) == (
        "badMessageCheck",
        "message_not_opened",
    )
    begun = site.enrollments()[0]
    with pytest.raises(NotPermitted, match="enrollment_ended"):
        completion.finish(site.deps, begun.id)
    assert site.enrollments()[0].state is EnrollmentState.ENDED


def test_what_a_revoked_authority_certified_renews_by_no_protocol(site: SCEPSite) -> None:
    """Whoever has the authority's key can make such a certificate: it opens nothing at the successor."""
    site.connector("kiosks", key_types=frozenset({KeyType.RSA2048}))
    device = site.device(connector="kiosks")
    device.enroll()
    make_successor(site)
    registration_authority.renew(site.deps)
    revoke(site)
    assert device.certificate is not None
    with site.database.snapshot() as tx:
        own = own_certificates.find(tx, transport.load(tx, "kiosks"), to_der(device.certificate))
    assert own is not None
    assert own.enrollment.state is EnrollmentState.ACTIVE, "whatever else is not done about it yet"
    before = site.kept()
    assert device.refused(device.renewal(site.key()))[1] == "certificate_revoked"
    shown = PeerCertificate(to_der(device.certificate))
    request = x509.CertificateSigningRequestBuilder().subject_name(device.certificate.subject)
    body = base64.b64encode(request.sign(site.key(), hashes.SHA256()).public_bytes(Encoding.DER))
    with pytest.raises(EtymonError) as refused:
        transport.renew(site.deps, "kiosks", body, shown, source=device.address)
    assert refused.value.code == "certificate_revoked"
    assert site.kept() == before
    site.connector("kiosks", source=ChallengeSource.INTUNE, client=None)
    confirmed = device.message(device.request("a challenge of Intune's", key=site.key()), type="17")
    assert device.refused(confirmed)[1] == "certificate_revoked"


def test_what_an_authority_certified_for_devices_ends_in_batches(site: SCEPSite) -> None:
    since, devices = site.clock.now(), [site.device() for _ in range(2)]
    for device in devices:
        device.enroll()
    make_successor(site)
    registration_authority.renew(site.deps)
    site.device().enroll()
    order = Order(site.officer.id, EndReason.SUPERSEDED, "The authority's key is suspect.")
    suspect = Suspect(since, authority="managed")
    told = [incidents.end_authorized(site.deps, suspect, order, at_most=1) for _ in range(3)]
    assert [(each.managed, each.remaining) for each in told] == [(1, 1), (1, 0), (0, 0)]
    assert [each.state for each in site.enrollments()] == [EnrollmentState.ENDED] * 2 + [EnrollmentState.ACTIVE]
