# SPDX-License-Identifier: Apache-2.0
"""What relying parties and caches make of CRL and OCSP over HTTP: OpenSSL, GnuTLS, and HTTP's own rules."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from etymon.ca import crl
from etymon.ca.model import IssuedCertificate
from support import many_certificates
from support.ca_site import pem
from support.ca_status import status_listener
from support.databases import SQLiteDatabases
from support.judged_authorities import Judged

pytestmark = pytest.mark.needs("openssl", "certtool", "ocsptool")

REFUSED, ANSWERED = "MALFORMED_REQUEST", "SUCCESSFUL"


@pytest.fixture(scope="module")
def judged(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    database = sqlite_databases.migrated()
    with status_listener() as listener:
        yield Judged(database, tmp_path_factory.mktemp("judged"), listener)
    database.close()


def get_path(issued: IssuedCertificate, nonce: bytes | None = None) -> str:
    asked = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hashes.SHA1())  # noqa: S303 - what most clients send
    if nonce is not None:
        asked = asked.add_extension(x509.OCSPNonce(nonce), critical=False)
    encoded = base64.b64encode(asked.build().public_bytes(serialization.Encoding.DER)).decode()
    return f"/ocsp/derived/{quote(encoded, safe='')}"


def listed(judged: Judged) -> str:
    """Return what OpenSSL reads on the served list, whose signature GnuTLS has verified too."""
    file = judged.file("derived.crl", judged.get("/crl/derived.crl").content)
    issuer = judged.file("issuer.pem", pem(judged.site.authorities["derived"].certificate))
    code, text = judged.openssl("crl", "-inform", "DER", "-in", file, "-CAfile", issuer, "-noout", "-text")
    assert (code, "verify OK" in text) == (0, True)
    judged.openssl("crl", "-inform", "DER", "-in", file, "-out", f"{file}.pem")
    code, told = judged.run("certtool", "--verify-crl", "--load-ca-certificate", issuer, "--infile", f"{file}.pem")
    assert (code, "Verified. The certificate is trusted." in told) == (0, True)
    return text


def gnutls_asks(judged: Judged, issued: IssuedCertificate, *options: str) -> str:
    code, told = judged.run(
        "ocsptool",
        f"--ask={judged.listener.url}/ocsp/derived",
        *options,
        *("--load-cert", judged.file("leaf.pem", pem(issued.certificate))),
        *("--load-issuer", judged.file("issuer.pem", pem(issued.chain[0]))),
        *("--load-trust", judged.file("root.pem", pem(*issued.chain))),
    )
    assert (code, "Verifying OCSP Response: Success." in told) == (0, True)
    return told


def test_both_judges_see_a_hold_begin_and_end(judged: Judged) -> None:
    issued = judged.site.issue()
    number = issued.certificate.serial_number
    serial = number.to_bytes(-(-number.bit_length() // 8)).hex().upper()  # as OpenSSL writes it: whole octets
    judged.hold(issued)
    text = listed(judged)
    assert "Certificate Hold" in text.partition(serial)[2].partition("Serial Number")[0]
    _, output = judged.ask(issued, "-sha256", "-no_nonce")
    assert ("leaf.pem: revoked" in output, "Reason: certificateHold" in output) == (True, True)
    assert "Certificate Status: revoked" in gnutls_asks(judged, issued)
    judged.restore(issued)
    assert serial not in listed(judged)
    assert "leaf.pem: good" in judged.ask(issued, "-sha256", "-no_nonce")[1]
    assert "Certificate Status: good" in gnutls_asks(judged, issued, "--nonce")
    judged.revoke(issued)
    assert "Certificate Status: revoked" in gnutls_asks(judged, issued, "--nonce")


def test_both_judges_read_a_list_of_twenty_thousand(judged: Judged) -> None:
    many_certificates.seed(
        judged.site.deps.database, "device", range(20_000), one_in=1, now=judged.clock.now(), body_bytes=20
    )
    assert crl.publish(judged.site.deps, "device") is not None
    served = judged.get("/crl/device.crl", Accept_Encoding="identity")
    assert int(served.headers["Content-Length"]) == len(served.content) > 800_000
    file = judged.file("device.crl", served.content)
    issuer = judged.file("issuer.pem", pem(judged.site.authorities["device"].certificate))
    code, text = judged.openssl("crl", "-inform", "DER", "-in", file, "-CAfile", issuer, "-noout", "-text")
    assert (code, "verify OK" in text, text.count("Serial Number:")) == (0, True, 20_000)
    code, text = judged.run("certtool", "--crl-info", "--inder", "--infile", file)
    assert (code, "Revoked certificates (20000)" in text) == (0, True)


def test_a_list_is_asked_for_again_without_being_sent_again(judged: Judged) -> None:
    first = judged.get("/crl/derived.crl")
    made = crl.current(judged.site.deps, "derived")
    assert parsedate_to_datetime(first.headers["Last-Modified"]) == made.this_update
    assert parsedate_to_datetime(first.headers["Expires"]) == made.next_update
    assert first.headers["Cache-Control"] == "public, max-age=300"
    assert first.headers["Content-Length"] == str(len(made.der))
    head = judged.get("/crl/derived.crl", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Last-Modified", "Content-Length", "Content-Type"):
        assert head.headers[name] == first.headers[name]
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    earlier = "Mon, 01 Jan 2024 00:00:00 GMT"
    for known in (
        {"If_None_Match": tag},
        {"If_None_Match": f'W/"other", {tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": modified},
        {"If_None_Match": tag, "If_Modified_Since": earlier},
    ):
        again = judged.get("/crl/derived.crl", **known)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    for unknown in (
        {"If_None_Match": '"1"'},
        {"If_Modified_Since": earlier},
        {"If_Modified_Since": "yesterday"},
        {"If_Modified_Since": "Mon, 01 Jan 99999999999 00:00:00 GMT"},
        {"If_None_Match": '"1"', "If_Modified_Since": modified},
    ):
        assert judged.get("/crl/derived.crl", **unknown).content == made.der
    judged.revoke(judged.site.issue())
    assert judged.get("/crl/derived.crl", If_None_Match=tag).status_code == 200


def test_an_answer_in_the_address_is_kept_by_caches_as_rfc_5019_says(judged: Judged) -> None:
    path = get_path(judged.site.issue())
    first = judged.get(path)
    answer = ocsp.load_der_ocsp_response(first.content)
    assert first.headers["Cache-Control"] == "max-age=300, public, no-transform, must-revalidate"
    assert parsedate_to_datetime(first.headers["Last-Modified"]) == answer.produced_at_utc == answer.this_update_utc
    assert parsedate_to_datetime(first.headers["Expires"]) == answer.next_update_utc
    assert answer.next_update_utc == answer.produced_at_utc + timedelta(hours=1)
    assert first.headers["ETag"] == f'"{hashlib.sha256(first.content).hexdigest()}"'
    assert judged.get(path).content == first.content
    again = judged.get(path, If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert judged.get(path, "HEAD").headers["Content-Length"] == str(len(first.content))


def test_no_cache_keeps_a_nonce_or_what_may_change_at_once(judged: Judged) -> None:
    issued, other = judged.site.issue(), judged.site.issue("device-identity")
    for path in (get_path(issued, nonce=b"n" * 32), get_path(other)):  # of another authority: unknown here
        assert judged.get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, REFUSED), (1, ANSWERED), (16, ANSWERED), (32, ANSWERED), (128, ANSWERED), (129, REFUSED)],
)
def test_nonces_have_the_lengths_of_rfc_9654(length: int, expected: str, judged: Judged) -> None:
    issued = judged.site.issue()
    answer = ocsp.load_der_ocsp_response(judged.get(get_path(issued, nonce=b"n" * length)).content)
    assert answer.response_status.name == expected
    if expected == ANSWERED:
        assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * length


def test_of_many_questions_at_once_too_many_are_refused(judged: Judged) -> None:
    good, bad = judged.site.issue(), judged.site.issue()
    judged.revoke(bad)
    _, output = judged.ask(good, *("-cert", judged.file("second.pem", pem(bad.certificate))))
    assert ("leaf.pem: good" in output, "second.pem: revoked" in output) == (True, True)
    more = [option for _ in range(16) for option in ("-cert", judged.file("second.pem", pem(bad.certificate)))]
    assert "malformedrequest" in judged.ask(good, *more)[1]
