# SPDX-License-Identifier: Apache-2.0
"""When a certificate may be rekeyed while nothing in it has changed."""

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

SHARE_OF_LIFE: Final = 3
"""The window is at most a third of a certificate's life: a short-lived one would be due from its first day."""


def opens_at(certificate: x509.Certificate, longest: timedelta) -> datetime:
    """Return from when a certificate may be rekeyed: `longest` before its end, or when its last third begins."""
    return opens_between(certificate.not_valid_before_utc, certificate.not_valid_after_utc, longest)


def opens_between(begin: datetime, end: datetime, longest: timedelta) -> datetime:
    """Return the same for a certificate of which only the times are known."""
    return end - min(longest, (end - begin) / SHARE_OF_LIFE)
