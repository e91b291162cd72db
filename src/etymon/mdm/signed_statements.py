# SPDX-License-Identifier: Apache-2.0
"""What the endpoint manager signs with its own key: JSON Web Tokens, ES256 (RFC 7518 §3.4)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id

ALGORITHM: Final = "ES256"


def sign(key: ECKey, clock: Clock, entropy: Entropy, claims: Mapping[str, Any], *, lifetime: timedelta) -> str:
    """Return `claims` with `iat`, `exp` and a fresh `jti`, signed."""
    now = int(clock.now().timestamp())
    whole = {**claims, "iat": now, "exp": now + int(lifetime.total_seconds()), "jti": str(random_id(entropy))}
    return jwt.encode({"alg": ALGORITHM, "kid": key.thumbprint()}, whole, key, algorithms=[ALGORITHM])


def published_keys(key: ECKey) -> dict[str, list[dict[str, str]]]:
    """Return the JWK set that shows the public half of `key` (RFC 7517 §5)."""
    public = {name: str(value) for name, value in key.as_dict(private=False).items()}
    return {"keys": [{**public, "kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM}]}
