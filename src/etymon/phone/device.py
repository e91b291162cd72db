# SPDX-License-Identifier: Apache-2.0
"""The phone as a thing: a directory that one program at a time holds open, its state, its key store."""

import fcntl
import os
import shutil
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, Self

from cryptography import x509

from etymon.card.tls import TLSIdentity
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotFound
from etymon.phone.certificate_chain import without_roots
from etymon.phone.key_store.activation import DEFAULT_COST, ScryptCost
from etymon.phone.key_store.attestation import PhoneMaker
from etymon.phone.key_store.opening import VaultKind, equip, open_key_store
from etymon.phone.key_store.store import KeyStore
from etymon.phone.record import decode, encode
from etymon.phone.sealed_file import SealedFile, device_secret
from etymon.phone.state import DeviceState, Hardware, PhoneState, Purpose, moved
from etymon.pki import certificate as certificates

DEVICE_IDENTITY: Final = "device-identity"
"""Alias of the key the phone is known by to its management."""


class Pause(Protocol):
    """Lets time pass between two tries."""

    def wait(self, seconds: float) -> None:
        """Return after about `seconds`."""
        ...


class SystemPause:
    """Real time."""

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the phone takes from outside: time, chance, waiting, and what a try of the activation secret costs."""

    clock: Clock
    entropy: Entropy
    pause: Pause
    cost: ScryptCost = DEFAULT_COST


class Device:
    """A phone. Every change of its state is on disk before it is believed."""

    def __init__(self, directory: Path, surroundings: Surroundings, lock: int) -> None:
        self.directory = directory
        self.surroundings = surroundings
        self._unlock = weakref.finalize(self, os.close, lock)  # once: the number may be another file's by then
        self._secret = device_secret(directory / "device-secret", surroundings.entropy)
        self._file = SealedFile(directory / "state", self._secret, surroundings.entropy)
        self._state: PhoneState | None = None
        self._keys: KeyStore | None = None
        self._guard = threading.RLock()  # a screen looks at the phone while a flow is under way

    @classmethod
    def new(
        cls,
        directory: Path,
        surroundings: Surroundings,
        *,
        hardware: Hardware,
        vault: VaultKind = VaultKind.SOFTWARE,
        roots: Iterable[x509.Certificate] = (),
        maker: PhoneMaker | None = None,
    ) -> Self:
        """Make a factory-new phone in an empty directory; with a maker its keys can be attested.

        `Conflict` `phone_exists` where there is one.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        device = cls(directory, surroundings, _locked(directory))
        if device._file.read() is not None:
            device.close()
            raise Conflict("phone_exists", "There is a phone in this directory already.")
        if maker is not None:
            attester = maker.attester(hardware.manufacturer, hardware.model)
            equip(directory / "keys", device._secret, surroundings.entropy, attester)
        device._save(PhoneState(hardware, vault, tuple(certificates.to_der(root) for root in roots)))
        return device

    @classmethod
    def open(cls, directory: Path, surroundings: Surroundings) -> Self:
        """Switch a phone on; `NotFound` `no_phone` where there is none, `Conflict` `phone_in_use` beside another."""
        if not (directory / "state").exists():
            raise NotFound("no_phone", "There is no phone in this directory. Make one with: etymon phone new")
        return cls(directory, surroundings, _locked(directory))

    @property
    def state(self) -> PhoneState:
        """What the phone knows."""
        with self._guard:
            if self._state is None:
                content = self._file.read()
                if content is None:
                    raise NotFound("no_phone", "There is no phone in this directory. Make one with: etymon phone new")
                self._state = decode(PhoneState, content)
            return self._state

    @property
    def keys(self) -> KeyStore:
        """The key store, opened at the first use."""
        with self._guard:
            if self._keys is None:
                surroundings = self.surroundings
                self._keys = open_key_store(
                    self.directory / "keys",
                    self._secret,
                    surroundings.entropy,
                    kind=self.state.vault,
                    cost=surroundings.cost,
                )
                self.remove_unnamed_keys()
            return self._keys

    def change(self, **changes: Any) -> PhoneState:
        """Replace members of the state (`PhoneState`) and return it when it is written."""
        with self._guard:
            return self._save(replace(self.state, **changes))

    def move(self, target: DeviceState, **changes: Any) -> PhoneState:
        """Go to another device state, if it may follow the present one, and change more in the same write."""
        return self.change(device=moved(self.state.device, target), **changes)

    def identity(self) -> TLSIdentity:
        """Return the device identity for TLS; `Conflict` `not_enrolled` before there is one."""
        entry = self.keys.entry(DEVICE_IDENTITY)
        if entry is None or entry.certificate is None:
            raise Conflict("not_enrolled", "The phone is not enrolled. Scan an enrollment code first.")
        return TLSIdentity(entry.certificate, self.keys.handle(DEVICE_IDENTITY), without_roots(entry.chain))

    def remove_unnamed_keys(self) -> None:
        """Destroy keys of derivations that the state does not name: given up, replaced, or left behind by a stop."""
        named = {credential.alias for credential in self.state.credentials}
        if derivation := self.state.derivation:
            named |= {derivation.transport_alias, *(derivation.alias(purpose) for purpose in Purpose)}
        for rekey in self.state.rekeys:
            named |= {rekey.alias, rekey.transport_alias}
        if (history := self.state.history) and history.keys:
            named |= {history.transport_alias, *map(history.alias, history.keys)}
        for entry in self.keys.entries():
            if entry.alias != DEVICE_IDENTITY and entry.alias not in named:
                self.keys.delete(entry.alias)

    def wipe(self) -> None:
        """Go back to the factory: keys first, then what was applied, then the state."""
        self.keys.erase()
        shutil.rmtree(self.applied, ignore_errors=True)
        self._save(self.state.factory_new())

    @property
    def applied(self) -> Path:
        """Where the profiles put what they configure."""
        return self.directory / "applied"

    def close(self) -> None:
        """Switch off; a second time does no harm."""
        if self._keys is not None:
            self._keys.close()
            self._keys = None
        self._unlock()

    def _save(self, state: PhoneState) -> PhoneState:
        self._file.write(encode(state))
        self._state = state
        return state


def _locked(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise Conflict("phone_in_use", "Another program has this phone open. Close it first.") from exc
    return descriptor
