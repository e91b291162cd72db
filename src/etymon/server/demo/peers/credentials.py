# SPDX-License-Identifier: Apache-2.0
"""What a TLS end point shows: PEM files, or a key that stays in a PKCS#11 token."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret

ENGINES: Final = "/usr/lib/*/engines-3/pkcs11.so"
"""Where Debian's libengine-pkcs11-openssl puts the engine for OpenSSL 3."""


@dataclass(frozen=True, slots=True)
class PEMFiles:
    """A certificate (followed by its issuers, if the peer lacks them) and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key in a PKCS#11 token, with its certificate in a PEM file.

    `settings` join the environment of the program that loads `module` (SOFTHSM2_CONF, for one).
    """

    certificate: Path
    module: Path
    token: str
    key_id: bytes
    pin: Secret[str]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The key as a PKCS#11 URI (RFC 7512) without the PIN."""
        key_id = "".join(f"%{octet:02x}" for octet in self.key_id)
        return f"pkcs11:token={quote(self.token, safe='')};id={key_id};type=private"

    @contextmanager
    def uri_with_pin(self, directory: Path) -> Iterator[str]:
        """Lend the URI with the PIN in a file in `directory` (RFC 7512 §2.4, pin-source) while the block runs.

        A PIN in the URI itself would stand in the process list.
        """
        with tempfile.NamedTemporaryFile("w", dir=directory, prefix="pin") as file:
            file.write(self.pin.reveal())
            file.flush()
            yield f"{self.uri};pin-source=file:{file.name}"

    def engine_settings(self) -> dict[str, str]:
        """Return the environment in which OpenSSL's engine finds the token."""
        return {"PKCS11_MODULE_PATH": str(self.module), **self.settings}


Credential = PEMFiles | TokenKey


def pkcs11_engine() -> Path:
    """Return OpenSSL's PKCS#11 engine, or raise `Unavailable` saying what to install."""
    found = sorted(Path("/").glob(ENGINES.lstrip("/")))
    if not found:
        raise Unavailable("programs_missing", "install libengine-pkcs11-openssl")
    return found[0]
