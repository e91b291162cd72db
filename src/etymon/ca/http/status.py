# SPDX-License-Identifier: Apache-2.0
"""The status listener's routes: CRL, OCSP and the authorities' certificates, over plain HTTP."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.ca import certificates, issuance, ocsp
from etymon.ca.dependencies import Dependencies
from etymon.ca.http.lists import ServedLists
from etymon.ca.ocsp import Answer
from etymon.kernel.errors import EtymonError, Malformed, NotFound, Unavailable
from etymon.pki.certificate import to_der
from etymon.web.cached import http_date, is_fresh, not_modified
from etymon.web.exchange import Request, endpoint
from etymon.wire import cms
from etymon.wire.ocsp import (
    REQUEST_LIMIT_BYTES,
    REQUEST_MEDIA_TYPE,
    RESPONSE_MEDIA_TYPE,
    ResponseStatus,
    encode_failure,
)

CACHE_SECONDS: Final = 300
"""How long others may keep what does not change with every request: a revocation is seen by all within this time."""

_CACHED: Final = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}
_NOT_KEPT: Final = {"Cache-Control": "no-store"}

Counted = Callable[[str], None]
"""Told how each OCSP answer came about: `kept`, `signed` or `refused`."""


def routes(deps: Dependencies, counted: Counted = lambda _: None) -> list[BaseRoute]:
    """Return the routes `/crl/…`, `/ocsp/…` and `/certificates/…`."""
    lists, face = ServedLists(deps, timedelta(seconds=CACHE_SECONDS)), OCSPFace(counted)
    return [
        endpoint("/crl/{file}", partial(_crl, lists), methods=("GET",)),
        endpoint("/certificates/{file}", partial(_certificates, deps), methods=("GET",)),
        endpoint(
            "/ocsp/{ca}",
            partial(_ocsp_post, deps, counted),
            methods=("POST",),
            errors=face,
            body_limit_bytes=REQUEST_LIMIT_BYTES,
        ),
        endpoint("/ocsp/{ca}/{request:path}", partial(_ocsp_get, deps, counted), methods=("GET",), errors=face),
    ]


class OCSPFace:
    """Errors as unsigned OCSP answers (RFC 6960 §4.2.1); HTTP itself went well."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def expected(self, error: EtymonError) -> Response:
        """Answer by the error's meaning."""
        self._counted("refused")
        if isinstance(error, Malformed):
            return _failure(ResponseStatus.MALFORMED_REQUEST)
        if isinstance(error, NotFound):
            return _failure(ResponseStatus.UNAUTHORIZED)
        return _failure(ResponseStatus.TRY_LATER if isinstance(error, Unavailable) else ResponseStatus.INTERNAL_ERROR)

    def unexpected(self, reference: str) -> Response:
        """Answer a plain failure; OCSP has no place for the reference but a header."""
        self._counted("refused")
        response = _failure(ResponseStatus.INTERNAL_ERROR)
        response.headers["X-Reference"] = reference
        return response


def _crl(lists: ServedLists, request: Request) -> Response:
    return lists.answer(request, _stem(request.path_parameters["file"], ".crl"))


def _certificates(deps: Dependencies, request: Request) -> Response:
    file = request.path_parameters["file"]
    with deps.database.snapshot() as tx:
        if file.endswith(".cer"):
            authority = issuance.find_authority(tx, _stem(file, ".cer"))
            return Response(to_der(authority.certificate), media_type="application/pkix-cert", headers=_CACHED)
        if file.endswith("-issued.p7c"):
            body = certificates.issued_authorities(tx, _stem(file, "-issued.p7c"))
        else:
            body = certificates.own_certificates(tx, _stem(file, ".p7c"))
    return Response(body, media_type=cms.MEDIA_TYPE, headers=_CACHED)


def _ocsp_post(deps: Dependencies, counted: Counted, request: Request) -> Response:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != REQUEST_MEDIA_TYPE:
        raise Malformed("wrong_media_type", f"Send {REQUEST_MEDIA_TYPE}.")
    answered = _answer(deps, counted, request, request.body)
    return Response(answered.der, media_type=RESPONSE_MEDIA_TYPE, headers=_NOT_KEPT)


def _ocsp_get(deps: Dependencies, counted: Counted, request: Request) -> Response:
    """Serve the base64 form in the address (RFC 6960 appendix A.1); caches may keep it (RFC 5019 §6.2)."""
    try:
        body = base64.b64decode(request.path_parameters["request"].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise Malformed("ocsp_malformed", "The request in the address is not base64.") from exc
    answered = _answer(deps, counted, request, body)
    if not answered.cacheable:
        return Response(answered.der, media_type=RESPONSE_MEDIA_TYPE, headers=_NOT_KEPT)
    etag = f'"{hashlib.sha256(answered.der).hexdigest()}"'
    headers = {
        "ETag": etag,
        "Last-Modified": http_date(answered.produced_at),
        "Expires": http_date(answered.next_update),
        "Cache-Control": f"max-age={CACHE_SECONDS}, public, no-transform, must-revalidate",
    }
    if is_fresh(request, etag=etag, modified=answered.produced_at):
        return not_modified(headers)
    return Response(answered.der, media_type=RESPONSE_MEDIA_TYPE, headers=headers)


def _answer(deps: Dependencies, counted: Counted, request: Request, body: bytes) -> Answer:
    answered = ocsp.answer(deps, request.path_parameters["ca"], body)
    counted(answered.kind)
    return answered


def _failure(status: ResponseStatus) -> Response:
    return Response(encode_failure(status), media_type=RESPONSE_MEDIA_TYPE, headers=_NOT_KEPT)


def _stem(file: str, ending: str) -> str:
    if not file.endswith(ending):
        raise NotFound("file_not_found", "There is no such file here.")
    return file.removesuffix(ending)
