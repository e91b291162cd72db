# SPDX-License-Identifier: Apache-2.0
"""What every act of an officer asks for: the role, now, and a reason in words."""

from typing import Final
from uuid import UUID

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.issuer.errors import officer_required
from etymon.kernel.errors import Malformed
from etymon.storage.database import Transaction

LONGEST_REASON: Final = 500


def require(tx: Transaction, person: UUID) -> None:
    """Refuse whoever is no officer now."""
    if Role.OFFICER not in roles.roles_of(tx, person):
        raise officer_required()


def reason_of(text: str) -> str:
    """Return a reason in words; raises `reason_missing`."""
    reason = " ".join(text.split())
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise Malformed("reason_missing", f"Give a reason in words, {LONGEST_REASON} characters at most.")
    return reason
