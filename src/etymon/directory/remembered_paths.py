# SPDX-License-Identifier: Apache-2.0
"""Paths of device identities that were validated lately: validating one again costs signatures and finds the same.

What may change meanwhile is asked every time: the trust entries and the certificates' times here, revocation by whoever
recalls a path.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from etymon.directory.model import EntryVersion
from etymon.pki.path_validation import ValidatedPath
from etymon.pki.trust_entry import TrustEntry

REMEMBERED_FOR: Final = timedelta(minutes=1)
MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class RememberedPath:
    """A valid path from leaf to anchor, the entry that accepts it, and the versions of all entries of that day."""

    certificates: tuple[x509.Certificate, ...]
    entry: TrustEntry
    trusted: tuple[EntryVersion, ...]
    until: datetime

    def holds(self, trusted: tuple[EntryVersion, ...], now: datetime) -> bool:
        """Say whether validating again would find the same, but for revocation."""
        begins = max(certificate.not_valid_before_utc for certificate in self.certificates)
        ends = min(certificate.not_valid_after_utc for certificate in self.certificates)
        return self.trusted == trusted and now < self.until and begins <= now <= ends


class RememberedPaths:
    """The memory of one process, by the SHA-256 of the leaf; shared by all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: OrderedDict[bytes, RememberedPath] = OrderedDict()

    def recall(self, thumbprint: bytes, trusted: tuple[EntryVersion, ...], now: datetime) -> RememberedPath | None:
        """Return the path of a certificate where it still holds under the entries that are `trusted` now."""
        with self._lock:
            known = self._paths.get(thumbprint)
        return known if known is not None and known.holds(trusted, now) else None

    def remember(
        self, thumbprint: bytes, validated: ValidatedPath, entry: TrustEntry, trusted: tuple[EntryVersion, ...]
    ) -> None:
        """Remember what was validated just now under `trusted`; the oldest gives way."""
        until = validated.validated_at + REMEMBERED_FOR
        with self._lock:
            self._paths[thumbprint] = RememberedPath(validated.certificates, entry, trusted, until)
            self._paths.move_to_end(thumbprint)
            while len(self._paths) > MOST_REMEMBERED:
                self._paths.popitem(last=False)
