# SPDX-License-Identifier: Apache-2.0
"""An opened data directory: settings, keys and database of one organisation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.audit.refusals import Refusals
from etymon.ca import authorities
from etymon.ca.dependencies import Dependencies as AuthorityDependencies
from etymon.ca.lints import PUBLIC_HOST_EXCEPTION
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed, NotFound, Unavailable
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.bad_keys import KeyLists
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.pki.token import Token
from etymon.pki.token_keys import TokenCipher, TokenKeys
from etymon.server import config_file, key_places, keyring
from etymon.server.key_places import Keys, PlacedKeys
from etymon.server.keyring import Keyring
from etymon.server.settings import Settings
from etymon.storage import migrations
from etymon.storage.database import Database

DATABASE_FILE: Final = "etymon.db"
PUBLIC_DIRECTORY: Final = "public"

HIERARCHIES: Final = ("derived", "device", "tls", "managed")
"""Hierarchies with a root of their own; a running site needs the keys of their issuing authorities."""

DIGESTS: Final = "digests"
SECRETS: Final = ("authorities", DIGESTS, "escrow")
"""Symmetric keys, 32 bytes each: what opens the authorities' key files, what bearer values are digested under, what
wraps escrowed keys."""

KEY_GENERATION: Final = "key-generation"
"""What delivers server-made keys; that of a further authority has the authority's name behind it."""

PRIVATE_KEYS: Final = ("audit-seal", "tokens", "endpoint-manager", KEY_GENERATION)
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
        read = config_file.load(directory)
        ring = keyring.unlock(directory / "keys", passphrase, entropy)
        return cls(directory, read, ring, open_database(directory, read), clock, entropy)

    @cached_property
    def key_files(self) -> keys.KeyDirectory:
        """Signing keys of authorities and responders that are in files of the data directory."""
        passphrase = Secret(self.keyring.get("authorities").reveal().hex().encode())
        return keys.KeyDirectory(self.directory / "keys" / "authorities", passphrase)

    @cached_property
    def token(self) -> Token | None:
        """The token that the settings name."""
        return key_places.token(self.settings, key_places.refused_pin(self.directory, "token", self.digest_key))

    @cached_property
    def authority_keys(self) -> PlacedKeys:
        """Signing keys of the certification authorities and their responders."""
        return self.placed_keys(None)

    def placed_keys(self, roots: Keys | None) -> PlacedKeys:
        """Return the signing keys, with the roots' where those were brought."""
        held = TokenKeys(self.token) if self.token is not None else None
        return PlacedKeys(self.key_files, held, self.settings.pkcs11_holds, roots)

    @cached_property
    def escrow_cipher(self) -> TokenCipher | None:
        """The token's key that wraps escrowed keys; None where escrow's key is in a file."""
        return key_places.escrow_cipher(self.settings, self.token)

    def issuing_authorities(self) -> tuple[str, ...]:
        """Return the names of the authorities below all roots that have not ended.

        One that was revoked goes on telling what became of its certificates while its key is here; it may be destroyed.
        """
        with self.database.snapshot() as tx:
            below = [found for name in HIERARCHIES for found in authorities.issuing(tx, name)]
        living = [found for found in below if found.certificate.not_valid_after_utc > self.clock.now()]
        return tuple(each.name for each in living if each.revoked_at is None or each.name in self.authority_keys)

    def newest_authority(self, hierarchy: str) -> str:
        """Return the name of the authority that issues: what a key ceremony made last."""
        with self.database.snapshot() as tx:
            return authorities.current(tx, hierarchy).name

    def require_keys(self) -> None:
        """Refuse to serve without the keys of the issuing authorities and of escrow."""
        key_places.require_present(self.authority_keys, self.issuing_authorities(), self.escrow_cipher)

    @cached_property
    def digest_key(self) -> DigestKey:
        """Under which bearer values are stored."""
        return DigestKey(self.keyring.get(DIGESTS))

    @cached_property
    def refusals(self) -> Refusals:
        """What all services of the process write refusals down with."""
        return Refusals(self.database, self.clock, self.entropy)

    @cached_property
    def ca(self) -> AuthorityDependencies:
        """What the certification authorities need."""
        return self.ca_with(self.authority_keys)

    def ca_with(self, signers: Mapping[str, Signer]) -> AuthorityDependencies:
        """Return what the certification authorities need, with the keys that are at hand."""
        return AuthorityDependencies(
            database=self.database,
            clock=self.clock,
            entropy=self.entropy,
            signers=signers,
            policy_oids=self.policy_oids,
            status_url=self.settings.status_url,
            lint_exceptions=frozenset({PUBLIC_HOST_EXCEPTION} if self.settings.loopback_demo else ()),
            public_directory=self.public_directory,
            ocsp_nonces=self.settings.ocsp_nonces,
            maximum_hold=timedelta(days=self.settings.maximum_hold_days),
            common_name_forms=self.settings.allowed_common_names,
            bad_keys=KeyLists.opened(
                tuple(map(Path, self.settings.weak_key_lists)), tuple(map(Path, self.settings.compromised_key_lists))
            ),
        )

    @property
    def public_directory(self) -> Path:
        """Where CRLs and CA certificates lie for web servers."""
        return Path(self.settings.public_directory or self.directory / PUBLIC_DIRECTORY)

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
    """Make every key of a deployment that it does not have yet."""
    for name in SECRETS:
        if not ring.has(name):
            ring.put(name, Secret(entropy.octets(32)))
    for name in PRIVATE_KEYS:
        if not ring.has(name):
            ring.put_private_key(name, keys.generate(KeyType.P256))


Progress = Callable[[str], None]
"""Told what is being done, for a person who waits."""
