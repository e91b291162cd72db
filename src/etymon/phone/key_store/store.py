# SPDX-License-Identifier: Apache-2.0
"""The phone's key store: keys by alias, their certificates, and the use sessions the activation secret opens.

Where the keys themselves are is the vault's matter (`contract.KeyVault`): encrypted in files, or in a PKCS#11 token.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from cryptography import x509

from etymon.card.external_key import SignatureScheme
from etymon.kernel.errors import Conflict, Malformed, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.phone.key_store.activation import Activation, ActivationLock, ActivationState, CredentialDestroyed
from etymon.phone.key_store.attestation import Attester
from etymon.phone.key_store.contract import (
    EncryptionPadding,
    KeyEntry,
    KeyHandle,
    KeyRecord,
    KeyVault,
    Protection,
    TokenReference,
    WrappedKey,
    load_public_key,
)
from etymon.phone.record import decode, encode
from etymon.phone.sealed_file import SealedFile, derive
from etymon.pki import certificate as certificates
from etymon.pki.algorithms import KeyType, PublicKey

_DEVICE_COMPARTMENT: Final = "device compartment"


class KeyStore:
    """Makes, keeps and uses keys. One at a time uses it; closing it ends the use session."""

    def __init__(
        self,
        vault: KeyVault,
        records: SealedFile,
        lock: ActivationLock,
        device: Secret[bytes],
        attester: Attester | None = None,
    ) -> None:
        self._vault = vault
        self._attester = attester
        self._file = records
        self._lock = lock
        self._device = derive(device, _DEVICE_COMPARTMENT)
        self._guard = threading.RLock()
        self._session: UseSession | None = None
        self._records = _read(records)
        self._device_open = False
        if self._activated() and lock.activation().state is ActivationState.DESTROYED:
            self._drop_activated()

    @property
    def attests(self) -> bool:
        """Whether the phone can say where its keys are."""
        return self._attester is not None

    def generate(
        self,
        alias: str,
        kind: KeyType,
        *,
        requires_activation: bool,
        challenge: bytes | None = None,
        decrypts: bool = False,
    ) -> KeyHandle:
        """Make a key, for a challenge attested where the phone can; its entry then has the attestation.

        `Conflict` `key_exists` for an alias in use; an activated key needs a use session.
        """
        with self._guard:
            protection = self._making(alias, requires_activation=requires_activation)
            reference, public_key = self._vault.generate(protection, alias, kind)
            attestation: tuple[bytes, ...] = ()
            if challenge is not None and self._attester is not None:
                attestation = self._attester.attest(public_key, challenge, decrypts=decrypts)
            spki = certificates.spki(public_key)
            return self._add(KeyRecord(alias, protection, spki, reference, attestation=attestation))

    def import_wrapped(
        self, alias: str, package: WrappedKey, *, transport: str, requires_activation: bool
    ) -> KeyHandle:
        """Keep the RSA key that a server made and enveloped to the key called `transport` (RFC 7030 §4.4.2).

        The package is opened inside the vault. `Malformed` for what it cannot open; refusals as for `generate`.
        """
        with self._guard:
            opener = self._usable(transport)
            protection = self._making(alias, requires_activation=requires_activation)
            reference, public_key = self._vault.import_wrapped(protection, alias, package, opener)
            return self._add(KeyRecord(alias, protection, certificates.spki(public_key), reference))

    def handle(self, alias: str) -> KeyHandle:
        """Return a key to be used; `NotFound` `key_not_found`. An activated key works in a use session only."""
        return StoredKey(self, alias, load_public_key(self._record(alias).public_key))

    def entries(self) -> tuple[KeyEntry, ...]:
        """Return what may be told about every key."""
        return tuple(_entry(record) for record in self._records.values())

    def entry(self, alias: str) -> KeyEntry | None:
        """Return what may be told about one key, or None where there is none."""
        record = self._records.get(alias)
        return _entry(record) if record else None

    def set_certificate(self, alias: str, certificate: x509.Certificate, chain: Sequence[x509.Certificate]) -> None:
        """Keep a key's certificate and its issuers; `Malformed` `wrong_key` if it certifies another key."""
        with self._guard:
            record = self._usable(alias)
            if certificates.spki(certificate) != record.public_key:
                raise Malformed("wrong_key", "The certificate is not for this key.")
            certified = replace(
                record,
                certificate=certificates.to_der(certificate),
                chain=tuple(certificates.to_der(issuer) for issuer in chain),
            )
            self._vault.certify(certified)
            self._save({**self._records, alias: certified})

    def delete(self, alias: str) -> None:
        """Destroy a key; doing it twice does no harm. With the last activated key their compartment goes."""
        with self._guard:
            record = self._records.get(alias)
            if record is None:
                return
            self._save({name: other for name, other in self._records.items() if name != alias})
            self._vault.delete(record)
            if record.protection is Protection.ACTIVATION and self._session is None and not self._activated():
                self._vault.destroy(Protection.ACTIVATION)

    def activation(self) -> Activation:
        """Return where the activation secret stands."""
        with self._guard:
            return self._lock.activation()

    def choose_activation_secret(self, secret: Secret[str]) -> None:
        """Put the activated keys under a secret for the first time; a use session under way goes on."""
        with self._guard:
            self._lock.choose(secret)

    def change_activation_secret(self, current: Secret[str], new: Secret[str]) -> None:
        """Replace the secret; a wrong current one counts as a try."""
        with self._guard, self._destroying():
            self._lock.change(current, new)

    def activate(self, secret: Secret[str] | None) -> "UseSession":
        """Open a use session; None is right only while no secret is chosen.

        `Conflict` `session_open` if one is open; `WrongActivationSecret`, `CredentialDestroyed`.
        """
        with self._guard, self._destroying():
            if self._session is not None:
                raise Conflict("session_open", "The credential is in use already.")
            unlocking = self._lock.open_unset() if secret is None else self._lock.open(secret)
            self._vault.unlock(Protection.ACTIVATION, unlocking)
            self._session = UseSession(self)
            self._vault.sweep(Protection.ACTIVATION, self._references(Protection.ACTIVATION))
            return self._session

    def reset_activation(self) -> None:
        """Destroy every activated key and forget the secret: the way on when it is forgotten or tried too often."""
        with self._guard:
            self.end(self._session)
            self._drop_activated()
            self._lock.reset()

    def erase(self) -> None:
        """Destroy everything in the store."""
        with self._guard:
            self.reset_activation()
            self._save({})
            self._device_open = False
            self._vault.destroy(Protection.DEVICE)

    def token_reference(self, alias: str) -> TokenReference | None:
        """Return how another program reaches a key while it may be used; None where the vault lets none in."""
        with self._guard:
            return self._vault.token_reference(self._usable(alias))

    def close(self) -> None:
        """End the use session and let go of what the vault runs."""
        with self._guard:
            self.end(self._session)
            self._vault.close()

    def sign_digest(self, alias: str, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return a signature by a key (`ExternalKey.sign_digest`)."""
        with self._guard:
            return self._vault.sign_digest(self._usable(alias), digest, scheme)

    def decrypt(self, alias: str, ciphertext: bytes, padding: EncryptionPadding) -> bytes:
        """Return what was encrypted to a key (`KeyHandle.decrypt`)."""
        with self._guard:
            return self._vault.decrypt(self._usable(alias), ciphertext, padding)

    def end(self, session: "UseSession | None") -> None:
        """Close a use session; one that is over already stays so."""
        with self._guard:
            if session is not None and session is self._session:
                self._session = None
                self._vault.lock(Protection.ACTIVATION)

    def _making(self, alias: str, *, requires_activation: bool) -> Protection:
        if alias in self._records:
            raise Conflict("key_exists", f"There is a key called {alias} already.")
        protection = Protection.ACTIVATION if requires_activation else Protection.DEVICE
        KeyRecord(alias, protection, b"", b"")  # refuses a malformed alias before anything is made
        self._open(protection)
        return protection

    def _usable(self, alias: str) -> KeyRecord:
        record = self._record(alias)
        self._open(record.protection)
        return record

    def _open(self, protection: Protection) -> None:
        if protection is Protection.ACTIVATION:
            if self._session is None:
                raise NotPermitted("activation_required", "Enter your activation secret first.")
        elif not self._device_open:
            self._vault.unlock(Protection.DEVICE, self._device)
            self._device_open = True
            self._vault.sweep(Protection.DEVICE, self._references(Protection.DEVICE))

    def _record(self, alias: str) -> KeyRecord:
        try:
            return self._records[alias]
        except KeyError as exc:
            raise NotFound("key_not_found", f"There is no key called {alias}.") from exc

    def _add(self, record: KeyRecord) -> KeyHandle:
        self._save({**self._records, record.alias: record})
        return self.handle(record.alias)

    def _save(self, records: dict[str, KeyRecord]) -> None:
        self._file.write(encode(_Records(tuple(records.values()))))
        self._records = records

    def _activated(self) -> list[KeyRecord]:
        return [record for record in self._records.values() if record.protection is Protection.ACTIVATION]

    def _references(self, protection: Protection) -> frozenset[bytes]:
        return frozenset(record.reference for record in self._records.values() if record.protection is protection)

    def _drop_activated(self) -> None:
        self._vault.destroy(Protection.ACTIVATION)  # before the records: what is left of them brings us here again
        kept = {alias: record for alias, record in self._records.items() if record.protection is Protection.DEVICE}
        self._save(kept)

    @contextlib.contextmanager
    def _destroying(self) -> Iterator[None]:
        try:
            yield
        except CredentialDestroyed:
            self.end(self._session)
            self._drop_activated()
            raise


class UseSession:
    """The time in which activated keys work. Leaving it, or `close`, ends it; the next needs the secret again."""

    __slots__ = ("_store",)

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    def close(self) -> None:
        """End the session; twice does no harm."""
        self._store.end(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key of a store, as it is handed to whoever signs or decrypts (`KeyHandle`)."""

    _store: KeyStore
    alias: str
    public_key: PublicKey

    def sign_digest(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return the signature over a digest made with the scheme's hash."""
        if len(digest) != scheme.hash.digest_size:
            raise Malformed("digest_length", "The digest is not of the scheme's hash.")
        return self._store.sign_digest(self.alias, digest, scheme)

    def decrypt(self, ciphertext: bytes, padding: EncryptionPadding) -> bytes:
        """Return what was encrypted to this RSA key."""
        return self._store.decrypt(self.alias, ciphertext, padding)


def _entry(record: KeyRecord) -> KeyEntry:
    return KeyEntry(
        alias=record.alias,
        public_key=load_public_key(record.public_key),
        requires_activation=record.protection is Protection.ACTIVATION,
        certificate=certificates.load(record.certificate) if record.certificate else None,
        chain=tuple(certificates.load(issuer) for issuer in record.chain),
        attestation=record.attestation,
    )


@dataclass(frozen=True, slots=True)
class _Records:
    keys: tuple[KeyRecord, ...] = ()


def _read(file: SealedFile) -> dict[str, KeyRecord]:
    content = file.read()
    return {record.alias: record for record in decode(_Records, content).keys} if content else {}
