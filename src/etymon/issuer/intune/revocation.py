# SPDX-License-Identifier: Apache-2.0
"""Pulling what Intune wants revoked, and telling it what became of that (PkiConnectorFEService, 5019-05-05)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.intune.connection import Connection, member
from etymon.issuer.intune.outbound import unavailable
from etymon.issuer.model import EndReason
from etymon.issuer.scep import completion, connectors, store
from etymon.issuer.scep.model import ChallengeSource, Enrollment
from etymon.storage.database import Transaction

SERVICE: Final = "PkiConnectorFEService"
VERSION: Final = "5019-05-05"
MOST_REQUESTS: Final = 100
MOST_ROUNDS: Final = 20
"""Of one pull: what is left comes with the next."""
SERIAL_NUMBER: Final = re.compile(r"[0-9a-f]{1,40}")


def pull(deps: Dependencies, connection: Connection) -> int:
    """Revoke what Intune asks for among the certificates it confirmed, answer each request, and return how many.

    A certificate that has ended already counts as revoked; one that is not of an Intune connector is not found.
    """
    with deps.database.snapshot() as tx:
        if not any(each.source is ChallengeSource.INTUNE for each in connectors.in_force(tx)):
            return 0
    done = 0
    for _ in range(MOST_ROUNDS):
        asked = _download(connection)
        if asked:
            _upload(connection, [_revoked(deps, request) for request in asked])
        done += len(asked)
        if len(asked) < MOST_REQUESTS:
            break
    return done


def _download(connection: Connection) -> list[Mapping[str, Any]]:
    body = {"downloadParameters": {"maxRequests": MOST_REQUESTS}}
    path = "CertificateAuthorityRequests/downloadRevocationRequests"
    listed = member(connection.call(SERVICE, path, body, version=VERSION), "value")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise unavailable("intune_not_understood")
    return listed


def _revoked(deps: Dependencies, request: Mapping[str, Any]) -> Mapping[str, object]:
    context, serial = member(request, "requestContext"), str(member(request, "serialNumber") or "").lower()
    with deps.database.transaction() as tx:
        found = _confirmed(tx, serial.lstrip("0")) if SERIAL_NUMBER.fullmatch(serial) else []
        for enrollment in found:
            reason = EndReason.PRIVILEGE_WITHDRAWN
            completion.end_one(tx, deps, enrollment.id, reason, actor="intune", source="")
    if not found:
        return {
            "requestContext": context,
            "succeeded": False,
            "errorCode": "CertificateNotFoundError",
            "errorMessage": "There is no such certificate of Intune's here.",
        }
    return {"requestContext": context, "succeeded": True, "errorCode": "None", "errorMessage": None}


def _confirmed(tx: Transaction, serial_number: str) -> list[Enrollment]:
    """Return the enrollments that Intune confirmed: those have no holder of ours."""
    return [each for each in store.enrollments_by_serial(tx, serial_number) if each.holder is None]


def _upload(connection: Connection, results: list[Mapping[str, object]]) -> None:
    path = "CertificateAuthorityRequests/uploadRevocationResults"
    answer = connection.call(SERVICE, path, {"results": results}, version=VERSION)
    if member(answer, "value") is not True:
        raise unavailable("intune_not_understood")
