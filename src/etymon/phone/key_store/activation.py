# SPDX-License-Identifier: Apache-2.0
"""The activation secret: what the person knows, without which the credential's keys are noise.

The keys' compartment has a random unlocking key. It is kept encrypted under a key derived from the secret by scrypt
(RFC 7914) and the device secret together, so that neither alone opens it. Each try is counted before it is made; the
tenth wrong one in a row destroys the unlocking key and with it every key it protects (SP 800-63B-4 §3.2.10).
"""

import unicodedata
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NoReturn

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, Malformed, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.record import decode, encode
from etymon.phone.sealed_file import KEY_BYTES, SealedFile, derive, open_sealed, seal

SHORTEST_SECRET: Final = 6
"""Characters (SP 800-63B-4 §3.2.10; the Federal PKI Common Policy asks for six)."""
LONGEST_SECRET: Final = 64
MOST_FAILURES: Final = 10
SALT_BYTES: Final = 16

_PURPOSE: Final = "activation"


class ActivationState(Enum):
    """Where the activation secret stands."""

    UNSET = "unset"
    """No secret was chosen yet; keys made now wait for one under the device secret alone."""
    SET = "set"
    DESTROYED = "destroyed"
    """Too many wrong tries: the keys are gone."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What may be shown of the activation secret."""

    state: ActivationState
    tries_left: int


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """How dear one try is (RFC 7914 §2); the default takes 32 MiB and about a tenth of a second."""

    n: int = 2**15
    r: int = 8
    p: int = 1


DEFAULT_COST: Final = ScryptCost()


class WrongActivationSecret(NotPermitted):
    """The secret is not the one that was chosen; `tries_left` more may be made."""

    default_code = "wrong_activation_secret"

    def __init__(self, tries_left: int) -> None:
        self.tries_left = tries_left
        tries = "1 try is" if tries_left == 1 else f"{tries_left} tries are"
        super().__init__(None, f"This is not your activation secret. {tries} left.", tries_left=tries_left)


class CredentialDestroyed(NotPermitted):
    """The keys were destroyed after too many wrong tries."""

    default_code = "credential_destroyed"

    def __init__(self) -> None:
        super().__init__(None, "After too many wrong tries the keys were destroyed. Set your credential up again.")


@dataclass(frozen=True, slots=True)
class _Record:
    state: ActivationState
    wrapped: bytes
    salt: bytes = b""
    cost: ScryptCost = DEFAULT_COST
    failures: int = 0


class ActivationLock:
    """Keeps the unlocking key of the activated compartment, and counts."""

    def __init__(self, file: SealedFile, device: Secret[bytes], entropy: Entropy, cost: ScryptCost) -> None:
        self._file = file
        self._device = device
        self._entropy = entropy
        self._cost = cost

    def activation(self) -> Activation:
        """Return the state and the tries that are left."""
        record = self._read()
        return Activation(record.state, MOST_FAILURES - record.failures)

    def open_unset(self) -> Secret[bytes]:
        """Return the unlocking key while no secret is chosen; `Conflict` once one is."""
        record = self._read()
        if record.state is not ActivationState.UNSET:
            raise Conflict("activation_secret_set", "An activation secret is chosen. Enter it.")
        unlocking = self._unwrap(record, derive(self._device, _PURPOSE))
        if unlocking is None:
            raise Unavailable("file_damaged", "The phone's activation file is damaged. Start with a new phone.")
        return unlocking

    def choose(self, secret: Secret[str]) -> None:
        """From here on the unlocking key opens with `secret` only."""
        unlocking = self.open_unset()
        self._wrap(unlocking, secret)

    def open(self, secret: Secret[str]) -> Secret[bytes]:
        """Return the unlocking key; raises `WrongActivationSecret`, and `CredentialDestroyed` at the last wrong try."""
        record = self._read()
        if record.state is ActivationState.UNSET:
            raise Conflict("activation_secret_unset", "No activation secret is chosen yet.")
        if record.state is ActivationState.DESTROYED:
            raise CredentialDestroyed
        tried = replace(record, failures=record.failures + 1)
        self._write(tried)  # before the try: stopping the phone in the middle gives no free one
        unlocking = self._unwrap(record, self._stretch(secret, record.salt, record.cost))
        if unlocking is None:
            self._fail(tried)
        self._write(replace(record, failures=0))
        return unlocking

    def change(self, current: Secret[str], new: Secret[str]) -> None:
        """Replace the secret; a wrong current one counts as a try."""
        check(new)
        self._wrap(self.open(current), new)

    def reset(self) -> None:
        """Forget secret and unlocking key; a new, unset one takes their place. What it protected is gone."""
        self._file.remove()

    def _fail(self, tried: _Record) -> NoReturn:
        if tried.failures >= MOST_FAILURES:
            self._write(_Record(ActivationState.DESTROYED, b"", failures=MOST_FAILURES))
            raise CredentialDestroyed
        raise WrongActivationSecret(MOST_FAILURES - tried.failures)

    def _wrap(self, unlocking: Secret[bytes], secret: Secret[str]) -> None:
        check(secret)
        salt = self._entropy.octets(SALT_BYTES)
        wrapped = seal(self._stretch(secret, salt, self._cost), _PURPOSE, unlocking.reveal(), self._entropy)
        self._write(_Record(ActivationState.SET, wrapped, salt, self._cost))

    def _unwrap(self, record: _Record, key: Secret[bytes]) -> Secret[bytes] | None:
        plain = open_sealed(key, _PURPOSE, record.wrapped)
        return Secret(plain) if plain else None

    def _stretch(self, secret: Secret[str], salt: bytes, cost: ScryptCost) -> Secret[bytes]:
        text = unicodedata.normalize("NFKC", secret.reveal()).encode()
        stretched = Scrypt(salt, KEY_BYTES, cost.n, cost.r, cost.p).derive(text)
        return derive(Secret(stretched), _PURPOSE, salt=self._device.reveal())

    def _read(self) -> _Record:
        content = self._file.read()
        if content is None:
            unlocking = self._entropy.octets(KEY_BYTES)
            wrapped = seal(derive(self._device, _PURPOSE), _PURPOSE, unlocking, self._entropy)
            record = _Record(ActivationState.UNSET, wrapped)
            self._write(record)
            return record
        record = decode(_Record, content)
        if record.state is ActivationState.SET and record.failures >= MOST_FAILURES:  # stopped during the last try
            record = _Record(ActivationState.DESTROYED, b"", failures=MOST_FAILURES)
            self._write(record)
        return record

    def _write(self, record: _Record) -> None:
        self._file.write(encode(record))


def check(secret: Secret[str]) -> None:
    """Refuse a secret that is too short or too long (`Malformed`)."""
    if not SHORTEST_SECRET <= len(unicodedata.normalize("NFKC", secret.reveal())) <= LONGEST_SECRET:
        raise Malformed(
            "activation_secret_length",
            f"Choose an activation secret of {SHORTEST_SECRET} to {LONGEST_SECRET} characters.",
        )
