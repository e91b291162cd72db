# SPDX-License-Identifier: Apache-2.0
"""A request as jobs keep it, for a service that has to be shown all of it, challenge included, when it is told.

It is ciphertext under the deployment's key, and goes with its job: as soon as the service was told, or the enrollment
is over. After a restore the key is another one; then there is nobody to be told any more.
"""

import base64
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog

from etymon.issuer.dependencies import Dependencies
from etymon.kernel.entropy import random_id
from etymon.kernel.secret import Secret
from etymon.storage import wrapping
from etymon.storage.jobs import JSONValue

log = structlog.get_logger("etymon.issuer")

PURPOSE: Final = "issuer.scep_request"


def sealed(deps: Dependencies, request: bytes) -> dict[str, JSONValue]:
    """Return the members of a job's payload that keep a PKCS #10 request."""
    row, text = random_id(deps.entropy), Secret(base64.b64encode(request).decode("ascii"))
    wrapped = wrapping.wrap(deps.digest_key, deps.entropy, PURPOSE, row, text)
    return {"sealed": base64.b64encode(wrapped).decode("ascii"), "sealed_for": str(row)}


def opened(deps: Dependencies, payload: Mapping[str, JSONValue]) -> bytes | None:
    """Return the request that a job keeps; None where it keeps none, or none that this deployment's key opens."""
    if "request" in payload:  # a replica of an earlier version wrote it in clear
        return base64.b64decode(str(payload["request"]))
    if "sealed" not in payload:
        return None
    wrapped, row = base64.b64decode(str(payload["sealed"])), UUID(str(payload["sealed_for"]))
    found = wrapping.unwrap(deps.digest_key, PURPOSE, row, wrapped)
    if found is None:
        log.warning("scep_request_not_readable")
        return None
    return base64.b64decode(found.reveal())
