# SPDX-License-Identifier: Apache-2.0
"""Enrollment as a phone sees it: JSON over TLS, from the QR code's content to the first check-in."""

import base64
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.directory.model import Person
from etymon.mdm import branding, enrollment_profiles
from etymon.pki import keys
from etymon.pki.algorithms import KeyType, PrivateKey
from etymon.web.branding import Branding, Logo
from etymon.wire import enrollment_qr
from support.ca_site import csr_der
from support.directory_site import ADMINISTRATOR
from support.identity_provider import DERIVED
from support.mdm_listeners import RunningSite

DEVICE = {"manufacturer": "Google", "model": "Pixel 9", "serialNumber": "SN-42", "osVersion": "14", "more": [1]}
SESSIONS = "/mdm/enrollment/v1/sessions"


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"urn:etymon:problem:{body['title']}"
    assert body["detail"]
    return response.status_code, body["title"]


def begin(running: RunningSite, **changes: Any) -> httpx.Response:
    body = {"protocol": 1, "device": DEVICE, **changes}
    if "token" not in body:
        body["token"] = running.site.token().reveal()
    return running.site_client().post(SESSIONS, json={name: value for name, value in body.items() if value is not None})


def complete(
    running: RunningSite,
    begun: dict[str, Any],
    alice: Person,
    key: PrivateKey,
    *,
    claims: dict[str, Any] | None = None,
    **changes: Any,
) -> httpx.Response:
    wanted: dict[str, Any] = {
        "audience": running.site.deps.server_url,
        "scope": "openid enroll",
        "enrollment_session": begun["session"],
        **(claims or {}),
    }
    token = running.site.provider.token(running.site.clock, alice.id, **wanted)
    body = {
        "protocol": 1,
        "sessionSecret": begun["sessionSecret"],
        "csr": base64.b64encode(csr_der(key)).decode(),
        **changes,
    }
    return running.site_client().post(
        f"{SESSIONS}/{begun['session']}/complete", json=body, headers={"Authorization": f"Bearer {token}"}
    )


def test_from_the_code_to_the_first_check_in(running: RunningSite) -> None:
    site = running.site
    alice, profile = site.directory.person(), site.profile()
    site.token(profile)
    with site.database.snapshot() as tx:
        code = enrollment_profiles.code(site.deps, enrollment_profiles.get(tx, site.deps, profile.id))
    assert code is not None
    assert code.simulator_only
    scanned = enrollment_qr.decode(code.text.reveal()).invitation
    assert scanned.server == f"{site.deps.site_url}/mdm"
    answer = begin(running, token=scanned.token.reveal())
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    begun = answer.json()
    assert begun["organization"] == {"displayName": "Test Agency", "themeColor": "#0b5cad", "logo": None}
    provider = begun["identityProvider"]
    assert provider["issuer"] == site.provider.issuer
    assert (provider["clientId"], provider["scope"]) == ("etymon-phone", "openid profile enroll")
    (published,) = running.site_client().get("/mdm/jwks").json()["keys"]
    jwt.decode(provider["enrollmentAssertion"], ECKey.import_key(published), algorithms=["ES256"])
    key = keys.generate(KeyType.P256)
    done = complete(running, begun, alice, key)
    assert done.status_code == 200
    body = done.json()
    certificate = x509.load_der_x509_certificate(base64.b64decode(body["certificate"]))
    issuer = x509.load_der_x509_certificate(base64.b64decode(body["chain"][0]))
    certificate.verify_directly_issued_by(issuer)
    assert body["checkIn"] == f"{site.deps.device_url}/mdm/device/v1/check-in"
    first = running.device_client(certificate, key).post(body["checkIn"], json={"protocol": 1, "known": 0})
    assert first.status_code == 200
    assert first.json()["policies"] == []
    assert complete(running, begun, alice, key).json()["certificate"] == body["certificate"]


def test_a_typed_token_may_have_small_letters_and_blanks_around_it(running: RunningSite) -> None:
    token = running.site.token().reveal()
    assert begin(running, token=f" {token.lower()} ").status_code == 201


def test_the_phone_sees_how_the_organization_shows_itself(running: RunningSite) -> None:
    logo = Logo("image/png", b"\x89PNG\r\n\x1a\n...")
    with running.site.database.transaction() as tx:
        shown = Branding("Ministry of Tests", "#aa0000", logo)
        branding.create(tx, running.site.deps, "Default", shown, actor=ADMINISTRATOR)
    assert begin(running).json()["organization"] == {
        "displayName": "Ministry of Tests",
        "themeColor": "#aa0000",
        "logo": {"type": "image/png", "value": base64.b64encode(logo.content).decode()},
    }


def test_a_beginning_that_cannot_be_read_is_refused(running: RunningSite) -> None:
    cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"token": "A" * 24}, (403, "enrollment_token_unknown")),
        ({"token": "x" * 201}, (400, "malformed")),
        ({"token": 7}, (400, "malformed")),
        ({"device": "Pixel"}, (400, "malformed")),
        ({"device": {"model": "x" * 101}}, (400, "malformed")),
        ({"device": {"model": "a\u0000b"}}, (400, "malformed_device")),
    ]
    for changes, refusal in cases:
        assert problem(begin(running, **changes)) == refusal


def test_another_version_is_told_which_are_spoken(running: RunningSite) -> None:
    for protocol in (None, 0, 2, "1", True):
        answer = begin(running, protocol=protocol)
        assert problem(answer) == (400, "unsupported_version")
        assert answer.json()["supported"] == [1]


def test_a_body_that_is_no_json_object_is_refused(running: RunningSite) -> None:
    client = running.site_client()
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 50_000):
        assert problem(client.post(SESSIONS, content=body)) == (400, "malformed")


def test_a_body_that_is_too_large_is_refused(running: RunningSite) -> None:
    answer = running.site_client().post(SESSIONS, content=b" " * (64 * 1024 + 1))
    assert problem(answer) == (413, "body_too_large")


def test_completing_needs_a_token_of_a_card_for_this_session(running: RunningSite) -> None:
    alice, begun, key = running.site.directory.person(), begin(running).json(), keys.generate(KeyType.P256)
    path = f"{SESSIONS}/{begun['session']}/complete"
    body = {"protocol": 1, "sessionSecret": begun["sessionSecret"], "csr": base64.b64encode(csr_der(key)).decode()}
    client = running.site_client()
    for authorization in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        assert problem(client.post(path, json=body, headers=authorization)) == (401, "token_missing")
    broken = client.post(path, json=body, headers={"Authorization": "Bearer x.y.z"})
    assert problem(broken) == (401, "token_not_valid")
    assert broken.headers["www-authenticate"] == "Bearer"
    for claims, refusal in (
        ({"acr": DERIVED}, (403, "card_required")),
        ({"enrollment_session": begin(running).json()["session"]}, (403, "other_session")),
        ({"scope": "openid administration"}, (403, "scope_missing")),
        ({"aud": "https://elsewhere.example"}, (401, "token_not_valid")),
    ):
        answer = complete(running, begun, alice, key, claims=claims)
        assert problem(answer) == refusal
    assert complete(running, begun, alice, key).status_code == 200


def test_a_request_that_cannot_be_read_is_refused(running: RunningSite) -> None:
    alice, begun, key = running.site.directory.person(), begin(running).json(), keys.generate(KeyType.P256)
    cases: list[tuple[str | None, str]] = [
        ("", "csr_malformed"),
        ("not base64", "malformed"),
        ("ä", "malformed"),
        (base64.b64encode(b"x" * 100).decode(), "csr_malformed"),
        ("A" * 60_000, "malformed"),
        (None, "malformed"),
    ]
    for csr, code in cases:
        assert problem(complete(running, begun, alice, key, csr=csr)) == (400, code)


def test_a_request_whose_signature_is_not_its_keys_is_refused(running: RunningSite) -> None:
    alice, begun = running.site.directory.person(), begin(running).json()
    der = bytearray(csr_der(keys.generate(KeyType.P256)))
    der[-1] ^= 1
    forged = base64.b64encode(bytes(der)).decode()
    answer = complete(running, begun, alice, keys.generate(KeyType.P256), csr=forged)
    assert problem(answer) == (400, "proof_of_possession_failed")


def test_a_key_that_is_too_weak_is_refused(running: RunningSite) -> None:
    alice, begun = running.site.directory.person(), begin(running).json()
    weak = ec.generate_private_key(ec.SECP521R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    der = request.sign(weak, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    answer = complete(running, begun, alice, keys.generate(KeyType.P256), csr=base64.b64encode(der).decode())
    assert problem(answer) == (400, "weak_key")


def test_a_second_key_is_a_conflict(running: RunningSite) -> None:
    alice, begun = running.site.directory.person(), begin(running).json()
    assert complete(running, begun, alice, keys.generate(KeyType.P256)).status_code == 200
    again = complete(running, begun, alice, keys.generate(KeyType.P256))
    assert problem(again) == (409, "session_already_completed")


def test_a_fresh_assertion_needs_the_sessions_secret(running: RunningSite) -> None:
    begun = begin(running).json()
    client, path = running.site_client(), f"{SESSIONS}/{begun['session']}/assertion"
    fresh = client.post(path, json={"sessionSecret": begun["sessionSecret"]})
    assert fresh.status_code == 200
    assert fresh.json()["enrollmentAssertion"] != begun["identityProvider"]["enrollmentAssertion"]
    assert problem(client.post(path, json={"sessionSecret": "x"})) == (404, "enrollment_session_unknown")
    wrong = client.post(f"{SESSIONS}/not-a-session/assertion", json={"sessionSecret": "x"})
    assert problem(wrong) == (400, "malformed")


def test_nothing_that_admits_is_logged(running: RunningSite, capfd: pytest.CaptureFixture[str]) -> None:
    alice, key = running.site.directory.person(), keys.generate(KeyType.P256)
    token = running.site.token().reveal()
    begun = begin(running, token=token).json()
    complete(running, begun, alice, key)
    complete(running, begun, alice, keys.generate(KeyType.P256))
    begin(running, token="A" * 24)
    shown = "".join(capfd.readouterr())
    for secret in (token, begun["sessionSecret"], begun["identityProvider"]["enrollmentAssertion"]):
        assert secret not in shown
