# SPDX-License-Identifier: Apache-2.0
"""The list of attestation keys that are trusted no more, as Google publishes it for Android (JSON).

Serial numbers in it are hexadecimal without leading zeros; about a third of what is published is decimal, so both
spellings of a certificate's number are looked for. What is not listed is good.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509

from etymon.kernel.errors import Malformed

LIMIT_BYTES: Final = 4 * 1024 * 1024
MOST_ENTRIES: Final = 20_000

_SERIAL: Final = re.compile(r"[0-9a-f]{1,64}")
_STATUSES: Final = frozenset({"REVOKED", "SUSPENDED"})


@dataclass(frozen=True, slots=True)
class AttestationStatusList:
    """Serial numbers as the list writes them, of certificates that are revoked or suspended."""

    serials: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if len(self.serials) > MOST_ENTRIES:
            raise Malformed("attestation_status_list", f"A list has at most {MOST_ENTRIES} serial numbers.")
        if not all(map(_SERIAL.fullmatch, self.serials)):
            raise Malformed("attestation_status_list", "A serial number is hexadecimal, in lower case.")

    def names(self, certificate: x509.Certificate) -> bool:
        """Say whether a certificate is revoked or suspended."""
        serial = certificate.serial_number
        return bool({format(serial, "x"), str(serial)} & self.serials)


def load(data: bytes) -> AttestationStatusList:
    """Read a list; `Malformed` `attestation_status_list` for what is none."""
    if len(data) > LIMIT_BYTES:
        raise Malformed("attestation_status_list", f"A list has at most {LIMIT_BYTES} bytes.")
    try:
        document = json.loads(data)
        entries = document["entries"]
        named = {str(serial).lower().lstrip("0"): str(entry["status"]) for serial, entry in entries.items()}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as exc:
        raise Malformed(
            "attestation_status_list", 'The list is JSON: {"entries": {"<serial>": {"status": …}}}.'
        ) from exc
    if not _STATUSES.issuperset(named.values()):
        raise Malformed("attestation_status_list", "A status in the list is neither REVOKED nor SUSPENDED.")
    return AttestationStatusList(frozenset(named))
