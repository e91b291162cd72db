# SPDX-License-Identifier: Apache-2.0
"""EST at a connector as curl and OpenSSL use it: HTTP Basic at the site, the certificate at the device listener."""

import base64
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from etymon.issuer.http import connector_est
from etymon.pki.algorithms import KeyType
from support.est_curl import Answer, Curl, certificate_in
from support.issuer_listeners import RunningIssuer
from support.scep_site import SCEPSite
from support.tls_files import PrivateKey, certificates_pem

pytestmark = [pytest.mark.needs("curl", "openssl"), pytest.mark.xdist_group("est_connector_curl")]

LABEL = "/.well-known/est/kiosks"


class Foreign(Curl):
    """curl as an EST client of another endpoint manager's."""

    @property
    def site(self) -> SCEPSite:
        assert isinstance(self.issuer.site, SCEPSite)
        return self.issuer.site

    def challenge(self) -> str:
        return self.site.challenge(connector="kiosks")

    def body(self, name: str) -> bytes:
        return base64.b64encode(self.csr(name, "Alice Example"))

    def key(self, name: str) -> PrivateKey:
        found = load_pem_private_key((self.directory / name).read_bytes(), None)
        assert isinstance(found, PrivateKey)
        return found

    def at_site(self, operation: str, *arguments: str, body: bytes | None = None, label: str = LABEL) -> Answer:
        return self.ask(f"{label}/{operation}", *arguments, body=body, at=self.site.deps.site_url)

    def enroll(self, challenge: str, body: bytes, *headers: str, user: str = "anybody") -> Answer:
        told = [argument for header in ("Content-Type: application/pkcs10", *headers) for argument in ("-H", header)]
        return self.at_site("simpleenroll", "--user", f"{user}:{challenge}", *told, body=body)

    def renew(self, certificate: x509.Certificate, key: str, body: bytes) -> Answer:
        identity = self.identity(certificate, self.key(key))
        told = ("-H", "Content-Type: application/pkcs10")
        return self.ask(f"{LABEL}/simplereenroll", *identity, *told, body=body)


@pytest.fixture
def curl(running: RunningIssuer, tmp_path: Path) -> Foreign:
    found = Foreign(running, tmp_path)
    found.site.connector("kiosks", key_types=frozenset({KeyType.P256}))
    return found


def refusal(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.body) > 10
    return answer.status, answer.headers["error-code"]


def test_curl_enrolls_with_a_challenge_and_renews_with_the_certificate(curl: Foreign) -> None:
    answer = curl.enroll(curl.challenge(), curl.body("first.key"))
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    certificate = certificate_in(curl, answer)
    authorities = curl.at_site("cacerts")
    pem = curl.openssl("pkcs7", "-inform", "DER", "-print_certs", given=base64.b64decode(authorities.body))
    (curl.directory / "cas.pem").write_bytes(pem)
    (curl.directory / "leaf.pem").write_text(certificates_pem([certificate]))
    verified = curl.openssl("verify", "-no_check_time", "-CAfile", "cas.pem", "leaf.pem")
    assert verified == b"leaf.pem: OK\n"
    assert curl.ask(f"{LABEL}/cacerts").body == authorities.body, "the same at the device listener"
    renewed = certificate_in(curl, curl.renew(certificate, "first.key", curl.body("second.key")))
    assert renewed.serial_number != certificate.serial_number
    assert refusal(curl.renew(certificate, "first.key", curl.body("third.key"))) == (409, "renewed_before")


def test_base64_comes_in_lines_and_with_headers_that_mean_nothing(curl: Foreign) -> None:
    """RFC 8951 section 3.1: white space means nothing, nor does Content-Transfer-Encoding; the name is ignored."""
    challenge, body = curl.challenge(), curl.body("key")
    lines = "\r\n".join(textwrap.wrap(body.decode(), 64)).encode() + b"\r\n"
    first = curl.enroll(challenge, lines, "Content-Transfer-Encoding: 7bit", user="")
    again = curl.enroll(challenge, body)
    assert first.status == again.status == 200
    assert first.body == again.body
    assert b"\n" not in first.body
    assert int(first.headers["content-length"]) == len(first.body)


def test_who_does_not_authenticate_is_told_how(curl: Foreign) -> None:
    body, pkcs10 = curl.body("key"), ("-H", "Content-Type: application/pkcs10")
    missing = curl.at_site("simpleenroll", *pkcs10, body=body)
    wrong = curl.enroll("0" * 32, body)
    used = curl.challenge()
    curl.enroll(used, curl.body("other"))
    bearer = curl.at_site("simpleenroll", *pkcs10, "-H", "Authorization: Bearer abc", body=body)
    garbage = curl.at_site("simpleenroll", *pkcs10, "-H", "Authorization: Basic %%%", body=body)
    for answer, code in (
        (missing, "challenge_missing"),
        (wrong, "challenge_wrong"),
        (bearer, "challenge_missing"),
        (garbage, "challenge_missing"),
    ):
        assert refusal(answer) == (401, code)
        assert answer.headers["www-authenticate"] == 'Basic realm="est"'
    assert refusal(curl.enroll(used, body)) == (409, "challenge_used")


def test_what_cannot_be_read_is_told_by_its_status(curl: Foreign) -> None:
    challenge = curl.challenge()
    assert refusal(curl.enroll(challenge, b"not base64!")) == (400, "not_base64")
    assert refusal(curl.enroll(challenge, b"A" * (16 * 1024 + 1))) == (413, "body_too_large")
    form = curl.at_site("simpleenroll", "--user", f":{challenge}", body=curl.body("key"))
    assert refusal(form) == (400, "wrong_media_type")


def test_what_the_label_does_not_have_is_not_there(curl: Foreign) -> None:
    body, pkcs10 = curl.body("key"), ("-H", "Content-Type: application/pkcs10")
    for operation in ("serverkeygen", "fullcmc"):
        assert refusal(curl.at_site(operation, *pkcs10, body=body)) == (404, "operation_unknown")
    for operation in ("cacerts", "csrattrs"):
        assert refusal(curl.at_site(operation, label="/.well-known/est/nobody")) == (404, "label_unknown")
    elsewhere = curl.at_site("simplereenroll", *pkcs10, body=body)
    assert refusal(elsewhere) == (403, "reenroll_elsewhere")
    assert curl.site.deps.device_url.encode() + LABEL.encode() in elsewhere.body


def test_csrattrs_say_which_keys_the_connector_takes(curl: Foreign) -> None:
    told = curl.at_site("csrattrs")
    shown = curl.openssl("asn1parse", "-inform", "DER", given=base64.b64decode(told.body))
    assert told.headers["content-type"] == "application/csrattrs"
    assert b"prime256v1" in shown
    assert b"ecdsa-with-SHA256" in shown
    assert b"rsaEncryption" not in shown


def test_only_the_certificate_itself_is_renewed_at_the_device_listener(curl: Foreign) -> None:
    body = curl.body("new.key")
    missing = curl.ask(f"{LABEL}/simplereenroll", "-H", "Content-Type: application/pkcs10", body=body)
    assert refusal(missing) == (401, "certificate_required")
    other = certificate_in(curl, curl.enroll(curl.challenge(), curl.body("key")))
    curl.site.connector("others", key_types=frozenset({KeyType.P256}))
    identity = (*curl.identity(other, curl.key("key")), "-H", "Content-Type: application/pkcs10")
    at_others = curl.ask("/.well-known/est/others/simplereenroll", *identity, body=body)
    assert refusal(at_others) == (403, "certificate_unknown")
    as_phone = curl.ask("/.well-known/est/authentication/simplereenroll", *identity, body=body)
    assert refusal(as_phone) == (403, "untrusted_root")


def test_wrong_challenges_are_counted_and_right_ones_are_not(curl: Foreign) -> None:
    most, body = int(connector_est.WRONG_CHALLENGES.partition(" ")[0]), curl.body("key")
    url = f"{curl.site.deps.site_url}{LABEL}/simpleenroll"
    with httpx.Client(verify=curl.issuer.trusting(), trust_env=False) as client:

        def told(challenge: str) -> int:
            return client.post(
                url, content=body, auth=("", challenge), headers={"Content-Type": "application/pkcs10"}
            ).status_code

        curl.site.turn(minutes=11)  # what other tests have tried is over
        good = curl.challenge()
        assert {told(good) for _ in range(3)} == {200}
        assert [told("wrong") for _ in range(most - 1)] == [401] * (most - 1)
        with ThreadPoolExecutor(6) as threads:
            assert set(threads.map(told, [good] * 12)) == {200}, "right ones at once take no try from each other"
        assert told("wrong") == 401
        assert told("wrong") == 429
        assert told(good) == 429, "whoever guesses learns nothing more"
        curl.site.turn(minutes=11)
        assert told(good) == 200


def test_renewals_of_one_address_are_limited(curl: Foreign) -> None:
    most, url = int(connector_est.REQUESTS.partition(" ")[0]), f"{curl.site.deps.device_url}{LABEL}/simplereenroll"
    curl.site.turn(minutes=2)  # what other tests have sent is over
    with httpx.Client(verify=curl.issuer.trusting(), trust_env=False) as client:
        assert {client.post(url).status_code for _ in range(most)} == {400}
        limited = client.post(url)
        assert (limited.status_code, limited.headers["error-code"]) == (429, "too_many_tries")
        curl.site.turn(minutes=2)
        assert client.post(url).status_code == 400
