# SPDX-License-Identifier: Apache-2.0
"""EST at the device listener (RFC 7030, RFC 8951; docs/protocols/est.md).

The label is the purpose, for phones; the name of a connector is one too, for what is renewed there.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from cryptography import x509
from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.ca import authorities
from etymon.issuer import device_identity, initial_issuance, issuance_rules, rekey
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import authorization_unknown, link_proof_wrong
from etymon.issuer.http import connector_est, doors
from etymon.issuer.http.est_answers import ESTErrors, answer, certs_only, csr_attributes, require_request
from etymon.issuer.http.link import EST
from etymon.issuer.link_key import LARGEST_SIGNATURE_BYTES
from etymon.issuer.model import Purpose
from etymon.issuer.planning import EnrollmentRequest
from etymon.issuer.rekey import RekeyRequest
from etymon.issuer.scep import transport
from etymon.kernel.entropy import random_token
from etymon.kernel.errors import NotFound
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction
from etymon.web.exchange import Handler, Request, endpoint
from etymon.wire import est

ENROLLED: Final = frozenset({Purpose.AUTHENTICATION, Purpose.SIGNATURE})
"""Purposes whose keys are made on the phone; the encryption key is made by the server."""

LONGEST_AUTHORIZATION: Final = 128


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def cacerts(_: Request) -> Response:
        with deps.database.snapshot() as tx:
            return answer(est.CERTS_ONLY, certs_only(_lineage(tx, deps.authority)))

    def csrattrs(request: Request) -> Response:
        purpose = _purpose(request)
        with deps.database.snapshot() as tx:
            rules = [rule for rule in issuance_rules.in_force(tx) if purpose in rule.purposes]
        if not rules:
            return Response(status_code=204)
        if purpose is Purpose.ENCRYPTION:  # the transport key is as strong as the key it carries
            strongest = max((rule.encryption_key_type for rule in rules), key=lambda kind: kind.value)
            return answer(est.CSR_ATTRIBUTES, csr_attributes([strongest], decrypt_key_identifier=True))
        return answer(est.CSR_ATTRIBUTES, csr_attributes({kind for rule in rules for kind in rule.key_types}))

    def simpleenroll(request: Request) -> Response:
        device = device_identity.judge(deps, request.peer, source=request.client_address)
        enrolled = initial_issuance.redeem(deps, _enrollment(request, ENROLLED), device, source=request.client_address)
        return answer(est.CERTS_ONLY, certs_only([enrolled.certificate]))

    def simplereenroll(request: Request) -> Response:
        asked = _rekey_request(request, ENROLLED)
        enrolled = rekey.rekey(deps, asked, request.peer, source=request.client_address)
        return answer(est.CERTS_ONLY, certs_only([enrolled.certificate]))

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
            est.Part(est.CERTS_ONLY, certs_only([enrolled.certificate])),
        ]
        content_type, body = est.encode_parts(parts, random_token(deps.entropy, bits=96))
        return Response(body, 200, {"Content-Type": content_type, "Cache-Control": "no-store"})

    refused = doors.recorder(deps, transport.REFUSED_EVENT, connector="label")

    def at(operation: str, handler: Handler, method: str) -> BaseRoute:
        return endpoint(
            f"{EST}/{operation}",
            handler,
            methods=[method],
            errors=ESTErrors("Bearer", connector_est.STATUS),
            body_limit_bytes=est.REQUEST_LIMIT_BYTES,
            proxies=deps.proxies,
            refused=refused,
        )

    return [
        at("cacerts", cacerts, "GET"),
        at("{label}/cacerts", _by_label(cacerts, connector_est.cacerts(deps)), "GET"),
        at("{label}/csrattrs", _by_label(csrattrs, connector_est.csrattrs(deps)), "GET"),
        at("{label}/simpleenroll", simpleenroll, "POST"),
        at("{label}/simplereenroll", _by_label(simplereenroll, connector_est.simplereenroll(deps)), "POST"),
        at("{label}/serverkeygen", serverkeygen, "POST"),
    ]


def _by_label(of_purpose: Handler, of_connector: Handler) -> Handler:
    """Return a handler that leaves purposes to the one, and every other label to the other."""
    purposes = {purpose.value for purpose in Purpose}

    def handler(request: Request) -> Response:
        return (of_purpose if connector_est.label(request) in purposes else of_connector)(request)

    return handler


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
    require_request(request.headers)
    return purpose


def _rekey_request(request: Request, purposes: frozenset[Purpose]) -> RekeyRequest:
    return RekeyRequest(_asked_for(request, purposes), request.body)


def _enrollment(request: Request, purposes: frozenset[Purpose]) -> EnrollmentRequest:
    purpose = _asked_for(request, purposes)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(value) <= LONGEST_AUTHORIZATION:
        raise authorization_unknown()
    return EnrollmentRequest(purpose, Secret(value), _proof(request.headers), request.body)


def _proof(headers: Mapping[str, str]) -> bytes:
    text = headers.get("link-proof", "")
    try:
        proof = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise link_proof_wrong() from exc
    if not 0 < len(proof) <= LARGEST_SIGNATURE_BYTES:
        raise link_proof_wrong()
    return proof
