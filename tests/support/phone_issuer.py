# SPDX-License-Identifier: Apache-2.0
"""The issuer's side of link and EST as docs/protocols says, for tests of the phone: one link, three purposes."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.card_issuer import Authority, common_name, key_usage, upn_name
from support.key_packages import KeyGenerator

MAIL: Final = "alice@agency.example"
UPN: Final = "alice@agency.example"
DECRYPT_KEY_IDENTIFIER: Final = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.54")
PROBLEM: Final = "application/problem+json"

Told = tuple[str, int, bytes]
"""Content type, status, body."""


@dataclass
class StandInIssuer:
    """Keeps links, and what was issued for them."""

    directory: Path
    purposes: tuple[str, ...] = ("authentication", "signature", "encryption")
    key_types: dict[str, bytes] = field(default_factory=dict)
    """CsrAttrs in DER by label."""
    managed_only: bool = True
    """Whether its rule takes managed phones only."""
    confirmed: bool = True
    digits: str | None = None
    """What to answer in place of the right digits."""
    links: dict[str, bytes] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    """By link, where its code asks for one."""
    wrong: dict[str, int] = field(default_factory=dict)
    redeemed: dict[str, bytes] = field(default_factory=dict)
    issued: dict[tuple[str, str], tuple[bytes, Told]] = field(default_factory=dict)
    """By link and purpose: the request's body and the answer."""
    escrowed: list[rsa.RSAPrivateKey] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.generator = KeyGenerator(self.directory)

    def answer(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        peer: x509.Certificate | None,
        urls: tuple[str, str],
    ) -> Told:
        *_, label, operation = path.split("/")
        if operation == "etymon-issuer":
            return self._directory(*urls)
        if operation == "cacerts":
            message = pkcs7.serialize_certificates([self.generator.ca.certificate], Encoding.DER)
            return "application/pkcs7-mime; smime-type=certs-only", 200, base64.b64encode(message)
        if operation == "csrattrs":
            wanted = self.key_types.get(label)
            return "application/csrattrs", 200 if wanted else 204, base64.b64encode(wanted or b"")
        if peer is None and self.managed_only:
            return problem(401, "device_identity_required")
        if label == "v1":
            asked = json.loads(body)
            return self._redeem(asked) if operation == "redeem" else self._authorization(asked)
        return self._enroll(label, operation, headers, body)

    def _directory(self, site: str, device_listener: str) -> Told:
        assert site
        link = f"{device_listener}/issuer/link/v1"
        return told(
            {
                "protocol": 1,
                "name": "Agency issuer",
                "redeem": f"{link}/redeem",
                "authorization": f"{link}/authorization",
                "est": f"{device_listener}/.well-known/est",
            }
        )

    def _redeem(self, asked: Mapping[str, Any]) -> Told:
        link = asked["link"]
        if link not in self.links:
            return problem(404, "link_unknown")
        refused = self._refused(link, asked)
        if refused:
            return problem(403, refused)
        key = base64.b64decode(asked["key"])
        if self.redeemed.setdefault(link, key) != key:
            return problem(409, "link_already_redeemed")
        message = b"etymon-link-digits/1\x00" + link.encode() + b"\x00" + hashlib.sha256(key).digest()
        mac = hmac.new(self.links[link], message, "sha256").digest()
        return told(
            {
                "person": {"displayName": "Alice Adams", "mail": "a…e@agency.example"},
                "issuer": "Agency issuer",
                "digits": self.digits or f"{int.from_bytes(mac[:8], 'big') % 1_000_000:06d}",
                "expiresAt": later(10),
                "purposes": list(self.purposes),
            }
        )

    def _refused(self, link: str, asked: Mapping[str, Any]) -> str:
        """Return why secret or password are not taken; five wrong ones end the link."""
        password = self.passwords.get(link)
        if self.wrong.get(link, 0) >= 5:
            return "link_denied"
        if password and "password" not in asked:
            return "link_password_required"
        secret = base64.urlsafe_b64encode(self.links[link]).rstrip(b"=").decode()
        if asked["secret"] == secret and password in (None, asked.get("password")):
            return ""
        self.wrong[link] = self.wrong.get(link, 0) + 1
        if self.wrong[link] >= 5:
            return "link_denied"
        return "link_password_wrong" if password else "link_secret_wrong"

    def _authorization(self, asked: Mapping[str, Any]) -> Told:
        link = asked["link"]
        key = load_der_public_key(self.redeemed[link])
        verify(key, base64.b64decode(asked["proof"]), b"etymon-link-authorization/1\x00" + link.encode())
        if not self.confirmed:
            return told({"state": "waiting"})
        return told(
            {
                "state": "confirmed",
                "authorization": f"authorization-{link}",
                "purposes": list(self.purposes),
                "expiresAt": later(15),
            }
        )

    def _enroll(self, purpose: str, operation: str, headers: Mapping[str, str], body: bytes) -> Told:
        assert operation == ("serverkeygen" if purpose == "encryption" else "simpleenroll")
        assert headers["Content-Type"] == "application/pkcs10"
        scheme, _, authorization = headers.get("Authorization", "").partition(" ")
        link = authorization.removeprefix("authorization-")
        if scheme != "Bearer" or link not in self.redeemed:
            return "text/plain", 401, b"no live authorization"
        link_key = load_der_public_key(self.redeemed[link])
        message = b"etymon-link-request/1\x00" + purpose.encode() + b"\x00" + hashlib.sha256(body).digest()
        verify(link_key, base64.b64decode(headers["Link-Proof"]), message)
        if (link, purpose) in self.issued:
            before, answer = self.issued[link, purpose]
            return answer if before == body else ("text/plain", 409, b"another request")
        request = x509.load_der_x509_csr(base64.b64decode(body))
        assert request.is_signature_valid
        if purpose == "authentication":
            assert request.public_key() == link_key
        answer = self._generated(request) if purpose == "encryption" else self._certified(purpose, request)
        self.issued[link, purpose] = body, answer
        return answer

    def _certified(self, purpose: str, request: x509.CertificateSigningRequest) -> Told:
        key = request.public_key()
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        return "application/pkcs7-mime; smime-type=certs-only", 200, base64.b64encode(self._issue(purpose, key))

    def _generated(self, request: x509.CertificateSigningRequest) -> Told:
        transport = request.public_key()
        assert isinstance(transport, rsa.RSAPublicKey)
        identifier = x509.SubjectKeyIdentifier.from_public_key(transport).digest
        attribute = request.attributes.get_attribute_for_oid(DECRYPT_KEY_IDENTIFIER)
        assert attribute.value == identifier
        private_key = self.escrowed[-1]
        parts = (
            ("server-generated-key", self.generator.envelope(transport, private_key)),
            ("certs-only", self._issue("encryption", private_key.public_key())),
        )
        lines = [
            f"--part\r\nContent-Type: application/pkcs7-mime; smime-type={kind}\r\n"
            f"Content-Transfer-Encoding: base64\r\n\r\n{base64.b64encode(octets).decode()}\r\n"
            for kind, octets in parts
        ]
        return 'multipart/mixed; boundary="part"', 200, ("".join(lines) + "--part--\r\n").encode()

    def _issue(self, purpose: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
        usage = "key_encipherment" if purpose == "encryption" else "digital_signature"
        eku = ExtendedKeyUsageOID.CLIENT_AUTH if purpose == "authentication" else ExtendedKeyUsageOID.EMAIL_PROTECTION
        name = upn_name(UPN) if purpose == "authentication" else x509.RFC822Name(MAIL)
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name("Alice Adams"))
            .public_key(key)
            .add_extension(key_usage(usage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        )
        certificate = self.generator.ca.issue(builder)
        self.certificates.append(certificate)
        return pkcs7.serialize_certificates([certificate], Encoding.DER)


def verify(key: object, signature: bytes, message: bytes) -> None:
    """Verify a proof of the link key as link.md names the algorithms."""
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        return
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, message, ec.ECDSA(hashes.SHA256() if key.curve.key_size == 256 else hashes.SHA384()))


def told(members: Mapping[str, object]) -> Told:
    return "application/json", 200, json.dumps(members).encode()


def problem(status: int, code: str) -> Told:
    members = {"type": f"urn:etymon:problem:{code}", "title": code, "detail": f"Refused: {code}."}
    return PROBLEM, status, json.dumps(members).encode()


def later(minutes: int) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def empty_crl(authority: Authority) -> bytes:
    """Return the authority's revocation list with nobody on it, as PEM."""
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(now - timedelta(minutes=5)).next_update(now + timedelta(days=1))
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)
