# SPDX-License-Identifier: Apache-2.0
"""What a new key is attested for at a rekey: a value of ours that nobody could know before this quarter of an hour.

It is computed, not kept: which credential, which purpose, which quarter. A certificate is replaced once, so one key at
most is certified for it.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, Purpose

LIFETIME: Final = timedelta(minutes=15)
"""A challenge is good at least so long, and at most twice."""


def new(deps: Dependencies, asking: Credential, purpose: Purpose) -> tuple[bytes, datetime]:
    """Return a challenge for a new key beside or in place of the asking credential's, and until when it is good."""
    now = deps.clock.now()
    return _challenge(deps, asking, purpose, _quarter(now)), now + LIFETIME


def taken(deps: Dependencies, asking: Credential, purpose: Purpose) -> tuple[bytes, ...]:
    """Return the challenges that are good now."""
    quarter = _quarter(deps.clock.now())
    return tuple(_challenge(deps, asking, purpose, each) for each in (quarter, quarter - 1))


def _quarter(now: datetime) -> int:
    return int(now.timestamp() // LIFETIME.total_seconds())


def _challenge(deps: Dependencies, asking: Credential, purpose: Purpose, quarter: int) -> bytes:
    key = deps.digest_key.derive("issuer.attestation")
    message = b"\x00".join((asking.id.bytes, purpose.value.encode("ascii"), quarter.to_bytes(8, "big")))
    return hmac.digest(key.reveal(), message, hashlib.sha256)
