# SPDX-License-Identifier: Apache-2.0
"""What SCEP clients in use send and expect, trap by trap (RFC 8894, and where clients leave it)."""

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from asn1crypto import cms, core, csr
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier
from starlette.routing import Route

from etymon.issuer.http import scep
from etymon.issuer.scep.model import ChallengeSource
from support import scep_client
from support.issuer_listeners import RunningIssuer
from support.scep_site import Device, SCEPSite


@pytest.fixture
def site(running: RunningIssuer) -> SCEPSite:
    assert isinstance(running.site, SCEPSite)
    return running.site


@pytest.fixture(params=["http", "https"])
def client(running: RunningIssuer, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Android clients of Intune insist on TLS; others come by plain HTTP. Neither is asked for a certificate."""
    url = running.status_url if request.param == "http" else running.site.deps.site_url
    with httpx.Client(base_url=f"{url}/scep/fleet", verify=running.trusting(), trust_env=False) as client:
        yield client


@pytest.fixture
def plain(running: RunningIssuer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{running.status_url}/scep/fleet", trust_env=False) as client:
        yield client


def test_capabilities_are_words_in_lines(client: httpx.Client) -> None:
    answer = client.get("", params={"operation": "GetCACaps"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain")
    words = answer.text.split("\n")
    assert {"AES", "POSTPKIOperation", "Renewal", "SHA-256", "SHA-512", "SCEPStandard", ""} <= set(words)
    assert {"DES3", "SHA-1", "GetNextCACert"}.isdisjoint(words)


def test_old_algorithms_are_offered_where_an_administrator_lets_them_in(site: SCEPSite, plain: httpx.Client) -> None:
    site.connector("museum", legacy_algorithms=True)
    words = plain.get("../museum", params={"operation": "GetCACaps"}).text.split()
    assert {"DES3", "SHA-1"} <= set(words)


@pytest.mark.parametrize("message", [None, "0", "1", "default", "CAIdentifier", "%00"])
@pytest.mark.parametrize("path", ["", "/pkiclient.exe", "/certsrv/mscep/mscep.dll/pkiclient.exe"])
def test_the_certificates_come_whatever_word_is_behind_the_address(
    site: SCEPSite, plain: httpx.Client, message: str | None, path: str
) -> None:
    """Windows appends /pkiclient.exe and asks for `default`, certmonger for 0 and 1; unknown words do not matter."""
    query = "?operation=GetCACert" + ("" if message is None else f"&message={message}")
    answer = plain.get(path + query)
    assert answer.headers["content-type"] == "application/x-x509-ca-ra-cert"
    signed = cms.ContentInfo.load(answer.content, strict=True)["content"]
    found = [x509.load_der_x509_certificate(each.chosen.dump()) for each in signed["certificates"]]
    authorities = [site.ca.authorities[name].certificate for name in ("managed", "managed-root")]
    assert found == [site.registrar, *authorities]


@pytest.mark.parametrize("path", ["/certsrv/mscep/mscep.dll", "/CertSrv/MSCEP/mscep.DLL/pkiclient.exe"])
def test_the_address_of_ndes_in_whatever_case_is_the_named_connectors(
    running: RunningIssuer, site: SCEPSite, client: httpx.Client, path: str
) -> None:
    address = str(client.base_url.copy_with(path=path))
    words = client.get(address, params={"operation": "GetCACaps"}).text.split()
    assert "SCEPStandard" in words
    assert client.get(address, params={"operation": "GetCACert"}).headers["content-type"].endswith("x-x509-ca-ra-cert")
    device = site.device()
    message = device.message(device.request(site.challenge())).encode()
    answer = client.post(address, params={"operation": "PKIOperation"}, content=message)
    assert scep_client.decode(answer.content, device.key).status == "success"
    refused = client.post(address, params={"operation": "PKIOperation"}, content=b"")
    assert (refused.status_code, refused.headers["error-code"]) == (400, "message_missing")
    assert client.get(address.lower().replace("/mscep/", "/other/")).status_code == 404
    none = scep.routes(replace(running.site.deps, ndes_connector=""))
    assert {route.path for route in none if isinstance(route, Route)} == {scep.PATH, f"{scep.PATH}/{{words:path}}"}


def test_the_registration_authority_is_what_windows_and_purebred_look_for(site: SCEPSite) -> None:
    found = site.registrar.extensions
    usage = found.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment) == (True, True)
    purposes = list(found.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == [ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")]
    assert site.registrar.subject != site.registrar.issuer
    assert found.get_extension_for_oid(ExtensionOID.SUBJECT_KEY_IDENTIFIER).critical is False


def posted(client: httpx.Client, device: Device, message: bytes, **options: Any) -> scep_client.Reply:
    answer = client.post("?operation=PKIOperation", content=message, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-pki-message"), answer.text
    return scep_client.decode(answer.content, device.key)


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "application/x-pki-message", "text/plain"])
def test_any_content_type_will_do_and_none(site: SCEPSite, plain: httpx.Client, kind: str | None) -> None:
    device = site.device()
    message = device.message(device.request(site.challenge())).encode()
    headers = {} if kind is None else {"Content-Type": kind}
    assert posted(plain, device, message, headers=headers).status == "success"


@pytest.mark.parametrize("way", ["escaped", "raw", "plus as blank", "only equals escaped", "in lines", "unpadded"])
def test_a_message_in_the_address_is_read_however_it_was_escaped(
    site: SCEPSite, client: httpx.Client, way: str
) -> None:
    """Apple leaves + and / as they are and escapes =; something on the way may take + for a blank."""
    device = site.device()
    text = base64.b64encode(device.message(device.request(site.challenge())).encode()).decode()
    while "+" not in text or "/" not in text or not text.endswith("="):
        text = base64.b64encode(
            device.message(device.request(site.challenge()), nonce=os.urandom(16 + len(text) % 5)).encode()
        ).decode()
    written = {
        "escaped": quote(text, safe=""),
        "raw": text,
        "plus as blank": text.replace("+", "%20").replace("=", "%3D"),
        "only equals escaped": text.replace("=", "%3D"),
        "in lines": quote("\n".join(text[at : at + 64] for at in range(0, len(text), 64)), safe=""),
        "unpadded": quote(text.rstrip("="), safe=""),
    }[way]
    address = httpx.URL(f"{client.base_url}").copy_with(
        raw_path=b"/scep/fleet?operation=PKIOperation&message=" + written.encode()
    )
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    assert scep_client.decode(answer.content, device.key).status == "success"


def test_the_answer_holds_the_leaf_alone_and_is_signed_as_old_clients_read_it(site: SCEPSite) -> None:
    device = site.device()
    reply = device.ask(nonce=b"\x2a" * 32, transaction="Test Transaction ID")
    assert len(reply.certificates) == 1
    assert reply.signature_algorithm == "1.2.840.113549.1.1.1"
    assert reply.carried == (site.registrar,)
    assert (reply.transaction, reply.recipient_nonce) == ("Test Transaction ID", b"\x2a" * 32)
    assert len(reply.sender_nonce) == 16
    other = site.device()
    assert other.ask(nonce=b"\x2a" * 32, transaction="Test Transaction ID").certificate != reply.certificate


@pytest.mark.parametrize("transaction", ["MTIz+/abc=", "9" * 77, "Test Transaction ID", "A" * 255])
def test_a_transaction_id_travels_back_as_it_came(site: SCEPSite, transaction: str) -> None:
    assert site.device().ask(transaction=transaction).transaction == transaction


@pytest.mark.parametrize("cipher", ["aes128_cbc", "aes192_cbc", "aes256_cbc"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_the_answer_follows_the_request(site: SCEPSite, cipher: str, digest: str) -> None:
    reply = site.device().ask(cipher=cipher, digest=digest)
    assert (reply.cipher, reply.digest) == (cipher, digest)


def test_old_clients_are_let_in_with_a_warning_and_never_answered_with_sha1(site: SCEPSite) -> None:
    site.connector("museum", legacy_algorithms=True)
    made = [event for event in site.events() if event.subject == "scep_connector:museum"]
    assert {event.facts["old_algorithms"] for event in made} == {"SHA-1 and triple DES let in"}
    device = site.device(connector="museum")
    reply = device.ask(cipher="tripledes_3key", digest="sha1")
    assert (reply.status, reply.cipher, reply.digest) == ("success", "tripledes_3key", "sha256")
    authorized = {str(event.facts["old_algorithms"]) for event in site.events("issuer:scep_enrollment:authorized")}
    assert "1.2.840.113549.3.7 1.3.14.3.2.26" in authorized


def test_signer_and_recipient_may_be_named_by_key_identifier(site: SCEPSite) -> None:
    site.device().enroll(key_identifiers=True)


def test_an_envelope_in_pieces_of_indefinite_length_is_opened(site: SCEPSite) -> None:
    site.device().enroll(in_pieces=True)


def test_an_envelope_for_the_authority_too_is_opened(site: SCEPSite) -> None:
    """micromdm's client encrypts to every certificate it was given; ours among them counts."""
    other = scep_client.self_signed(site.key(), "the root, which cannot open it", serial_number=99)
    site.device().enroll(recipients=[other, site.registrar])


def test_a_request_with_unsorted_attributes_is_read(site: SCEPSite) -> None:
    device = site.device()
    request = csr.CertificationRequest.load(
        device.request(site.challenge(), names=[x509.RFC822Name("alice@agency.example")])
    )
    information = request["certification_request_info"]
    encoded = [attribute.dump() for attribute in information["attributes"]]
    unsorted = b"".join(sorted(encoded, reverse=True))
    assert unsorted != b"".join(encoded)
    altered = information.dump().replace(b"".join(encoded), unsorted)
    with pytest.raises(ValueError, match="InvalidSetOrdering"):
        x509.load_der_x509_csr(resigned(altered, device))
    assert device.send(device.message(resigned(altered, device))).status == "success"


def test_a_request_with_a_friendly_name_in_sixteen_bits_is_read(site: SCEPSite) -> None:
    device = site.device()
    request = csr.CertificationRequest.load(device.request(site.challenge()))
    attribute = core.Sequence.load(
        b"\x30\x1b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14\x31\x0e\x1e\x0c" + "laptop".encode("utf-16-be")
    ).dump()
    information = request["certification_request_info"].dump()
    attributes = request["certification_request_info"]["attributes"].dump()
    longer = (
        b"\xa0"
        + length(len(attributes[header(attributes) :]) + len(attribute))
        + attributes[header(attributes) :]
        + attribute
    )
    body = information[header(information) :].replace(attributes, longer)
    assert device.send(device.message(resigned(b"\x30" + length(len(body)) + body, device))).status == "success"


def header(encoded: bytes) -> int:
    return 2 if encoded[1] < 0x80 else 2 + (encoded[1] & 0x7F)


def length(count: int) -> bytes:
    return bytes((count,)) if count < 0x80 else bytes((0x82,)) + count.to_bytes(2, "big")


def resigned(information: bytes, device: Device) -> bytes:
    signature = device.key.sign(information, padding.PKCS1v15(), hashes.SHA256())
    algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")
    bits = b"\x03" + length(len(signature) + 1) + b"\x00" + signature
    body = information + algorithm + bits
    return b"\x30" + length(len(body)) + body


def test_a_signer_that_strict_readers_refuse_is_read(site: SCEPSite) -> None:
    """Windows signs with a certificate whose authority key identifier is critical."""
    device = site.device()
    name = device.subject()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(device.key.public_key())
    usual = scep_client.self_signed(device.key, "x")
    builder = x509.CertificateBuilder(name, name, device.key.public_key(), 1)
    builder = builder.not_valid_before(usual.not_valid_before_utc).not_valid_after(usual.not_valid_after_utc)
    signer = builder.add_extension(identifier, critical=True).sign(device.key, hashes.SHA256())
    device.enroll(signer=signer)


def test_an_operation_that_is_not_there_is_told_in_a_line(plain: httpx.Client) -> None:
    for query in ("?operation=GetNextCACert", "?operation=", "", "?operation=pkioperation"):
        answer = plain.get(query)
        assert (answer.status_code, answer.headers["error-code"]) == (404, "operation_unknown")
    assert plain.post("?operation=GetCACert", content=b"0").status_code == 400
    assert plain.post("?operation=PKIOperation", content=b"").headers["error-code"] == "message_missing"
    assert plain.get("?operation=PKIOperation&message=!!").headers["error-code"] == "not_base64"
    assert plain.get("../nobody?operation=GetCACaps").headers["error-code"] == "scep_connector_unknown"
    long = plain.get("?operation=PKIOperation&message=" + "A" * 16_400)
    assert (long.status_code, long.headers["error-code"]) == (413, "message_too_large")
    long = plain.post("?operation=PKIOperation", content=bytes(65 * 1024))
    assert (long.status_code, long.headers["error-code"]) == (413, "body_too_large")


def test_a_connector_that_was_withdrawn_answers_nothing(site: SCEPSite, plain: httpx.Client) -> None:
    site.connector("passing")
    device = site.device(connector="passing")
    message = device.message(device.request(site.challenge(connector="passing"))).encode()
    site.withdraw_connector("passing")
    for query in ("GetCACaps", "GetCACert"):
        assert plain.get(f"../passing?operation={query}").status_code == 404
    assert plain.post("../passing?operation=PKIOperation", content=message).status_code == 404


def test_a_device_is_told_when_to_come_back_while_nobody_confirms(site: SCEPSite, plain: httpx.Client) -> None:
    site.connector("cloud", source=ChallengeSource.INTUNE, client=None)
    device = site.device(connector="cloud")
    answer = plain.post("../cloud?operation=PKIOperation", content=device.message(device.request("C")).encode())
    assert (answer.status_code, answer.headers["error-code"]) == (503, "validation_unavailable")
    assert answer.headers["retry-after"] == "60"


def test_one_address_sends_three_hundred_messages_in_a_minute(site: SCEPSite, plain: httpx.Client) -> None:
    site.turn(minutes=1)
    answers = [plain.post("", params={"operation": "PKIOperation"}, content=b"x") for _ in range(301)]
    assert {answer.status_code for answer in answers[:300]} == {400}
    assert (answers[300].status_code, answers[300].headers["error-code"]) == (429, "too_many_tries")
    assert 0 < int(answers[300].headers["retry-after"]) <= 61
    assert plain.get("", params={"operation": "GetCACaps"}).status_code == 200
    site.turn(hours=1)  # by when the trail tells of refusals again, too
    assert plain.post("", params={"operation": "PKIOperation"}, content=b"x").status_code == 400
