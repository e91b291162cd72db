# SPDX-License-Identifier: Apache-2.0
"""EST as the phone uses it: one request for each purpose, under the link's authorization (docs/protocols/est.md)."""

from dataclasses import dataclass
from typing import Final

import httpx
from cryptography import x509

from etymon.kernel.errors import DecodeError, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.connection import Connection, refusal
from etymon.phone.state import Purpose
from etymon.pki import certificate as certificates
from etymon.pki.algorithms import KeyType
from etymon.wire import cms, est

TRANSPORT_KEYS: Final = (KeyType.RSA2048, KeyType.RSA3072)


def authorities(connection: Connection, base: str) -> tuple[x509.Certificate, ...]:
    """Return the issuer's certificates (RFC 7030 §4.1)."""
    answer = _accepted(connection.send("GET", f"{base}/cacerts"))
    return _certificates(est.decode_body(answer.content, limit_bytes=est.ANSWER_LIMIT_BYTES))


def key_type(connection: Connection, base: str, purpose: Purpose) -> KeyType:
    """Return the first kind of key the issuer takes for `purpose` that the phone can make (RFC 7030 §4.5).

    For encryption it is the transport key's: an RSA key, which has to be as strong as the key it carries.
    """
    kinds = TRANSPORT_KEYS if purpose is Purpose.ENCRYPTION else tuple(KeyType)
    usual = KeyType.RSA2048 if purpose is Purpose.ENCRYPTION else KeyType.P256
    answer = _accepted(connection.send("GET", f"{base}/{purpose.value}/csrattrs"))
    if answer.status_code == httpx.codes.NO_CONTENT:
        return usual
    named, _ = est.decode_csr_attributes(est.decode_body(answer.content, limit_bytes=est.ANSWER_LIMIT_BYTES))
    known = {kind.value: kind for kind in kinds}
    found = [known[name] for name in named if name in known]
    if named and not found:
        raise NotPermitted("key_type_unknown", "The issuer wants a kind of key this phone cannot make.")
    return found[0] if found else usual


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a link allows: the bearer value, and the link key's signature over the request."""

    value: Secret[str]
    proof: str


def enroll(
    connection: Connection, base: str, purpose: Purpose, body: bytes, authorization: Authorization
) -> x509.Certificate:
    """Return the certificate for a request (RFC 7030 §4.2); the same body again gets the same certificate."""
    answer = _post(connection, f"{base}/{purpose.value}/simpleenroll", body, authorization)
    return _only(_certificates(est.decode_body(answer.content, limit_bytes=est.ANSWER_LIMIT_BYTES)))


def reenroll(connection: Connection, base: str, purpose: Purpose, body: bytes) -> x509.Certificate:
    """Return the certificate that replaces the present one (RFC 7030 §4.2.2); repeating it is safe.

    `connection` shows the derived authentication credential.
    """
    answer = _post(connection, f"{base}/{purpose.value}/simplereenroll", body)
    return _only(_certificates(est.decode_body(answer.content, limit_bytes=est.ANSWER_LIMIT_BYTES)))


def server_generated(
    connection: Connection, base: str, purpose: Purpose, body: bytes, authorization: Authorization | None = None
) -> tuple[bytes, x509.Certificate]:
    """Return the enveloped key and its certificate (RFC 7030 §4.4); without an authorization it is a rekey."""
    answer = _post(connection, f"{base}/{purpose.value}/serverkeygen", body, authorization)
    parts = est.decode_parts(answer.headers.get("content-type", ""), answer.content)
    if len(parts) != 2 or "server-generated-key" not in parts[0].content_type:
        raise DecodeError("unexpected_answer", "The issuer's answer is not a key and its certificate.")
    return parts[0].octets, _only(_certificates(parts[1].octets))


def _post(connection: Connection, url: str, body: bytes, authorization: Authorization | None = None) -> httpx.Response:
    headers = {"Content-Type": est.PKCS10}
    if authorization is not None:
        headers |= {"Authorization": f"Bearer {authorization.value.reveal()}", "Link-Proof": authorization.proof}
    return _accepted(connection.send("POST", url, content=body, headers=headers))


def _accepted(answer: httpx.Response) -> httpx.Response:
    if answer.status_code == httpx.codes.ACCEPTED:  # taken, and not signed yet (RFC 7030 §4.2.3)
        raise Unavailable("issuance_pending", "The certificate is being made. It is fetched later.")
    if not answer.is_success:
        raise refusal(answer)
    return answer


def _certificates(message: bytes) -> tuple[x509.Certificate, ...]:
    return tuple(certificates.load(certificate) for certificate in cms.decode_certificates(message))


def _only(found: tuple[x509.Certificate, ...]) -> x509.Certificate:
    if len(found) != 1:
        raise DecodeError("unexpected_answer", "The issuer's answer is not one certificate.")
    return found[0]
