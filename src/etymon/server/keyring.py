# SPDX-License-Identifier: Apache-2.0
"""The deployment's keys at rest: each in a file of its own, wrapped under a master key that a passphrase opens.

The passphrase comes from a file or a service credential. Wrapping is AES-256-GCM with the key's name as associated
data, so that files cannot be exchanged for one another; the master key is wrapped under scrypt of the passphrase
(RFC 7914, N=2^16, r=8, p=1: about 64 MB and a tenth of a second a guess).
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT
from etymon.pki.envelope import RegistrationKey, SoftwareRegistrationKey
from etymon.pki.keys import write_once

MASTER: Final = "master.json"
PASSPHRASE_CREDENTIAL: Final = "etymon-passphrase"  # noqa: S105 - the name of a credential, none itself
COST: Final = 2**16
SHORTEST_PASSPHRASE: Final = 12
REGISTRATION_KEY_BITS: Final = 3072


class Keyring:
    """An open keyring."""

    def __init__(self, directory: Path, master: Secret[bytes], entropy: Entropy) -> None:
        self._directory = directory
        self._cipher = AESGCM(master.reveal())
        self._entropy = entropy

    def put(self, name: str, value: Secret[bytes]) -> None:
        """Keep a new key; a name is never overwritten."""
        nonce = self._entropy.octets(12)
        write_once(self._directory / f"{name}.key", nonce + self._cipher.encrypt(nonce, value.reveal(), name.encode()))

    def replace(self, name: str, value: Secret[bytes]) -> None:
        """Keep another key instead of the one of this name; what was made under the old one is worth nothing then."""
        (self._directory / f"{name}.key").unlink(missing_ok=True)
        self.put(name, value)

    def get(self, name: str) -> Secret[bytes]:
        """Return a key's bytes."""
        try:
            wrapped = (self._directory / f"{name}.key").read_bytes()
        except FileNotFoundError as exc:
            raise NotFound("key_missing", f"The key file {name}.key is missing from the keys directory.") from exc
        try:
            return Secret(self._cipher.decrypt(wrapped[:12], wrapped[12:], name.encode()))
        except InvalidTag as exc:
            raise Malformed("key_damaged", f"The key file {name}.key is damaged or belongs elsewhere.") from exc

    def has(self, name: str) -> bool:
        """Whether a key of the name is kept."""
        return (self._directory / f"{name}.key").exists()

    def put_private_key(self, name: str, key: PrivateKeyTypes) -> None:
        """Keep a new private key as PKCS #8."""
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.put(name, Secret(der))

    def private_key(self, name: str) -> PrivateKeyTypes:
        """Return a private key."""
        return serialization.load_der_private_key(self.get(name).reveal(), password=None)


class KeptRegistrationKeys:
    """The keys of SCEP's registration authorities, kept in a keyring; each is opened once."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring
        self._opened: dict[str, SoftwareRegistrationKey] = {}

    def make(self, name: str) -> RegistrationKey:
        """Make a key and keep it before it is used."""
        self._ring.put_private_key(name, rsa.generate_private_key(RSA_PUBLIC_EXPONENT, REGISTRATION_KEY_BITS))
        return self._open(name)

    def find(self, name: str) -> RegistrationKey | None:
        """Return the key called `name`, or None."""
        try:
            return self._open(name)
        except NotFound:
            return None

    def _open(self, name: str) -> RegistrationKey:
        if name not in self._opened:
            key = self._ring.private_key(name)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise Malformed("key_damaged", f"The key {name} is not of the kind that belongs there.")
            self._opened[name] = SoftwareRegistrationKey(key)
        return self._opened[name]


def create(directory: Path, passphrase: Secret[str], entropy: Entropy) -> Keyring:
    """Make a keyring in a new directory that only its owner may enter."""
    parts = passphrase.reveal().split("\n")
    if len(set(parts)) < len(parts):
        raise Malformed("passphrase_parts_equal", "Two parts of the passphrase are the same. Each person chooses one.")
    if min(map(len, parts)) < SHORTEST_PASSPHRASE:
        message = f"Choose at least {SHORTEST_PASSPHRASE} characters for a passphrase, and for each of its parts."
        raise Malformed("passphrase_too_short", message)
    directory.mkdir(mode=0o700, exist_ok=True)  # begun before and interrupted; a master key is never replaced
    salt, nonce, master = entropy.octets(16), entropy.octets(12), Secret(entropy.octets(32))
    wrapped = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, master.reveal(), b"master")
    document = {"kdf": "scrypt", "n": COST, "r": 8, "p": 1, "salt": salt.hex(), "wrapped": (nonce + wrapped).hex()}
    write_once(directory / MASTER, json.dumps(document).encode())
    return Keyring(directory, master, entropy)


def unlock(directory: Path, passphrase: Secret[str], entropy: Entropy) -> Keyring:
    """Open the keyring in `directory`, or raise Malformed when the passphrase does not fit."""
    try:
        document = json.loads((directory / MASTER).read_text())
        wrapped, salt = bytes.fromhex(document["wrapped"]), bytes.fromhex(document["salt"])
    except (FileNotFoundError, KeyError, ValueError) as exc:
        raise Malformed("keyring_unreadable", f"{directory / MASTER} is missing or damaged.") from exc
    try:
        master = AESGCM(_stretch(passphrase, salt)).decrypt(wrapped[:12], wrapped[12:], b"master")
    except InvalidTag as exc:
        raise Malformed(
            "wrong_passphrase",
            "The passphrase does not open the keys of this data directory. Of several parts the order counts.",
        ) from exc
    return Keyring(directory, Secret(master), entropy)


def read_passphrase(files: Sequence[Path] | None) -> Secret[str]:
    """Return the passphrase of the keys: the first lines of `files`, else of service credentials (systemd's way).

    Several files are several people's parts of one passphrase, which nobody has alone; their order counts. Credentials
    are `etymon-passphrase`, or the parts `etymon-passphrase-1`, `-2` and so on.
    """
    sources = list(files or _credentials())
    if not sources:
        raise Malformed(
            "no_passphrase",
            f"Name the passphrase file with --passphrase-file, or pass the credential {PASSPHRASE_CREDENTIAL}.",
        )
    return Secret("\n".join(map(_part, sources)))


def _credentials() -> Iterator[Path]:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return
    whole = Path(directory) / PASSPHRASE_CREDENTIAL
    if whole.exists():
        yield whole
        return
    present = {file.name for file in whole.parent.glob(f"{PASSPHRASE_CREDENTIAL}-*")}
    names = [f"{PASSPHRASE_CREDENTIAL}-{number}" for number in range(1, len(present) + 1)]
    if present != set(names) or len(names) == 1:
        raise Malformed("no_passphrase", f"Pass every part of the passphrase: {PASSPHRASE_CREDENTIAL}-1, -2 and so on.")
    yield from map(whole.with_name, names)


def _part(source: Path) -> str:
    try:
        found = source.read_text("utf-8").strip().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise Malformed("no_passphrase", f"The passphrase file {source} cannot be read as text.") from exc
    if not found:
        raise Malformed("no_passphrase", f"The passphrase file {source} is empty; its first line counts.")
    return found


def _stretch(passphrase: Secret[str], salt: bytes) -> bytes:
    return Scrypt(salt, 32, COST, 8, 1).derive(passphrase.reveal().encode())
