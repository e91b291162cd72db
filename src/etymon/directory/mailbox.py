# SPDX-License-Identifier: Apache-2.0
"""Which mail addresses mail is sent to: those that name one mailbox, however they are read (RFC 5321 §4.1.2)."""

import re
from typing import Final

from etymon.kernel.errors import Malformed

LIMIT: Final = 254
"""Longest mail address (RFC 5321 §4.5.3.1.3 less its angle brackets), in characters."""

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX: Final = re.compile(rf"(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
"""`Dot-string@Domain`: 64 characters before the at sign (§4.5.3.1.1), labels of 63 after it (RFC 1035 §2.3.4).

No quoted string, in which a list could hide, no address literal, and nothing but ASCII: whether letters beyond it
arrive is up to each server on the way (RFC 6531 §3.1).
"""


def is_one(address: str) -> bool:
    """Say whether an address names one mailbox and can name no other."""
    return len(address) <= LIMIT and _MAILBOX.fullmatch(address) is not None


def check(address: str) -> None:
    """Raise `Malformed` unless `is_one`. Asked of addresses that are new; those stored before it was asked stay."""
    if not is_one(address):
        raise Malformed(
            "mail_addresses",
            "A mail address names one mailbox: name@host in ASCII, without quotes, spaces or further names. "
            "A host name in other letters is written in its xn-- form.",
        )
