# SPDX-License-Identifier: Apache-2.0
"""Keys of JSON Web Tokens. ES256 (RFC 7518 §3.4) is the only algorithm, whatever a token says of itself."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from etymon.kernel.errors import Malformed, NotAuthenticated
from etymon.kernel.secret import Secret

ALGORITHM: Final = "ES256"
CURVE: Final = "P-256"
LEEWAY: Final = timedelta(seconds=60)
"""How far the clock of another service may be from ours."""
LONGEST_TOKEN: Final = 16_384


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public P-256 key; `id` is its thumbprint (RFC 7638)."""

    id: str
    jwk: Mapping[str, str]

    @classmethod
    def of(cls, key: ECKey) -> "VerificationKey":
        """Return the public half of `key`."""
        id_ = key.thumbprint()
        public = {name: str(value) for name, value in key.as_dict(private=False).items()}
        return cls(id_, {**public, "kid": id_, "use": "sig", "alg": ALGORITHM})

    @classmethod
    def from_pem(cls, pem: bytes) -> "VerificationKey":
        """Read a public (or private) key in PEM."""
        return cls.of(_p256(pem))


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private P-256 key that signs tokens."""

    public: VerificationKey
    _key: ECKey = field(repr=False)

    @classmethod
    def from_pem(cls, pem: Secret[bytes]) -> "SigningKey":
        """Read an unencrypted private key in PEM."""
        key = _p256(pem.reveal())
        if not key.is_private:
            message = "the signing key is a private key"
            raise ValueError(message)
        return cls(VerificationKey.of(key), key)

    def sign(self, claims: Mapping[str, Any], *, type_: str) -> str:
        """Return `claims` as a signed token with `typ` in its header."""
        header = {"alg": ALGORITHM, "kid": self.public.id, "typ": type_}
        return jwt.encode(header, dict(claims), self._key, algorithms=[ALGORITHM])


def verify(token: str, keys: Iterable[Mapping[str, str]], *, types: frozenset[str]) -> Mapping[str, Any]:
    """Return the claims of a token that one of `keys` signed; what they say is the caller's to judge.

    Raises NotAuthenticated `token_not_valid`. `types` are the values of `typ` that are taken, in lower case.
    """
    if len(token) > LONGEST_TOKEN:
        raise _not_valid()
    for key in keys:
        try:
            decoded = jwt.decode(token, ECKey.import_key(dict(key)), algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if str(decoded.header.get("typ", "")).lower() in types:
            return decoded.claims
    raise _not_valid()


def unverified_claim(token: str, name: str) -> str:
    """Return what a token claims under `name`, to find the keys that can judge it; empty when it says nothing."""
    if len(token) > LONGEST_TOKEN:
        return ""
    try:
        value = json.loads(jws.extract_compact(token.encode("ascii")).payload)
    except (JoseError, ValueError):
        return ""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def require_time(claims: Mapping[str, Any], now: datetime, *, longest: timedelta | None = None) -> datetime:
    """Return when the token ends. Raises NotAuthenticated `token_not_valid` when that is over or `iat` is to come.

    With `longest`, the token says when it was issued and lives no longer than that.
    """
    issued, ends = _number(claims.get("iat")), _number(claims.get("exp"))
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    if ends is None or seconds >= ends + leeway or (issued is not None and issued > seconds + leeway):
        raise _not_valid()
    if longest is not None and (issued is None or ends - issued > longest.total_seconds()):
        raise _not_valid()
    return datetime.fromtimestamp(ends, tz=now.tzinfo)


def check_public_keys(keys: Iterable[Mapping[str, str]]) -> None:
    """Refuse JWKs that are not public P-256 keys; raises Malformed `key_not_usable`."""
    for key in keys:
        try:
            imported = ECKey.import_key(dict(key))
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            raise Malformed("key_not_usable", "A key is a public P-256 key as a JSON Web Key.") from exc
        if imported.is_private or imported.curve_name != CURVE:
            raise Malformed("key_not_usable", "A key is a public P-256 key as a JSON Web Key.")


def _p256(pem: bytes) -> ECKey:
    message = "a signing key is on P-256"
    try:
        key = ECKey.import_key(pem)
    except JoseError as exc:
        raise ValueError(message) from exc
    if key.curve_name != CURVE:
        raise ValueError(message)
    return key


def _number(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**36
    return float(value) if usable and isinstance(value, int | float) else None


def _not_valid() -> NotAuthenticated:
    return NotAuthenticated("token_not_valid", "The token is not valid here, or its time is over.")
