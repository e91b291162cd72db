# SPDX-License-Identifier: Apache-2.0
"""Intune's contract: nothing is issued that it did not let through, nobody has a certificate that it did not take."""

import base64
from datetime import timedelta
from ipaddress import ip_address

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.issuer.intune import revocation
from etymon.issuer.scep import completion
from etymon.issuer.scep.model import ChallengeSource, EnrollmentState
from etymon.kernel.errors import Unavailable
from etymon.pki.certificate import SECURITY_IDENTIFIER_TAG, UPN_OTHER_NAME, alternative_names, mail, upn
from etymon.storage import jobs
from support import intune_service
from support.intune_service import as_json
from support.scep_site import SCEPSite
from support.tenancy import CHALLENGE, Tenancy

SID = "S-1-5-21-3623811015-3361044348-30300820-1013"


def san() -> list[x509.GeneralName]:
    return [
        x509.OtherName(UPN_OTHER_NAME, b"\x0c\x10alice@tenant.tld"),
        x509.RFC822Name("alice@tenant.tld"),
        x509.UniformResourceIdentifier(f"{SECURITY_IDENTIFIER_TAG}{SID}"),
    ]


def test_what_intune_confirms_is_issued_as_asked_and_told_before_it_is_given(tenancy: Tenancy) -> None:
    device = tenancy.device()
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = device.enroll(tenancy.challenge(), names=san(), extensions=[usage, purposes], transaction="T1")
    assert certificate.subject == device.subject()
    assert (upn(certificate), mail(certificate)) == ("alice@tenant.tld", ("alice@tenant.tld",))
    assert x509.UniformResourceIdentifier(f"{SECURITY_IDENTIFIER_TAG}{SID}") in alternative_names(certificate)
    assert [name for name, _ in tenancy.cloud.asked] == ["validateRequest", "successNotification"]
    (told,) = tenancy.cloud.of("successNotification")
    notification = told["notification"]
    assert notification["transactionId"] == "T1"
    assert notification["certificateSerialNumber"] == f"{certificate.serial_number:x}"
    assert notification["certificateThumbprint"] == certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - the contract's
    (asked,) = tenancy.cloud.of("validateRequest")
    assert x509.load_der_x509_csr(base64.b64decode(asked["request"]["certificateRequest"])).subject == device.subject()
    assert tenancy.cloud.token_scopes in ([], [f"{tenancy.cloud.url}/.default", intune_service.SERVICE_SCOPE])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ChallengeExpired", ("badTime", "challenge_expired")),
        ("ChallengeInvalidTimestamp", ("badTime", "challenge_expired")),
        ("SignatureValidationFailed", ("badMessageCheck", "proof_of_possession_failed")),
        ("SubjectNameMismatch", ("badRequest", "not_confirmed")),
        ("Unknown", ("badRequest", "not_confirmed")),
        ("<script>", ("badRequest", "not_confirmed")),
        ("", ("badRequest", "not_confirmed")),
    ],
)
def test_what_intune_does_not_confirm_is_refused(tenancy: Tenancy, code: str, expected: tuple[str, str]) -> None:
    tenancy.cloud.codes["validateRequest"] = code
    device = tenancy.device()
    assert device.refused(device.message(device.request(tenancy.challenge()))) == expected
    assert [name for name, _ in tenancy.cloud.asked] == ["validateRequest"]


@pytest.mark.parametrize("trouble", ["500", "401", "403", "400", "no JSON", "no code", "a list", "silence"])
def test_while_intune_does_not_answer_nothing_is_issued_and_the_device_comes_back(
    tenancy: Tenancy, trouble: str
) -> None:
    device, challenge = tenancy.device(), tenancy.challenge()
    message = device.message(device.request(challenge)).encode()
    before = tenancy.site.kept()
    if trouble.isdigit():
        tenancy.cloud.statuses["validateRequest"] = int(trouble)
    elif trouble == "silence":
        tenancy.cloud.silent = True
    else:
        tenancy.cloud.bodies["validateRequest"] = {"no JSON": b"<html>", "no code": b"{}", "a list": b"[]"}[trouble]
    with pytest.raises(Unavailable):
        device.send(message)
    assert tenancy.site.kept() == before
    tenancy.cloud.statuses.clear()
    tenancy.cloud.bodies.clear()
    tenancy.cloud.silent = False
    assert device.send(message).status == "success"


def test_a_certificate_that_intune_does_not_take_is_revoked_and_given_to_nobody(tenancy: Tenancy) -> None:
    tenancy.cloud.codes["successNotification"] = "BadDeviceIdInChallenge"
    device = tenancy.device()
    message = device.message(device.request(tenancy.challenge())).encode()
    reply = device.send(message)
    assert (reply.status, reply.refusal, reply.envelope) == ("failure", "badRequest", None)
    enrollment = tenancy.site.enrollments()[-1]
    assert enrollment.state is EnrollmentState.ENDED
    with tenancy.site.database.snapshot() as tx:
        assert tenancy.site.certificate_record(tx, enrollment).revoked_at is not None
    tenancy.cloud.codes.clear()
    assert device.send(message).status == "failure"


def test_a_certificate_waits_until_intune_has_taken_it(tenancy: Tenancy) -> None:
    tenancy.cloud.statuses["successNotification"] = 503
    device = tenancy.device()
    message = device.message(device.request(tenancy.challenge())).encode()
    with pytest.raises(Unavailable):
        device.send(message)
    waiting = tenancy.site.enrollments()[-1]
    assert waiting.state is EnrollmentState.PLANNED
    poll = device.message(tenancy.site.issuer_and_subject(device), type="20")
    assert device.send(poll).status == "pending"
    tenancy.cloud.statuses.clear()
    assert device.send(message).status == "success"
    assert len(tenancy.cloud.of("validateRequest")) == 1  # what was let through once is not asked about again


@pytest.mark.parametrize(
    "asked",
    [
        {"names": [x509.IPAddress(ip_address("192.0.2.1"))]},
        {"names": [x509.UniformResourceIdentifier("https://elsewhere.test/")]},
        {"names": [x509.RFC822Name("a@b.example"), x509.RFC822Name("c@d.example")]},
        {"extensions": [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])]},
        {"extensions": [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SMARTCARD_LOGON])]},
        {"subject": x509.Name([x509.NameAttribute(NameOID.LOCALITY_NAME, "Washington")])},
        {"subject": x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n) for n in ("a", "b")])},
    ],
    ids=str,
)
def test_what_is_not_in_the_profile_is_refused_and_intune_is_told(tenancy: Tenancy, asked: dict[str, object]) -> None:
    """Issuing something else than was confirmed would take the meaning from the confirmation."""
    device = tenancy.device()
    challenge = tenancy.challenge()
    reply = device.ask(challenge, **asked)
    assert (reply.status, reply.refusal) == ("failure", "badRequest")
    with tenancy.site.database.snapshot() as tx:
        (payload,) = tx.scalars(sa.select(jobs.jobs.c.payload).where(jobs.jobs.c.kind == completion.TELL_FAILURE))
    assert {"transaction", "detail", "sealed", "sealed_for"} == payload.keys()
    tenancy.site.work()
    (told,) = tenancy.cloud.of("failureNotification")
    assert told["notification"]["errorDescription"].startswith("not_in_profile")
    assert tenancy.cloud.of("successNotification") == []


def test_what_cannot_be_decided_now_is_no_failure_to_intune(tenancy: Tenancy) -> None:
    """Nothing is issued while the trail is not sealed; the device comes back with the same message."""
    device = tenancy.device()
    message = device.message(device.request(tenancy.challenge()))
    tenancy.site.turn(minutes=1)
    with tenancy.site.database.transaction() as tx:
        waiting = AuditEvent("test:event:waiting", "test", "nothing")
        trail.record(tx, tenancy.site.clock, tenancy.site.entropy, waiting)
    tenancy.site.clock.advance(timedelta(minutes=2))
    with pytest.raises(Unavailable, match="audit_not_sealed"):
        device.send(message)
    tenancy.site.turn(seconds=1)
    tenancy.site.work()
    assert tenancy.cloud.of("failureNotification") == []
    assert device.send(message).certificate.serial_number


def test_a_key_that_is_not_allowed_is_refused_before_intune_is_asked(tenancy: Tenancy) -> None:
    device = tenancy.site.device(key=tenancy.site.key(1024), connector="intune")
    reply = device.ask(tenancy.challenge())
    assert (reply.refusal, tenancy.cloud.asked) == ("badAlg", [])


def test_intunes_challenge_opens_nothing_for_another_request(tenancy: Tenancy) -> None:
    challenge = tenancy.challenge()
    tenancy.device().enroll(challenge)
    other = tenancy.device()
    assert other.refused(other.message(other.request(challenge))) == ("badRequest", "challenge_used")


def test_a_renewal_needs_a_challenge_of_intunes_too(tenancy: Tenancy) -> None:
    device = tenancy.device()
    device.enroll(tenancy.challenge())
    assert device.refused(device.renewal(tenancy.site.key())) == ("badRequest", "challenge_missing")
    renewal = device.message(device.request(tenancy.challenge(), key=tenancy.site.key()), type="17")
    assert device.send(renewal).status == "success"


def test_both_spellings_of_members_and_codes_are_read(tenancy: Tenancy) -> None:
    tenancy.cloud.capitals = True
    certificate = tenancy.device().enroll(tenancy.challenge())
    tenancy.cloud.revocations = [
        {"RequestContext": "c1", "SerialNumber": f"{certificate.serial_number:X}", "IssuerName": "CN=x"}
    ]
    assert revocation.pull(tenancy.site.deps, tenancy.connection) == 1
    assert tenancy.site.is_revoked(certificate)


# ---- where the services are


def test_tokens_and_addresses_are_kept_while_they_are_good(tenancy: Tenancy) -> None:
    tenancy.device().enroll(tenancy.challenge())
    tokens, look_ups = len(tenancy.cloud.token_scopes), tenancy.cloud.look_ups
    tenancy.device().enroll(tenancy.challenge())
    assert (len(tenancy.cloud.token_scopes), tenancy.cloud.look_ups) == (tokens, look_ups)
    tenancy.site.turn(hours=1)
    tenancy.device().enroll(tenancy.challenge())
    assert len(tenancy.cloud.token_scopes) == tokens + 1


def test_a_service_that_moved_is_looked_up_again(tenancy: Tenancy) -> None:
    tenancy.device().enroll(tenancy.challenge())
    before = tenancy.cloud.look_ups
    tenancy.connection._services = {"sceprequestvalidationfeservice": "https://localhost:1"}  # noqa: SLF001 - yesterday's
    tenancy.device().enroll(tenancy.challenge())
    assert tenancy.cloud.look_ups == before + 1


@pytest.mark.parametrize(
    "host",
    [
        "https://elsewhere.test",
        "http://localhost:1",
        "https://localhost.elsewhere.test",
        "https://[",
        "https://notlocalhost",
    ],
)
def test_no_host_is_talked_to_that_settings_do_not_name(tenancy: Tenancy, host: str) -> None:
    tenancy.connection._services = {}  # noqa: SLF001 - as after a start
    tenancy.cloud.service_url = host
    device = tenancy.device()
    with pytest.raises(Unavailable, match="intune_service_unknown"):
        device.send(device.message(device.request(tenancy.challenge())))
    tenancy.connection._services = {}  # noqa: SLF001 - the same


# ---- revocation


def test_what_intune_wants_revoked_is_revoked_and_answered(tenancy: Tenancy) -> None:
    mine = tenancy.device().enroll(tenancy.challenge())
    other = tenancy.site.device().enroll()
    tenancy.cloud.revocations = [
        {"requestContext": "c1", "serialNumber": f"00{mine.serial_number:X}", "issuerName": "CN=x"},
        {"requestContext": "c2", "serialNumber": f"{other.serial_number:x}"},
        {"requestContext": "c3", "serialNumber": "../../"},
        {"requestContext": "c4", "serialNumber": None},
    ]
    assert revocation.pull(tenancy.site.deps, tenancy.connection) == 4
    assert [(each["requestContext"], each["errorCode"]) for each in tenancy.cloud.results] == [
        ("c1", "None"),
        ("c2", "CertificateNotFoundError"),
        ("c3", "CertificateNotFoundError"),
        ("c4", "CertificateNotFoundError"),
    ]
    assert (tenancy.site.is_revoked(mine), tenancy.site.is_revoked(other)) == (True, False)
    tenancy.cloud.revocations = [{"requestContext": "c5", "serialNumber": f"{mine.serial_number:x}"}]
    revocation.pull(tenancy.site.deps, tenancy.connection)
    assert tenancy.cloud.results[-1]["succeeded"] is True


@pytest.mark.parametrize("body", [{}, {"value": "none"}, {"value": [1]}])
def test_a_pull_that_is_not_understood_changes_nothing(tenancy: Tenancy, body: dict[str, object]) -> None:
    tenancy.cloud.bodies["downloadRevocationRequests"] = as_json(body)
    with pytest.raises(Unavailable):
        revocation.pull(tenancy.site.deps, tenancy.connection)


def test_results_that_are_not_taken_are_an_error(tenancy: Tenancy) -> None:
    tenancy.cloud.revocations = [{"requestContext": "c", "serialNumber": "1"}]
    tenancy.cloud.bodies["uploadRevocationResults"] = as_json({"value": False})
    with pytest.raises(Unavailable):
        revocation.pull(tenancy.site.deps, tenancy.connection)


def test_without_a_connector_nothing_is_pulled(site: SCEPSite, tenancy: Tenancy) -> None:
    assert revocation.pull(site.deps, tenancy.connection) == 0
    assert tenancy.cloud.asked == []


def test_without_a_tenant_nothing_is_issued(site: SCEPSite) -> None:
    site.connector("intune", source=ChallengeSource.INTUNE, client=None)
    device = site.device(connector="intune")
    with pytest.raises(Unavailable, match="validation_unavailable"):
        device.send(device.message(device.request(CHALLENGE)))
    assert site.enrollments() == []
    assert jobs.claim(site.database, site.clock, [completion.FINISH]) == []
