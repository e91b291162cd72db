# SPDX-License-Identifier: Apache-2.0
"""A card in a file: AES-256-GCM under a key that scrypt makes from a passphrase (RFC 5116, RFC 7914).

Every change is a whole new file, forced to disk before it replaces the old one, so that a counter that was answered
is a counter that lasts. The file is locked while the card is open: two readers of one card would undo each other's
counters. The passphrase stands for what a real card has in its chip; it is not the PIN.
"""

import base64
import contextlib
import fcntl
import json
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from etymon.card import state_codec
from etymon.card.state import CardState
from etymon.kernel.entropy import Entropy, SystemEntropy
from etymon.kernel.errors import Conflict, DecodeError, Malformed, NotFound, NotPermitted
from etymon.kernel.secret import Secret

FORMAT: Final = "etymon-card"
FILE_LIMIT_BYTES: Final = 1_048_576

_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_COST: Final = 2**15
_BLOCK: Final = 8
_COST_LIMIT: Final = 2**18
_SYSTEM_ENTROPY: Final = SystemEntropy()


@dataclass(frozen=True, slots=True)
class _Header:
    """What the file says in the clear; it is authenticated with the rest."""

    salt: bytes
    cost: int = _COST
    block: int = _BLOCK
    parallel: int = 1

    def document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": state_codec.VERSION,
            "kdf": {
                "name": "scrypt",
                "salt": self.salt.hex(),
                "n": self.cost,
                "r": self.block,
                "p": self.parallel,
            },
        }

    def authenticated(self) -> bytes:
        return json.dumps(self.document(), sort_keys=True).encode()

    def key(self, passphrase: Secret[str]) -> Secret[bytes]:
        derivation = Scrypt(salt=self.salt, length=_KEY_BYTES, n=self.cost, r=self.block, p=self.parallel)
        return Secret(derivation.derive(passphrase.reveal().encode()))


@dataclass(frozen=True, slots=True)
class _Seal:
    """Makes the file's bytes from a state and back."""

    header: _Header
    key: Secret[bytes]
    entropy: Entropy

    def close(self, state: CardState) -> bytes:
        nonce = self.entropy.octets(_NONCE_BYTES)
        cipher = AESGCM(self.key.reveal())
        sealed = cipher.encrypt(nonce, state_codec.encode(state), self.header.authenticated())
        text = base64.b64encode(sealed).decode("ascii")
        document = {**self.header.document(), "nonce": nonce.hex(), "ciphertext": text}
        return json.dumps(document, indent=1).encode() + b"\n"

    def open(self, nonce: bytes, sealed: bytes) -> CardState:
        try:
            plain = AESGCM(self.key.reveal()).decrypt(nonce, sealed, self.header.authenticated())
        except InvalidTag as exc:
            detail = "The passphrase does not open the card file, or the file was changed."
            raise NotPermitted("card_passphrase", detail) from exc
        return state_codec.decode(plain)


class StoredCard:
    """An open card file: the state it holds, and `save`, which makes a state lasting. Close it to let others in."""

    def __init__(self, path: Path, lock: int, seal: _Seal, state: CardState) -> None:
        self._path = path
        self._seal = seal
        self._state = state
        self._close = weakref.finalize(self, os.close, lock)

    @property
    def state(self) -> CardState:
        """The state that was stored last."""
        return self._state

    def save(self, state: CardState) -> None:
        """Store the state; when this returns it is on disk. Fit for the applet's `persist`; may raise OSError."""
        if not self._close.alive:
            raise Conflict("card_closed", "The card file is closed; load it again.")
        _replace(self._path, self._seal.close(state))
        self._state = state

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def create(path: Path, passphrase: Secret[str], state: CardState, *, entropy: Entropy = _SYSTEM_ENTROPY) -> StoredCard:
    """Store a new card in a new file and return it open; an existing file is never touched."""
    if not passphrase.reveal():
        raise Malformed("card_passphrase", "A card file needs a passphrase.")
    lock = _lock(path)
    try:
        _require_absent(path)
        header = _Header(entropy.octets(_SALT_BYTES))
        card = StoredCard(path, lock, _Seal(header, header.key(passphrase), entropy), state)
    except BaseException:
        os.close(lock)
        raise
    card.save(state)
    return card


def load(path: Path, passphrase: Secret[str], *, entropy: Entropy = _SYSTEM_ENTROPY) -> StoredCard:
    """Open a card file; it stays locked until the card is closed."""
    if not path.is_file():
        raise NotFound("card_file", f"There is no card file {path}. `etymon card new` makes one.")
    lock = _lock(path)
    try:
        header, nonce, sealed = _read(path)
        seal = _Seal(header, header.key(passphrase), entropy)
        return StoredCard(path, lock, seal, seal.open(nonce, sealed))
    except BaseException:
        os.close(lock)
        raise


def _require_absent(path: Path) -> None:
    if path.exists():
        raise Conflict("card_exists", f"{path} is there already; choose another name.")


def _read(path: Path) -> tuple[_Header, bytes, bytes]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        if len(data) > FILE_LIMIT_BYTES:
            raise DecodeError("card_file", f"{path} is too large to be a card file.")
        document = json.loads(data)
        kdf = document["kdf"]
        header = _Header(bytes.fromhex(kdf["salt"]), int(kdf["n"]), int(kdf["r"]), int(kdf["p"]))
        nonce = bytes.fromhex(document["nonce"])
        sealed = base64.b64decode(document["ciphertext"], validate=True)
        known = (document["format"], document["version"]) == (FORMAT, state_codec.VERSION)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise DecodeError("card_file", f"{path} is not a card file.") from exc
    power_of_two = header.cost > 1 and header.cost & (header.cost - 1) == 0
    bounded = header.cost <= _COST_LIMIT and header.block == _BLOCK and header.parallel == 1
    if not known or not power_of_two or not bounded or len(nonce) != _NONCE_BYTES or not header.salt:
        raise DecodeError("card_file", f"{path} is not a card file of a version that can be read.")
    return header, nonce, sealed


def _lock(path: Path) -> int:
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise Conflict(
            "card_in_use", f"The card {path.name} is in use; take it out of the other reader first."
        ) from exc
    return lock


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
