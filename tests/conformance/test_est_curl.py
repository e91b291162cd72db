# SPDX-License-Identifier: Apache-2.0
"""EST as curl and OpenSSL use it (RFC 7030, RFC 8951): bodies and headers as real clients send them; a whole rekey."""

import base64
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from etymon.issuer.model import Purpose
from etymon.pki.certificate import spki, thumbprint
from support.databases import SQLiteDatabases
from support.est_curl import Answer, Curl, certificate_in
from support.issuer_listeners import RunningIssuer
from support.issuer_rekey import Holder, holder, rekeying_site
from support.mdm_site import UnpluggedSigner
from support.tls_files import PrivateKey, certificates_pem

pytestmark = [pytest.mark.needs("curl", "openssl"), pytest.mark.xdist_group("est_curl")]


@pytest.fixture(scope="module")
def issuer(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIssuer]:
    database, directory = sqlite_databases.migrated(), tmp_path_factory.mktemp("est")
    site = rekeying_site(database, directory)
    signers = {**site.ca.deps.signers, "derived": PluggableSigner(site.ca.deps.signers["derived"])}
    site.ca.deps = replace(site.ca.deps, signers=signers)
    with RunningIssuer(site, directory).running() as running:
        yield running
    sqlite_databases.drop(database)


class PluggableSigner(UnpluggedSigner):
    """A key in a module that can be pulled out and put back."""

    is_plugged = True

    def sign(self, tbs: bytes) -> bytes:
        return self._signer.sign(tbs) if self.is_plugged else super().sign(tbs)


@dataclass(frozen=True)
class PhoneCurl(Curl):
    """curl as a phone."""

    def reenroll(self, phone: Holder, body: bytes, *headers: str, key: PrivateKey | None = None) -> Answer:
        identity = self.identity(phone.held[Purpose.AUTHENTICATION], key or phone.link.phone.key)
        named = [argument for header in headers for argument in ("--header", header)]
        return self.ask("/.well-known/est/authentication/simplereenroll", *identity, *named, body=body)


@pytest.fixture
def curl(issuer: RunningIssuer, tmp_path: Path) -> PhoneCurl:
    return PhoneCurl(issuer, tmp_path)


def test_curl_rekeys_with_the_present_credential_and_openssl_believes_the_new_one(
    issuer: RunningIssuer, curl: PhoneCurl
) -> None:
    phone = holder(issuer.site)
    before = phone.held[Purpose.AUTHENTICATION]
    body = base64.b64encode(curl.csr("new.key"))
    answer = curl.reenroll(phone, body, "Content-Type: application/pkcs10")
    new = certificate_in(curl, answer)
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert b"\n" not in answer.body
    authorities = curl.ask("/.well-known/est/cacerts")
    pem = curl.openssl("pkcs7", "-inform", "DER", "-print_certs", given=base64.b64decode(authorities.body))
    (curl.directory / "cas.pem").write_bytes(pem)
    (curl.directory / "new.pem").write_text(certificates_pem([new]))
    at = str(int(issuer.site.clock.now().timestamp()))
    verdict = curl.openssl("verify", "-attime", at, "-purpose", "sslclient", "-CAfile", "cas.pem", "new.pem")
    assert verdict == b"new.pem: OK\n"
    # the new one is shown once over TLS, and the one before ends
    identity = ("--cert", "new.pem", "--key", "new.key")
    said = f'{{"protocol": 1, "installed": ["{thumbprint(new).hex()}"]}}'.encode()
    json = ("--header", "Content-Type: application/json")
    confirmed = curl.ask("/issuer/rekey/v1/confirmation", *identity, *json, body=said)
    assert (confirmed.status, thumbprint(before).hex() in confirmed.body.decode()) == (200, True)
    again = curl.reenroll(phone, body, "Content-Type: application/pkcs10")
    assert (again.status, again.headers["error-code"]) == (403, "revoked_by_database")
    strangers = said.replace(thumbprint(new).hex().encode(), thumbprint(before).hex().encode())
    assert curl.ask("/issuer/rekey/v1/confirmation", *identity, *json, body=strangers).status == 403
    for wrong in (b'{"protocol": 1}', b'{"protocol": 1, "installed": []}', b'{"protocol": 1, "installed": ["x"]}'):
        assert curl.ask("/issuer/rekey/v1/confirmation", *identity, *json, body=wrong).status == 400


def lines(text: bytes, end: str) -> bytes:
    return end.join(textwrap.wrap(text.decode(), 64)).encode() + end.encode()


def test_bodies_and_headers_as_clients_send_them_are_one_request(issuer: RunningIssuer, curl: PhoneCurl) -> None:
    """Each is another body, so each needs another phone; what differs is read alike."""
    for end, headers in (
        ("\r\n", ("Content-Type: application/pkcs10", "Content-Transfer-Encoding: base64")),
        ("\n", ("Content-Type: application/pkcs10; charset=utf-8",)),
        ("", ("Content-Type: APPLICATION/PKCS10", "Content-Transfer-Encoding: 8bit")),
    ):
        phone = holder(issuer.site)
        text = base64.b64encode(curl.csr("new.key"))
        answer = curl.reenroll(phone, lines(text, end) if end else text, *headers)
        assert spki(certificate_in(curl, answer)) == curl.openssl(
            "pkey", "-in", "new.key", "-pubout", "-outform", "DER"
        )


def test_what_is_not_one_is_told_in_a_line_of_text(issuer: RunningIssuer, curl: PhoneCurl) -> None:
    phone, good = holder(issuer.site), base64.b64encode(curl.csr("new.key"))
    kind = "Content-Type: application/pkcs10"
    for body, header, status, code in (
        (good, "Content-Type: application/json", 400, "wrong_media_type"),
        (good, "Content-Type:", 400, "wrong_media_type"),
        (b"", kind, 400, "empty_body"),
        (b"not base64!", kind, 400, "not_base64"),
        (b"A" * 16400, kind, 413, "body_too_large"),
        (base64.b64encode(b"\x30\x00"), kind, 400, "csr_malformed"),
    ):
        answer = curl.reenroll(phone, body, header)
        assert (answer.status, answer.headers["error-code"]) == (status, code)
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.body.count(b"\n") == 1
    nobody = curl.ask("/.well-known/est/authentication/simplereenroll", "--header", kind, body=good)
    assert (nobody.status, nobody.headers["error-code"]) == (401, "derived_credential_required")
    assert nobody.headers["www-authenticate"]
    other = curl.ask("/.well-known/est/encryption/simplereenroll", "--header", kind, body=good)
    assert (other.status, other.headers["error-code"]) == (404, "operation_unknown")
    assert curl.ask("/.well-known/est/nonsense/simplereenroll", "--header", kind, body=good).status == 404


def test_a_request_that_is_not_signed_yet_is_accepted_and_fetched_later(issuer: RunningIssuer, curl: PhoneCurl) -> None:
    phone, body = holder(issuer.site), base64.b64encode(curl.csr("new.key"))
    kind = "Content-Type: application/pkcs10"
    key = issuer.site.ca.deps.signers["derived"]
    assert isinstance(key, PluggableSigner)
    key.is_plugged = False
    try:
        answer = curl.reenroll(phone, body, kind)
    finally:
        key.is_plugged = True
    assert (answer.status, answer.headers["error-code"]) == (202, "issuance_unfinished")
    assert int(answer.headers["retry-after"]) > 0
    assert certificate_in(curl, curl.reenroll(phone, body, kind)).serial_number


def test_csrattrs_are_what_openssl_reads(curl: PhoneCurl) -> None:
    answer = curl.ask("/.well-known/est/signature/csrattrs")
    assert answer.headers["content-type"] == "application/csrattrs"
    read = curl.openssl("asn1parse", "-inform", "DER", given=base64.b64decode(answer.body)).decode()
    for named in ("prime256v1", "secp384r1", "rsaEncryption", "ecdsa-with-SHA256", "ecdsa-with-SHA384"):
        assert named in read
    assert "sha256WithRSAEncryption" in read
    transport = curl.ask("/.well-known/est/encryption/csrattrs")
    read = curl.openssl("asn1parse", "-inform", "DER", given=base64.b64decode(transport.body)).decode()
    assert "prime256v1" not in read
    assert "0800" in read, "a transport key has 2048 bits"
