# SPDX-License-Identifier: Apache-2.0
"""OpenSSL judges what the authorities issue and what the status listener serves, over HTTP and on disk."""

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import ocsp

from etymon.ca import ceremony, crl, responder, revocation
from etymon.ca.crl import RevocationList
from etymon.ca.model import IssuedCertificate, RevocationReason
from etymon.ca.profiles import profile_named
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.pki.status import CRLCache, HTTPStatusSource, StatusKind
from etymon.pki.status_hosts import StatusHosts
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from support.ca_site import pem, proven_key, rsa_key, subscriber_profiles
from support.ca_status import StatusListener, status_listener
from support.databases import SQLiteDatabases
from support.judged_authorities import Judged

pytestmark = pytest.mark.needs("openssl")

SUBSCRIBERS = subscriber_profiles()


@pytest.fixture(scope="module")
def listener() -> Iterator[StatusListener]:
    with status_listener() as found:
        yield found


@pytest.fixture
def judged(sqlite_databases: SQLiteDatabases, tmp_path: Path, listener: StatusListener) -> Iterator[Judged]:
    database = sqlite_databases.migrated()
    yield Judged(database, tmp_path, listener)
    database.close()


def test_openssl_verifies_every_profile_under_its_policy(judged: Judged) -> None:
    for profile in SUBSCRIBERS:
        issued = judged.site.issue(profile)
        policy = judged.site.deps.policy_oids[profile_named(profile).policy or ""]
        leaf = judged.file("leaf.pem", pem(issued.certificate))
        verify = ["verify", "-x509_strict", "-policy_check", "-explicit_policy", *judged.chain(issued)]
        assert judged.openssl(*verify, "-policy", policy, leaf) == (0, f"{leaf}: OK\n")
        code, output = judged.openssl(*verify, "-policy", "2.999.9.9", leaf)
        assert (code, "no explicit policy" in output) == (2, True)


@pytest.mark.parametrize("kind", [KeyType.P384, KeyType.RSA2048, KeyType.RSA3072])
def test_openssl_verifies_every_kind_of_key(kind: KeyType, judged: Judged) -> None:
    key = rsa_key(kind) if kind.value.startswith("rsa") else keys.generate(kind)
    issued = judged.site.issue(key=proven_key(key))
    leaf = judged.file("leaf.pem", pem(issued.certificate))
    assert judged.openssl("verify", "-x509_strict", *judged.chain(issued), leaf)[0] == 0


def test_openssl_reads_the_names_that_were_certified(judged: Judged) -> None:
    issued = judged.site.issue("piv-authentication")
    leaf = judged.file("leaf.pem", pem(issued.certificate))
    _, text = judged.openssl("x509", "-in", leaf, "-noout", "-ext", "subjectAltName,keyUsage,extendedKeyUsage")
    assert "URI:urn:uuid:" in text
    assert "othername: UPN:" in text or "UPN::" in text
    assert "2.16.840.1.101.3.6.6" in text
    assert "Digital Signature\n" in text
    assert "TLS Web Client Authentication, Microsoft Smartcard Login" in text


def test_openssl_refuses_a_revoked_certificate_by_the_served_list(judged: Judged) -> None:
    good, bad = judged.site.issue(), judged.site.issue()
    judged.revoke(bad)
    lists = []
    for name in ("derived", "derived-root"):
        served = judged.get(f"/crl/{name}.crl")
        assert (served.status_code, served.headers["Content-Type"]) == (200, "application/pkix-crl")
        lists += ["-CRLfile", judged.file(f"{name}.crl", served.content)]
    for issued, expected in ((good, "OK"), (bad, "certificate revoked")):
        leaf = judged.file("leaf.pem", pem(issued.certificate))
        _, output = judged.openssl("verify", "-crl_check_all", *lists, *judged.chain(issued), leaf)
        assert expected in output


def test_openssl_verifies_the_lists_signature_and_prints_the_reason(judged: Judged) -> None:
    issued = judged.site.issue()
    judged.revoke(issued)
    file = judged.file("derived.crl", judged.get("/crl/derived.crl").content)
    issuer = judged.file("issuer.pem", pem(issued.chain[0]))
    code, text = judged.openssl("crl", "-inform", "DER", "-in", file, "-CAfile", issuer, "-noout", "-text")
    assert (code, "verify OK" in text, "Key Compromise" in text) == (0, True, True)
    serial = issued.certificate.serial_number
    assert f"Serial Number: {serial.to_bytes((serial.bit_length() + 7) // 8, 'big').hex().upper()}\n" in text


@pytest.mark.parametrize("hash_option", ["-sha1", "-sha256"])
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_openssl_accepts_the_responders_answers(hash_option: str, nonce: str, judged: Judged) -> None:
    issued = judged.site.issue()
    code, output = judged.ask(issued, hash_option, nonce)
    assert (code, "Response verify OK" in output, "leaf.pem: good" in output) == (0, True, True)
    assert "WARNING" not in output  # the nonce came back
    judged.revoke(issued)
    _, output = judged.ask(issued, hash_option, nonce)
    assert ("leaf.pem: revoked" in output, "Reason: keyCompromise" in output) == (True, True)


def test_openssl_accepts_a_384_bit_responder(judged: Judged) -> None:
    _, output = judged.ask(judged.site.issue("piv-authentication"), "-sha256")
    assert ("Response verify OK" in output, "leaf.pem: good" in output) == (True, True)


def test_openssl_is_told_unknown_for_what_was_never_issued_or_is_another_authoritys(judged: Judged) -> None:
    issued, device = judged.site.issue(), judged.site.issue("device-identity")
    issuer = judged.file("issuer.pem", pem(issued.chain[0]))
    other = judged.file("other.pem", pem(device.chain[0]))
    root = judged.file("root.pem", pem(*issued.chain, *device.chain))
    url = f"{judged.listener.url}/ocsp/derived"
    _, output = judged.openssl("ocsp", "-url", url, "-issuer", issuer, "-serial", "0x1234", "-CAfile", root)
    assert ("Response verify OK" in output, "0x1234: unknown" in output) == (True, True)
    serial = f"0x{device.certificate.serial_number:x}"
    _, output = judged.openssl("ocsp", "-url", url, "-issuer", other, "-serial", serial, "-CAfile", root)
    assert ": unknown" in output


def test_several_certificates_are_answered_at_once(judged: Judged) -> None:
    good, bad = judged.site.issue(), judged.site.issue()
    judged.revoke(bad, RevocationReason.SUPERSEDED)
    _, output = judged.ask(good, "-sha256", "-cert", judged.file("second.pem", pem(bad.certificate)))
    assert ("second.pem: revoked" in output, "leaf.pem: good" in output) == (True, True)


def _request(issued: IssuedCertificate) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hashes.SHA256())
    return builder.build().public_bytes(serialization.Encoding.DER)


def test_a_request_in_the_address_is_answered_and_may_be_kept(judged: Judged) -> None:
    issued = judged.site.issue()
    path = quote(base64.b64encode(_request(issued)).decode(), safe="")
    answered = judged.get(f"/ocsp/derived/{path}")
    assert answered.headers["Content-Type"] == "application/ocsp-response"
    assert answered.headers["Cache-Control"] == "max-age=300, public, no-transform, must-revalidate"
    response = ocsp.load_der_ocsp_response(answered.content)
    assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert isinstance(response.hash_algorithm, hashes.SHA256)
    assert response.next_update_utc == judged.clock.now() + timedelta(hours=1)


def test_the_responders_certificate_follows_its_profile(judged: Judged) -> None:
    issued = judged.site.issue()
    response = ocsp.load_der_ocsp_response(judged.post("/ocsp/derived", _request(issued)).content)
    (certificate,) = response.certificates
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=120)
    assert x509.OCSPNoCheck() in [extension.value for extension in certificate.extensions]
    assert not list(response.extensions)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/ocsp/derived", b"not a request", "MALFORMED_REQUEST"),
        ("/ocsp/derived", b"", "MALFORMED_REQUEST"),
        ("/ocsp/derived", bytes(9000), "MALFORMED_REQUEST"),
        ("/ocsp/nobody", None, "UNAUTHORIZED"),
        ("/ocsp/derived-root", None, "TRY_LATER"),  # a root has no responder
    ],
)
def test_what_cannot_be_answered_is_said_in_ocsp(path: str, body: bytes | None, status: str, judged: Judged) -> None:
    body = _request(judged.site.issue()) if body is None else body
    response = judged.post(path, body)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/ocsp-response")
    assert ocsp.load_der_ocsp_response(response.content).response_status.name == status


def test_a_request_of_another_media_type_or_not_in_base64_is_malformed(judged: Judged) -> None:
    issued = judged.site.issue()
    wrong = judged.post("/ocsp/derived", _request(issued), "text/plain")
    for response in (wrong, judged.get("/ocsp/derived/%21%21")):
        assert ocsp.load_der_ocsp_response(response.content).response_status.name == "MALFORMED_REQUEST"


def test_the_responder_needs_no_authoritys_key(judged: Judged) -> None:
    issued = judged.site.issue()
    for name in judged.site.authorities:
        judged.site.keys.remove(name)
    _, output = judged.ask(issued)
    assert "leaf.pem: good" in output


def test_a_responder_is_renewed_with_a_new_key_before_it_ends(judged: Judged) -> None:
    issued = judged.site.issue()
    site = judged.site

    def responder_in_use() -> x509.Certificate:
        return ocsp.load_der_ocsp_response(judged.post("/ocsp/derived", _request(issued)).content).certificates[0]

    first = responder_in_use()
    assert not responder.renew(site.deps, site.keys, "derived", actor="worker")
    judged.clock.advance(timedelta(days=91))
    site.seal()
    assert responder.renew(site.deps, site.keys, "derived", actor="worker")
    second = responder_in_use()
    assert second.public_key() != first.public_key()
    assert not responder.renew(site.deps, site.keys, "derived", actor="worker")


def test_the_authorities_certificates_are_served(judged: Judged) -> None:
    card = judged.site.authorities
    served = judged.get("/certificates/card.p7c")
    assert served.headers["Content-Type"] == "application/pkcs7-mime"
    assert pkcs7.load_der_pkcs7_certificates(served.content) == [card["card"].certificate]
    issued = judged.get("/certificates/card-root-issued.p7c")
    assert pkcs7.load_der_pkcs7_certificates(issued.content) == [card["card-intermediate"].certificate]
    root = judged.get("/certificates/card-root.cer")
    assert x509.load_der_x509_certificate(root.content) == card["card-root"].certificate
    file = judged.file("empty.p7c", judged.get("/certificates/card-root.p7c").content)  # no self-signed ones
    code, output = judged.openssl("pkcs7", "-inform", "DER", "-in", file, "-print_certs")
    assert (code, "BEGIN CERTIFICATE" in output) == (0, False)


@pytest.mark.parametrize(
    "path",
    ["/crl/nobody.crl", "/crl/derived", "/crl/derived.pem", "/certificates/nobody.cer", "/certificates/derived.txt"],
)
def test_what_is_not_there_is_not_found(path: str, judged: Judged) -> None:
    assert judged.get(path).status_code == 404


def test_a_path_is_validated_over_the_served_status(judged: Judged) -> None:
    issued = judged.site.issue("piv-authentication")
    entry = TrustEntry(
        name="cards",
        kind=TrustKind.CARD,
        anchors=(issued.chain[-1],),
        intermediates=issued.chain[:-1],
        policies=frozenset({judged.site.deps.policy_oids["piv-authentication"]}),
        identifier=IdentifierKind.FASCN,
        status_hosts=frozenset({judged.listener.address}),
    )
    asked, cache = StatusHosts(), CRLCache()

    def source() -> HTTPStatusSource:
        return HTTPStatusSource(entry.status_hosts, asked, SystemEntropy(), cache)

    path = validate(issued.certificate, entry, at=judged.clock.now(), status=source())
    assert [found.kind for found in path.evidence] == [StatusKind.OCSP, StatusKind.CRL, StatusKind.CRL]
    assert re.fullmatch(r"[0-9a-f]{50}", path.identifier)
    judged.revoke(issued)
    with pytest.raises(NotTrusted) as caught:
        validate(issued.certificate, entry, at=judged.clock.now(), status=source())
    assert caught.value.code == "revoked_by_ocsp"


def test_an_exported_root_key_opens_in_openssl_and_its_directory_forgets_it(judged: Judged) -> None:
    site, passphrase = judged.site, Secret(b"kept by two people")
    exported = ceremony.export_root_keys(site.keys, list(site.authorities.values()), passphrase)
    assert set(exported) == {"derived-root", "device-root", "tls-root", "managed-root", "card-root"}
    ceremony.remove_root_keys(site.keys, list(site.authorities.values()))
    ceremony.remove_root_keys(site.keys, list(site.authorities.values()))
    assert site.keys.find("derived-root") is None
    file = judged.file("root.key", exported["derived-root"])
    code, public = judged.openssl("pkey", "-in", file, "-passin", "pass:kept by two people", "-pubout")
    expected = (
        site.authorities["derived-root"]
        .certificate.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert (code, public) == (0, expected.decode())
    assert judged.openssl("pkey", "-in", file, "-passin", "pass:guess", "-noout")[0] != 0


def test_a_long_list_is_still_a_list(judged: Judged) -> None:
    """A few hundred entries through our own encoder, read by OpenSSL."""
    issued = [judged.site.issue("device-identity") for _ in range(120)]
    with judged.site.deps.database.transaction() as tx:
        for found in issued:
            revocation.revoke(tx, judged.site.deps, found.id, RevocationReason.CESSATION_OF_OPERATION, actor="officer")
    made: RevocationList = crl.refresh(judged.site.deps, "device")
    file = judged.file("device.crl", made.der)
    issuer = judged.file("issuer.pem", pem(issued[0].chain[0]))
    _, text = judged.openssl("crl", "-inform", "DER", "-in", file, "-CAfile", issuer, "-noout", "-text")
    assert text.count("Cessation Of Operation") == 120
    assert "verify OK" in text
