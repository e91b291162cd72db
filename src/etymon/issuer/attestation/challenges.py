# SPDX-License-Identifier: Apache-2.0
"""What a key is attested for that a derived credential asks with: a value of ours, new every quarter of an hour.

It is computed, not kept: which credential, which purpose and use, which quarter. A certificate is replaced once and a
key history fetched once, so one key at most is taken for it.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from etymon.issuer.attestation.model import KeyUse
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, Purpose

LIFETIME: Final = timedelta(minutes=15)
"""A challenge is good at least so long, and at most twice."""


def new(
    deps: Dependencies, asking: Credential, purpose: Purpose, use: KeyUse = KeyUse.CERTIFICATE
) -> tuple[bytes, datetime]:
    """Return a challenge for a new key beside or in place of the asking credential's, and until when it is good."""
    now = deps.clock.now()
    return _challenge(deps, asking, _name(purpose, use), _quarter(now)), now + LIFETIME


def taken(
    deps: Dependencies, asking: Credential, purpose: Purpose, use: KeyUse = KeyUse.CERTIFICATE
) -> tuple[bytes, ...]:
    """Return the challenges that are good now."""
    quarter = _quarter(deps.clock.now())
    return tuple(_challenge(deps, asking, _name(purpose, use), each) for each in (quarter, quarter - 1))


def _name(purpose: Purpose, use: KeyUse) -> str:
    return purpose.value if use is KeyUse.CERTIFICATE else use.value


def _quarter(now: datetime) -> int:
    return int(now.timestamp() // LIFETIME.total_seconds())


def _challenge(deps: Dependencies, asking: Credential, name: str, quarter: int) -> bytes:
    key = deps.digest_key.derive("issuer.attestation")
    message = b"\x00".join((asking.id.bytes, name.encode("ascii"), quarter.to_bytes(8, "big")))
    return hmac.digest(key.reveal(), message, hashlib.sha256)
