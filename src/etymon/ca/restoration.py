# SPDX-License-Identifier: Apache-2.0
"""Authorities whose database was restored from a backup: they went on after it, and nobody here knows how."""

from typing import Final

from etymon.ca import status_store, store
from etymon.storage.database import Transaction

LEAP: Final = 1_000_000
"""How many numbers of lists are left out: more than an authority makes in a year."""


def begin_again(tx: Transaction) -> None:
    """Have every list made anew under numbers that nobody has seen, and sign nothing that was planned before.

    Relying parties take no list whose number is below one that they know. What was planned may have been signed, and
    even revoked, since: a second certificate of its serial number would bring it back to life. Answers of the
    responder that were kept may be of certificates whose status is another one.
    """
    status_store.leap(tx, LEAP)
    store.abandon_plans(tx)
