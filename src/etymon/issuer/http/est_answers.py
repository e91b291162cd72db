# SPDX-License-Identifier: Apache-2.0
"""What the faces of EST share: answers as they travel, refusals, and what a request has to be (RFC 7030, RFC 8951)."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cryptography import x509
from starlette.responses import PlainTextResponse, Response

from etymon.kernel.errors import EtymonError, Malformed, Throttled, Unavailable
from etymon.pki.algorithms import KeyType, default_signature_algorithm
from etymon.pki.certificate import to_der
from etymon.web.problem import status_of
from etymon.wire import cms, est

RETRY_AFTER_SECONDS: Final = 60
PENDING: Final = frozenset({"issuance_unfinished", "enrollment_pending"})
"""What was taken and is not signed yet: 202 (RFC 7030 §4.2.3)."""


class ESTErrors:
    """A line of text; 401 says how to authenticate, 202 and 503 when to come back (RFC 7030 §4.2.3).

    `scheme` is that of WWW-Authenticate; `status` is by code, where what an error means is another thing here.
    """

    def __init__(self, scheme: str, status: Mapping[str, int] = MappingProxyType({})) -> None:
        self._challenge = f'{scheme} realm="est"'
        self._status = status

    def expected(self, error: EtymonError) -> Response:
        """Answer with the error's sentence."""
        headers = {"Cache-Control": "no-store", "Error-Code": error.code}
        status = self._status.get(error.code) or status_of(error)
        if status == 401:
            headers["WWW-Authenticate"] = self._challenge
        if isinstance(error, Unavailable):
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if error.code in PENDING:
            return PlainTextResponse(f"{error.detail}\n", 202, headers)
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return PlainTextResponse(f"{error.detail or error.code}\n", status, headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return PlainTextResponse(f"Internal error. Reference: {reference}\n", 500, {"Cache-Control": "no-store"})


def answer(content_type: str, octets: bytes) -> Response:
    """Return a body of base64 in one line."""
    headers = {
        "Content-Type": content_type,
        "Content-Transfer-Encoding": "base64",  # not required since RFC 8951; a client in wide use looks for it
        "Cache-Control": "no-store",
    }
    return Response(est.encode_body(octets), 200, headers)


def certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return certificates as CMS without a signer."""
    # a SET OF in DER is sorted by its encodings (X.690 §11.6); strict readers look
    return cms.encode_certificates(sorted(to_der(certificate) for certificate in certificates))


def csr_attributes(kinds: Collection[KeyType], *, decrypt_key_identifier: bool = False) -> bytes:
    """Return what a request may be: the kinds of key, and the signatures, with their hashes, that go with them."""
    return est.encode_csr_attributes(
        sorted(kind.value for kind in kinds),
        signatures=sorted({default_signature_algorithm(kind).value for kind in kinds}),
        decrypt_key_identifier=decrypt_key_identifier,
    )


def require_request(headers: Mapping[str, str]) -> None:
    """Raise `wrong_media_type` unless the body is said to be a certification request."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != est.PKCS10:
        raise Malformed("wrong_media_type", f"Send a certification request as {est.PKCS10}.")
