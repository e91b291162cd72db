# SPDX-License-Identifier: Apache-2.0
"""What the device listener answers to phones over TLS: documents, headers, statuses (link.md, est.md)."""

import base64
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from etymon.issuer.model import Purpose
from etymon.wire import est, link_qr
from support.issuer_listeners import RunningIssuer
from support.issuer_phone import Phone
from support.issuer_site import Link
from support.issuer_story import redemption, waiting


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:etymon:problem:{answer.json()['title']}"
    return answer.status_code, answer.json()["title"]


SHA256_WITH_RSA = "1.2.840.113549.1.1.11"
REDEEM, AUTHORIZATION = "/issuer/link/v1/redeem", "/issuer/link/v1/authorization"


def test_a_phone_finds_redeems_waits_and_enrolls(issuer: RunningIssuer) -> None:
    site = issuer.site
    found = issuer.program().get("/issuer/.well-known/etymon-issuer").json()
    assert found == {
        "protocol": 1,
        "name": "Example Agency",
        "redeem": site.deps.device_url + REDEEM,
        "authorization": site.deps.device_url + AUTHORIZATION,
        "est": site.deps.device_url + "/.well-known/est",
        "rekeyConfirmation": site.deps.device_url + "/issuer/rekey/v1/confirmation",
        "keyHistory": site.deps.device_url + "/issuer/key-history/v1",
        "attestationChallenge": site.deps.device_url + "/issuer/attestation/v1/challenge",
    }
    session, phone = site.present_card(), site.phone()
    begun = site.begin(session)
    client = issuer.client(phone)
    answer = client.post(REDEEM, json=redemption(begun, phone, later="ignored"))
    assert answer.status_code == 200
    kept = site.derivation(begun)
    assert kept.link is not None
    assert answer.json() == {
        "person": {"displayName": "Alice Example", "mail": "a…e@agency.example"},
        "issuer": "Example Agency",
        "digits": kept.link.digits,
        "expiresAt": f"{kept.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        "purposes": ["authentication", "signature", "encryption"],
    }
    assert client.post(AUTHORIZATION, json=waiting(begun, phone)).json() == {"state": "waiting"}
    with ThreadPoolExecutor(1) as thread:  # one request waits while the PC confirms
        held = thread.submit(client.post, AUTHORIZATION, json=waiting(begun, phone, wait=25))
        site.confirm(session, begun, phone)
        confirmed = held.result().json()
    assert (confirmed["state"], confirmed["purposes"]) == ("confirmed", ["authentication", "signature", "encryption"])
    body = phone.body(Purpose.AUTHENTICATION)
    answer = client.post(
        "/.well-known/est/authentication/simpleenroll", content=body, headers=est_headers(phone, confirmed, body)
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.headers["content-transfer-encoding"] == "base64"
    assert "content-length" in answer.headers  # a client in the field reads no chunks
    assert b"\n" not in answer.content
    (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
    assert certificate.public_key() == phone.key.public_key()


def est_headers(phone: Phone, confirmed: dict[str, Any], body: bytes, **changes: str) -> dict[str, str]:
    proof = phone.sign(link_qr.request_message("authentication", body))
    headers = {
        "Authorization": f"Bearer {confirmed['authorization']}",
        "Link-Proof": base64.b64encode(proof).decode(),
        "Content-Type": "application/pkcs10",
        **changes,
    }
    return {name: value for name, value in headers.items() if value}


# ---- redeem


@pytest.mark.parametrize(
    "changes",
    [
        {"link": "x"},
        {"link": 7},
        {"secret": "x"},
        {"secret": "!" * 22},
        {"secret": None},
        *(
            {"password": wrong}
            for wrong in ("", "1234567", "123456789", "1234 5678", "1234567x", "١٢٣٤٥٦٧٨", 12345678, True)
        ),
        {"password": "1" * 1000},
        {"password": ["12345678"]},
        {"key": "!"},
        {"key": ""},
        {"device": "phone"},
        {"device": {"model": "a\nb"}},
        {"device": {"model": "m" * 101}},
    ],
    ids=str,
)
def test_a_redemption_that_cannot_be_read_is_malformed(issuer: RunningIssuer, changes: dict[str, Any]) -> None:
    phone, begun = issuer.site.phone(), issuer.site.begin(issuer.site.present_card())
    status, code = problem(issuer.client(phone).post(REDEEM, json=redemption(begun, phone, **changes)))
    assert (status, code) in {(400, "malformed"), (400, "malformed_key")}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"[" * 5000])
def test_what_is_no_document_is_malformed(issuer: RunningIssuer, body: bytes) -> None:
    client = issuer.client(issuer.site.phone())
    for path in (REDEEM, AUTHORIZATION):
        assert problem(client.post(path, content=body)) == (400, "malformed")


def test_another_version_is_told_what_is_spoken(issuer: RunningIssuer) -> None:
    phone, begun = issuer.site.phone(), issuer.site.begin(issuer.site.present_card())
    for version in (2, "1", None, True):
        answer = issuer.client(phone).post(REDEEM, json=redemption(begun, phone, protocol=version))
        assert problem(answer) == (400, "unsupported_version")
        assert answer.json()["supported"] == [1]


def test_documents_have_a_limit(issuer: RunningIssuer) -> None:
    answer = issuer.client(issuer.site.phone()).post(REDEEM, content=b" " * (64 * 1024 + 1))
    assert problem(answer) == (413, "body_too_large")


def test_without_a_device_identity_the_door_stays_shut(issuer: RunningIssuer) -> None:
    phone, begun = issuer.site.phone(), issuer.site.begin(issuer.site.present_card())
    answer = issuer.client().post(REDEEM, json=redemption(begun, phone))
    assert problem(answer) == (401, "device_identity_required")


def test_refusals_have_their_status(issuer: RunningIssuer) -> None:
    site = issuer.site
    phone, begun = site.phone(), site.begin(site.present_card())
    client = issuer.client(phone)
    wrong = redemption(begun, phone, secret="A" * 22)
    assert problem(client.post(REDEEM, json=wrong)) == (403, "link_secret_wrong")
    unknown = redemption(begun, phone, link=str(site.alice.id))
    assert problem(client.post(REDEEM, json=unknown)) == (404, "link_unknown")
    assert client.post(REDEEM, json=redemption(begun, phone)).status_code == 200
    other = site.phone()
    answer = issuer.client(other).post(REDEEM, json=redemption(begun, other))
    assert problem(answer) == (409, "link_already_redeemed")
    assert problem(client.post(AUTHORIZATION, json=waiting(begun, other))) == (403, "link_proof_wrong")
    site.turn(minutes=10)
    assert problem(client.post(REDEEM, json=redemption(begun, phone))) == (410, "link_expired")
    assert problem(client.post(AUTHORIZATION, json=waiting(begun, phone, wait=25))) == (410, "link_expired")


@pytest.mark.parametrize("wait", [26, -1, "20", 1.5, True])
def test_a_phone_waits_twenty_five_seconds_at_most(issuer: RunningIssuer, wait: Any) -> None:
    phone, begun = issuer.site.phone(), issuer.site.begin(issuer.site.present_card())
    answer = issuer.client(phone).post(AUTHORIZATION, json=waiting(begun, phone, wait=wait))
    assert problem(answer) == (400, "malformed")


def test_a_phone_that_asks_anew_waits_once(issuer: RunningIssuer) -> None:
    site, phone = issuer.site, issuer.site.phone()
    begun = site.begin(site.present_card())
    site.redeem(phone, begun)
    client = issuer.client(phone)
    with ThreadPoolExecutor(2) as thread:
        held = [thread.submit(client.post, AUTHORIZATION, json=waiting(begun, phone, wait=wait)) for wait in (25, 25)]
        first = next(as_completed(held, timeout=20))
        assert first.result().json() == {"state": "waiting"}
        assert client.post(AUTHORIZATION, json=waiting(begun, phone, wait=1)).json() == {"state": "waiting"}
        assert {each.result(timeout=10).status_code for each in held} == {200}


def test_a_waiting_phone_is_told_that_it_was_refused(issuer: RunningIssuer) -> None:
    site = issuer.site
    session, phone = site.present_card(), site.phone()
    begun = site.begin(session)
    site.redeem(phone, begun)
    client = issuer.client(phone)
    assert client.post(AUTHORIZATION, json=waiting(begun, phone, wait=1)).json() == {"state": "waiting"}
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(client.post, AUTHORIZATION, json=waiting(begun, phone, wait=25))
        site.deny(session, begun)
        assert problem(held.result()) == (403, "link_denied")


# ---- EST


@pytest.fixture
def link(issuer: RunningIssuer) -> Link:
    return issuer.site.linked()


def enroll(
    issuer: RunningIssuer,
    link: Link,
    headers: dict[str, str] | None = None,
    *,
    label: str = "authentication",
    body: bytes | None = None,
) -> httpx.Response:
    sent = link.phone.body(Purpose.AUTHENTICATION) if body is None else body
    confirmed = {"authorization": link.authorized.authorization.reveal()}
    every = est_headers(link.phone, confirmed, sent, **(headers or {}))
    return issuer.client(link.phone).post(f"/.well-known/est/{label}/simpleenroll", content=sent, headers=every)


def test_a_request_is_read_with_line_breaks_and_without_transfer_encoding(issuer: RunningIssuer, link: Link) -> None:
    der = est.decode_body(link.phone.body(Purpose.AUTHENTICATION))
    answer = enroll(issuer, link, body=base64.encodebytes(der))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Basic YTpi"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer " + "A" * 200}, 401),
        ({"Link-Proof": ""}, 403),
        ({"Link-Proof": "!"}, 403),
        ({"Link-Proof": "AAAA"}, 403),
        ({"Content-Type": "application/json"}, 400),
        ({"Content-Type": ""}, 400),
    ],
    ids=str,
)
def test_a_request_that_is_not_authenticated_is_refused(
    issuer: RunningIssuer, link: Link, headers: dict[str, str], status: int
) -> None:
    answer = enroll(issuer, link, headers)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.text.splitlines()) == 1
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_est_refusals_have_their_status(issuer: RunningIssuer, link: Link) -> None:
    assert enroll(issuer, link, body=b"AAAA").status_code == 400
    assert enroll(issuer, link, body=b"A" * (16 * 1024 + 1)).status_code == 413
    assert enroll(issuer, link, label="encryption").status_code == 404
    assert enroll(issuer, link, label="other").status_code == 404
    assert enroll(issuer, link).status_code == 200
    der = est.decode_body(link.phone.body(Purpose.AUTHENTICATION))
    again = enroll(issuer, link, body=base64.encodebytes(der))  # the same request, other bytes
    assert (again.status_code, again.headers["error-code"]) == (409, "authorization_used")


def test_stopped_issuance_says_when_to_come_back(issuer: RunningIssuer, link: Link) -> None:
    issuer.site.clock.advance(timedelta(minutes=2))
    answer = enroll(issuer, link)
    assert (answer.status_code, answer.headers["error-code"]) == (503, "audit_not_sealed")
    assert int(answer.headers["retry-after"]) > 0


def test_a_revoked_or_foreign_certificate_enrolls_nothing(issuer: RunningIssuer, link: Link) -> None:
    issuer.site.revoke_device(link.phone)
    assert enroll(issuer, link).headers["error-code"] == "revoked_by_database"


def test_a_card_at_the_device_listener_is_told_that_it_is_one(issuer: RunningIssuer, link: Link) -> None:
    card = issuer.site.card
    intruder = Phone(card.certificate, card.key, key=link.phone.key)  # type: ignore[arg-type]  # the card's key is P-256
    body = link.phone.body(Purpose.AUTHENTICATION)
    confirmed = {"authorization": link.authorized.authorization.reveal()}
    answer = issuer.client(intruder).post(
        "/.well-known/est/authentication/simpleenroll",
        content=body,
        headers=est_headers(link.phone, confirmed, body),
    )
    assert (answer.status_code, answer.headers["error-code"]) == (403, "wrong_certificate_kind")


def test_cacerts_and_csrattrs_ask_for_no_certificate(issuer: RunningIssuer) -> None:
    client = issuer.client()
    for path in ("cacerts", "signature/cacerts"):
        answer = client.get(f"/.well-known/est/{path}")
        shown = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
        expected = {issuer.site.ca.authorities[name].certificate for name in ("derived", "derived-root")}
        assert set(shown) == expected
    unknown = client.get("/.well-known/est/anything/cacerts")  # certificates of which authority would be a guess
    assert (unknown.status_code, unknown.headers["error-code"]) == (404, "label_unknown")
    answer = client.get("/.well-known/est/authentication/csrattrs")
    assert est.decode_csr_attributes(base64.b64decode(answer.content))[0] == ("p256", "p384", "rsa2048", "rsa3072")
    answer = client.get("/.well-known/est/encryption/csrattrs")
    assert est.decode_csr_attributes(base64.b64decode(answer.content)) == (
        ("rsa2048",),
        (SHA256_WITH_RSA, est.ASYMMETRIC_DECRYPT_KEY_IDENTIFIER),
    )
    issuer.site.withdraw_rule()
    assert client.get("/.well-known/est/signature/csrattrs").status_code == 204


def test_a_challenge_for_a_new_key_is_given_to_a_derived_credential_alone(issuer: RunningIssuer) -> None:
    address, asked = "/issuer/attestation/v1/challenge", {"protocol": 1, "purpose": "signature"}
    stranger = issuer.client().post(address, json=asked)
    assert (stranger.status_code, stranger.json()["type"]) == (401, "urn:etymon:problem:derived_credential_required")
    phone = issuer.site.phone()
    answer = issuer.client(phone).post(address, json=asked)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:etymon:problem:wrong_certificate_kind")


def test_an_attestation_that_is_no_list_of_certificates_is_malformed(issuer: RunningIssuer) -> None:
    site = issuer.site
    phone, begun = site.phone(), site.begin(site.present_card())
    client = issuer.client(phone)
    for junk in ("text", [], ["?"], [7], [["nested"]], ["AAAA"] * 9, ["A" * 20_000], {"0": "AAAA"}):
        answer = client.post(REDEEM, json=redemption(begun, phone, attestation=junk))
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:etymon:problem:malformed")
