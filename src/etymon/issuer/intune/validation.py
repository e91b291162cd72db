# SPDX-License-Identifier: Apache-2.0
"""Asking Intune about a request, and telling it what became of it (ScepActions, api-version 2018-02-20)."""

import base64
from collections.abc import Mapping
from datetime import UTC
from typing import Final

from cryptography.hazmat.primitives import hashes

from etymon.ca.model import IssuedCertificate
from etymon.issuer.intune.connection import PROVIDER, Connection, member
from etymon.issuer.intune.outbound import unavailable
from etymon.kernel.errors import EtymonError, Expired, Malformed, NotPermitted

SERVICE: Final = "ScepRequestValidationFEService"
VERSION: Final = "2018-02-20"
SUCCESS: Final = "success"
OUT_OF_TIME: Final = frozenset({"challengeexpired", "challengeinvalidtimestamp"})
ALTERED: Final = "signaturevalidationfailed"
FAILED: Final = -2147467259
"""E_FAIL, as the signed 32 bits it is."""
LONGEST_DESCRIPTION: Final = 255
LONGEST_CODE: Final = 60


class IntuneValidation:
    """Intune as the one who confirms requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def validate(self, transaction_id: str, request: bytes) -> None:
        """Return if Intune lets the request through."""
        self._act("validateRequest", {"request": self._named(transaction_id, request)})

    def tell_success(self, transaction_id: str, request: bytes, issued: IssuedCertificate) -> None:
        """Return once Intune has taken the certificate."""
        certificate, issuer = issued.certificate, issued.chain[0]
        ends = certificate.not_valid_after_utc.astimezone(UTC)
        told = {
            **self._named(transaction_id, request),
            "certificateThumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - a name, no proof
            "certificateSerialNumber": f"{certificate.serial_number:x}",
            "certificateExpirationDateUtc": f"{ends:%Y-%m-%dT%H:%M:%S}.000Z",
            "issuingCertificateAuthority": issuer.subject.rfc4514_string(),
            "caConfiguration": "",
            "certificateAuthority": issuer.subject.rfc4514_string(),
        }
        self._act("successNotification", {"notification": told})

    def tell_failure(self, transaction_id: str, request: bytes, detail: str) -> None:
        """Say that a request that was let through was not granted."""
        told = {
            **self._named(transaction_id, request),
            "hResult": FAILED,
            "errorDescription": detail[:LONGEST_DESCRIPTION],
        }
        self._act("failureNotification", {"notification": told})

    def _named(self, transaction_id: str, request: bytes) -> dict[str, object]:
        encoded = base64.b64encode(request).decode("ascii")
        return {"transactionId": transaction_id, "certificateRequest": encoded, "callerInfo": PROVIDER}

    def _act(self, action: str, body: Mapping[str, object]) -> None:
        answer = self._connection.call(SERVICE, f"ScepActions/{action}", body, version=VERSION)
        code = member(answer, "code")
        if not isinstance(code, str):
            raise unavailable("intune_not_understood")
        if code.casefold() != SUCCESS:
            raise _refusal(code)


def _refusal(code: str) -> EtymonError:
    told = code[:LONGEST_CODE] if code.isascii() and code.isalnum() else "a code that is not known"
    if code.casefold() in OUT_OF_TIME:
        return Expired("challenge_expired", f"The challenge's time is over ({told}).")
    if code.casefold() == ALTERED:
        return Malformed("proof_of_possession_failed", "The request's signature does not verify at Intune.")
    return NotPermitted("not_confirmed", f"Intune does not confirm the request ({told}).", intune=told)
