# SPDX-License-Identifier: Apache-2.0
"""EST at the device listener (RFC 7030, RFC 8951; docs/protocols/est.md). The label is the purpose."""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from cryptography import x509
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from etymon.ca import authorities
from etymon.issuer import device_identity, initial_issuance, issuance_rules, rekey
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import authorization_unknown, link_proof_wrong
from etymon.issuer.http.link import EST
from etymon.issuer.link_key import LARGEST_SIGNATURE_BYTES
from etymon.issuer.model import Purpose
from etymon.issuer.planning import EnrollmentRequest
from etymon.issuer.rekey import RekeyRequest
from etymon.kernel.entropy import random_token
from etymon.kernel.errors import EtymonError, Malformed, NotAuthenticated, NotFound, Throttled, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType, default_signature_algorithm
from etymon.pki.certificate import to_der
from etymon.storage.database import Transaction
from etymon.web.exchange import Request, endpoint
from etymon.web.problem import status_of
from etymon.wire import cms, est

ENROLLED: Final = frozenset({Purpose.AUTHENTICATION, Purpose.SIGNATURE})
"""Purposes whose keys are made on the phone; the encryption key is made by the server."""

RETRY_AFTER_SECONDS: Final = 60
PENDING: Final = "issuance_unfinished"
"""What was taken and is not signed yet: 202 (RFC 7030 §4.2.3)."""

LONGEST_AUTHORIZATION: Final = 128


class ESTErrors:
    """A line of text; 401 says how to authenticate, 202 and 503 when to come back (RFC 7030 §4.2.3)."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with the error's sentence."""
        headers = {"Cache-Control": "no-store", "Error-Code": error.code}
        if isinstance(error, NotAuthenticated):
            headers["WWW-Authenticate"] = 'Bearer realm="est"'
        if isinstance(error, Unavailable):
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if error.code == PENDING:
            return PlainTextResponse(f"{error.detail}\n", 202, headers)
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return PlainTextResponse(f"{error.detail or error.code}\n", status_of(error), headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return PlainTextResponse(f"Internal error. Reference: {reference}\n", 500, {"Cache-Control": "no-store"})


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def cacerts(_: Request) -> Response:
        with deps.database.snapshot() as tx:
            return _body(est.CERTS_ONLY, _certs_only(_lineage(tx, deps.authority)))

    def csrattrs(request: Request) -> Response:
        purpose = _purpose(request)
        with deps.database.snapshot() as tx:
            rules = [rule for rule in issuance_rules.in_force(tx) if purpose in rule.purposes]
        if not rules:
            return Response(status_code=204)
        if purpose is Purpose.ENCRYPTION:  # the transport key is as strong as the key it carries
            strongest = max((rule.encryption_key_type for rule in rules), key=lambda kind: kind.value)
            return _body(est.CSR_ATTRIBUTES, _attributes([strongest], decrypt_key_identifier=True))
        return _body(est.CSR_ATTRIBUTES, _attributes({kind for rule in rules for kind in rule.key_types}))

    def simpleenroll(request: Request) -> Response:
        device = device_identity.judge(deps, request.peer, source=request.client_address)
        enrolled = initial_issuance.redeem(deps, _enrollment(request, ENROLLED), device, source=request.client_address)
        return _body(est.CERTS_ONLY, _certs_only([enrolled.certificate]))

    def simplereenroll(request: Request) -> Response:
        asked = _rekey_request(request, ENROLLED)
        enrolled = rekey.rekey(deps, asked, request.peer, source=request.client_address)
        return _body(est.CERTS_ONLY, _certs_only([enrolled.certificate]))

    def serverkeygen(request: Request) -> Response:
        escrowed = frozenset({Purpose.ENCRYPTION})
        if "authorization" in request.headers:
            device = device_identity.judge(deps, request.peer, source=request.client_address)
            asked = _enrollment(request, escrowed)
            enrolled = initial_issuance.redeem(deps, asked, device, source=request.client_address)
        else:
            again = _rekey_request(request, escrowed)
            enrolled = rekey.rekey(deps, again, request.peer, source=request.client_address)
        parts = [
            est.Part(est.SERVER_GENERATED_KEY, enrolled.enveloped_key or b""),
            est.Part(est.CERTS_ONLY, _certs_only([enrolled.certificate])),
        ]
        content_type, body = est.encode_parts(parts, random_token(deps.entropy, bits=96))
        return Response(body, 200, {"Content-Type": content_type, "Cache-Control": "no-store"})

    def at(operation: str, handler: Callable[[Request], Response], method: str) -> BaseRoute:
        return endpoint(
            f"{EST}/{operation}",
            handler,
            methods=[method],
            errors=ESTErrors(),
            body_limit_bytes=est.REQUEST_LIMIT_BYTES,
            proxies=deps.proxies,
        )

    return [
        at("cacerts", cacerts, "GET"),
        at("{label}/cacerts", cacerts, "GET"),
        at("{label}/csrattrs", csrattrs, "GET"),
        at("{label}/simpleenroll", simpleenroll, "POST"),
        at("{label}/simplereenroll", simplereenroll, "POST"),
        at("{label}/serverkeygen", serverkeygen, "POST"),
    ]


def _attributes(kinds: Collection[KeyType], *, decrypt_key_identifier: bool = False) -> bytes:
    """Return what a request may be: the kinds of key, and the signatures, with their hashes, that go with them."""
    return est.encode_csr_attributes(
        sorted(kind.value for kind in kinds),
        signatures=sorted({default_signature_algorithm(kind).value for kind in kinds}),
        decrypt_key_identifier=decrypt_key_identifier,
    )


def _lineage(tx: Transaction, name: str) -> list[x509.Certificate]:
    """Return the certificates of an authority and those above it, the root last (RFC 7030 §4.1.3)."""
    authority = authorities.load(tx, name)
    above = _lineage(tx, authority.parent) if authority.parent else []
    return [authority.certificate, *above]


def _purpose(request: Request) -> Purpose:
    try:
        return Purpose(request.path_parameters["label"])
    except ValueError as exc:
        raise NotFound("label_unknown", "The label is authentication, signature or encryption.") from exc


def _asked_for(request: Request, purposes: frozenset[Purpose]) -> Purpose:
    """Return the purpose of a request that carries a PKCS #10."""
    purpose = _purpose(request)
    if purpose not in purposes:
        raise NotFound(
            "operation_unknown", "Encryption keys come by serverkeygen, the others by simpleenroll and simplereenroll."
        )
    _require_media_type(request.headers)
    return purpose


def _rekey_request(request: Request, purposes: frozenset[Purpose]) -> RekeyRequest:
    return RekeyRequest(_asked_for(request, purposes), request.body)


def _enrollment(request: Request, purposes: frozenset[Purpose]) -> EnrollmentRequest:
    purpose = _asked_for(request, purposes)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(value) <= LONGEST_AUTHORIZATION:
        raise authorization_unknown()
    return EnrollmentRequest(purpose, Secret(value), _proof(request.headers), request.body)


def _require_media_type(headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != est.PKCS10:
        raise Malformed("wrong_media_type", f"Send a certification request as {est.PKCS10}.")


def _proof(headers: Mapping[str, str]) -> bytes:
    text = headers.get("link-proof", "")
    try:
        proof = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise link_proof_wrong() from exc
    if not 0 < len(proof) <= LARGEST_SIGNATURE_BYTES:
        raise link_proof_wrong()
    return proof


def _certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    # a SET OF in DER is sorted by its encodings (X.690 §11.6); strict readers look
    return cms.encode_certificates(sorted(to_der(certificate) for certificate in certificates))


def _body(content_type: str, octets: bytes) -> Response:
    headers = {
        "Content-Type": content_type,
        "Content-Transfer-Encoding": "base64",  # not required since RFC 8951; a client in wide use looks for it
        "Cache-Control": "no-store",
    }
    return Response(est.encode_body(octets), 200, headers)
