# SPDX-License-Identifier: Apache-2.0
"""Where each of a deployment's keys is: in the data directory's files, in a PKCS#11 token, or, a root's, elsewhere.

New keys are made where the settings say. Keys that were made before the token was configured stay in their files and
are used there until a key ceremony has made their successors.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from etymon.kernel.errors import Conflict, EtymonError, Malformed, Unavailable
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.cryptoki import TokenChoice
from etymon.pki.keys import KeyDirectory
from etymon.pki.signer import Signer
from etymon.pki.token import RefusedPIN, Token
from etymon.pki.token_keys import TokenCipher, TokenKeys
from etymon.server.settings import Settings

log = structlog.get_logger("etymon.server")

PIN_CREDENTIAL: Final = "etymon-token-pin"
ESCROW_KEY: Final = "escrow"
ROOT: Final = "-root"
"""How the names of roots' keys end."""


class Keys(Protocol):
    """Keys that are found and made by name: `KeyDirectory` or `TokenKeys`."""

    def generate(self, name: str, kind: KeyType) -> Signer:
        """Make a key."""
        ...

    def find(self, name: str) -> Signer | None:
        """Return a key's signer, or None."""
        ...


@dataclass(frozen=True, slots=True)
class RootToken:
    """A token of its own for root keys, which is connected for ceremonies only."""

    module: Path
    choice: TokenChoice
    pin_file: Path

    def open(self, deployment_keys: Path, key: DigestKey) -> TokenKeys:
        """Return the token's keys; a refused PIN is remembered beside a deployment's keys."""
        refused = refused_pin(deployment_keys, "root-token", key)
        return TokenKeys(Token(self.module, self.choice, lambda: read_pin(self.pin_file), refused))


class PlacedKeys(Mapping[str, Signer]):
    """Signing keys of authorities and responders by name, wherever they are."""

    def __init__(
        self, files: KeyDirectory, token: TokenKeys | None, held: Collection[str], roots: Keys | None = None
    ) -> None:
        self._files, self._token, self._held, self._roots = files, token, frozenset(held), roots

    def generate(self, name: str, kind: KeyType) -> Signer:
        """Make a key where keys of its hierarchy belong; `Conflict` `key_exists` if the name is taken."""
        return self._place(name).generate(name, kind)

    def find(self, name: str) -> Signer | None:
        """Return the signer of a key from its place, or from the files it was in before; None if it is not here.

        `Unavailable` while the place is not there: what the token may have is not looked for elsewhere.
        """
        found = self._place(name).find(name)
        return self._files.find(name) if found is None else found

    def place_of(self, name: str) -> str:
        """Return where keys of this name are made, in a word for records."""
        place = self._place(name)
        return "token" if isinstance(place, TokenKeys) else "file"

    def __getitem__(self, name: str) -> Signer:
        signer = self.find(name)
        if signer is None:
            raise KeyError(name)
        return signer

    def __iter__(self) -> Iterator[str]:
        in_token = () if self._token is None else self._token
        return iter(sorted({*self._files, *in_token}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _place(self, name: str) -> Keys:
        if name.endswith(ROOT):
            return self._files if self._roots is None else self._roots
        if self._token is not None and name.removeprefix("ocsp-").split("-")[0] in self._held:
            return self._token
        return self._files


def token_choice(read: Settings) -> TokenChoice | None:
    """Return which token the settings name; None where keys are in files."""
    if not read.pkcs11_module:
        return None
    return TokenChoice(read.pkcs11_token_label, read.pkcs11_token_serial, read.pkcs11_slot)


def token(read: Settings, refused: RefusedPIN) -> Token | None:
    """Return the token that the settings name; None where keys are in files."""
    choice = token_choice(read)
    if choice is None:
        return None
    file = Path(read.pkcs11_pin_file) if read.pkcs11_pin_file else None
    return Token(Path(read.pkcs11_module), choice, lambda: read_pin(file), refused)


def is_away(opened: Token | None) -> bool:
    """Say whether a deployment's token does not answer, and the log why; a deployment without one misses none."""
    try:
        if opened is not None:
            opened.require_reachable()
    except EtymonError as error:
        log.warning("token_unavailable", error_code=error.code)
        return True
    return False


def refused_pin(directory: Path, name: str, key: DigestKey) -> RefusedPIN:
    """Return what remembers a token's refused PIN in a data directory."""
    return RefusedPIN(directory / "keys" / f"{name}.refused-pin", key)


def escrow_cipher(read: Settings, opened: Token | None) -> TokenCipher | None:
    """Return the key in the token that wraps escrowed keys; None where it is in a file."""
    return TokenCipher(opened, ESCROW_KEY) if opened is not None and ESCROW_KEY in read.pkcs11_holds else None


def read_pin(file: Path | None) -> Secret[str]:
    """Read the first line of `file`, else of the service credential `etymon-token-pin` (systemd's way)."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    source = file or (Path(credentials) / PIN_CREDENTIAL if credentials else None)
    if source is None:
        raise Malformed("no_token_pin", f"Name the token's PIN file (pkcs11_pin_file), or pass {PIN_CREDENTIAL}.")
    try:
        lines = source.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise Malformed("no_token_pin", f"The PIN file {source} cannot be read as text.") from exc
    if not lines or not lines[0]:
        raise Malformed("no_token_pin", f"The PIN file {source} is empty; its first line is the PIN.")
    return Secret(lines[0])


def require_absent(keys: PlacedKeys, names: Collection[str], cipher: TokenCipher | None) -> None:
    """Refuse to begin where a token has keys of these names: `Conflict` `token_in_use`; they are somebody's."""
    taken = [name for name in names if name in keys]
    if cipher is not None and cipher.exists():
        taken.append(ESCROW_KEY)
    if taken:
        raise Conflict(
            "token_in_use", f"There are keys called {', '.join(taken)} in the token. Take an empty token for this."
        )


def require_present(keys: Mapping[str, Signer], names: Collection[str], cipher: TokenCipher | None) -> None:
    """Refuse to go on without keys that are needed all the time: `Unavailable`, with what is missing."""
    missing = [name for name in names if name not in keys]
    if cipher is not None and not cipher.exists():
        missing.append(ESCROW_KEY)
    if missing:
        raise Unavailable(
            "keys_missing", f"The keys {', '.join(missing)} are not here. Is it the right token? Else hold a ceremony."
        )
