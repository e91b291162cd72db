# SPDX-License-Identifier: Apache-2.0
"""An opened data directory: settings, keys and database of one organisation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.audit.refusals import Refusals
from etymon.ca.dependencies import Dependencies as AuthorityDependencies
from etymon.ca.lints import PUBLIC_HOST_EXCEPTION
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed, NotFound, Unavailable
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.bad_keys import KeyLists
from etymon.pki.signer import SoftwareSigner
from etymon.server import keyring, settings
from etymon.server.keyring import Keyring
from etymon.server.settings import Settings
from etymon.storage import migrations
from etymon.storage.database import Database

DATABASE_FILE: Final = "etymon.db"

SECRETS: Final = ("authorities", "digests", "escrow")
"""Symmetric keys, 32 bytes each: what opens the authorities' key files, what bearer values are digested under, what
wraps escrowed keys."""

PRIVATE_KEYS: Final = ("audit-seal", "tokens", "endpoint-manager", "key-generation")
"""P-256 keys: of the audit trail, the identity provider's tokens, the endpoint manager, and of server-made keys."""


@dataclass(frozen=True)
class Deployment:
    """Everything of one organisation on this machine, opened."""

    directory: Path
    settings: Settings
    keyring: Keyring
    database: Database
    clock: Clock
    entropy: Entropy

    @classmethod
    def open(cls, directory: Path, passphrase: Secret[str], clock: Clock, entropy: Entropy) -> "Deployment":
        """Open a data directory that `init` made."""
        read = settings.load(directory)
        ring = keyring.unlock(directory / "keys", passphrase, entropy)
        return cls(directory, read, ring, open_database(directory, read), clock, entropy)

    @cached_property
    def authority_keys(self) -> keys.KeyDirectory:
        """Signing keys of the certification authorities and their responders."""
        passphrase = Secret(self.keyring.get("authorities").reveal().hex().encode())
        return keys.KeyDirectory(self.directory / "keys" / "authorities", passphrase)

    @cached_property
    def digest_key(self) -> DigestKey:
        """Under which bearer values are stored."""
        return DigestKey(self.keyring.get("digests"))

    @cached_property
    def refusals(self) -> Refusals:
        """What all services of the process write refusals down with."""
        return Refusals(self.database, self.clock, self.entropy)

    @cached_property
    def ca(self) -> AuthorityDependencies:
        """What the certification authorities need."""
        return AuthorityDependencies(
            database=self.database,
            clock=self.clock,
            entropy=self.entropy,
            signers=self.authority_keys,
            policy_oids=self.policy_oids,
            status_url=self.settings.status_url,
            lint_exceptions=frozenset({PUBLIC_HOST_EXCEPTION} if self.settings.loopback_demo else ()),
            bad_keys=KeyLists.opened(
                tuple(map(Path, self.settings.weak_key_lists)), tuple(map(Path, self.settings.compromised_key_lists))
            ),
        )

    @property
    def policy_oids(self) -> Mapping[str, str]:
        """Policy names to the OIDs the organisation mints."""
        return self.settings.minted_policies

    def signer(self, name: str) -> SoftwareSigner:
        """Return the signer of one of `PRIVATE_KEYS`."""
        return SoftwareSigner(self.private_key(name))

    def private_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """Return one of `PRIVATE_KEYS`."""
        key = self.keyring.private_key(name)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Malformed("key_damaged", f"The key {name} is not of the kind that belongs there.")
        return key


def database_url(directory: Path, read: Settings) -> str:
    """Return the SQLAlchemy address of a deployment's database."""
    return read.database_url or f"sqlite:///{directory / DATABASE_FILE}"


def open_database(directory: Path, read: Settings) -> Database:
    """Return the database of a deployment; raises NotFound where its file is missing, which SQLite would make anew."""
    database = Database(database_url(directory, read))
    file = database.engine.url.database
    if database.dialect == "sqlite" and not Path(file or "").is_file():
        raise NotFound("database_missing", f"The database {file} does not exist. Restore it from a backup.")
    return database


def require_database(database: Database, read: Settings) -> None:
    """Raise, with what to do, unless the database answers and has the schema of this program."""
    named = database.engine.url
    try:
        migrations.require_current(database)
    except (Unavailable, sa.exc.DBAPIError) as exc:
        cause = exc.__cause__ if isinstance(exc, Unavailable) else exc
        reason = str(getattr(cause, "orig", cause)).strip().splitlines()[0]
        setting = "database_url: " if read.database_url else ""
        raise Unavailable(
            "database_unavailable", f"{setting}{named.render_as_string()} cannot be used: {reason}"
        ) from exc


def fill(ring: Keyring, entropy: Entropy) -> None:
    """Make every key of a new deployment."""
    for name in SECRETS:
        ring.put(name, Secret(entropy.octets(32)))
    for name in PRIVATE_KEYS:
        ring.put_private_key(name, keys.generate(KeyType.P256))


Progress = Callable[[str], None]
"""Told what is being done, for a person who waits."""
