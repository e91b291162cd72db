# SPDX-License-Identifier: Apache-2.0
"""What the endpoint manager asks of an issuer. Another issuer's product needs one class that does this."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from etymon.mdm.credential_issuer import IssuerDescription
from etymon.mdm.model import InvalidationReason


@dataclass(frozen=True, slots=True)
class InvalidationOrder:
    """End every credential on a device, known by its device identity's thumbprint. The id makes repeating it safe."""

    id: UUID
    device_thumbprint: bytes
    reason: InvalidationReason
    comment: str


@dataclass(frozen=True, slots=True)
class RekeyDue:
    """A certificate in force on a device that its issuer wants replaced, since a time."""

    certificate_thumbprint: bytes
    device_thumbprint: bytes
    since: datetime


@dataclass(frozen=True, slots=True)
class RekeysDue:
    """One page of them, by when they became due; `following` asks for the next one."""

    found: tuple[RekeyDue, ...]
    following: str | None


class Connector(Protocol):
    """A credential issuer, reached over the network; never called inside a transaction."""

    def describe(self) -> IssuerDescription:
        """Return what the issuer says of itself. Raises Unavailable."""
        ...

    def rekeys_due(self, since: datetime, following: str | None = None) -> RekeysDue:
        """Return certificates on our devices whose rekey became due after a time, a page at a time.

        Raises like `invalidate`.
        """
        ...

    def invalidate(self, order: InvalidationOrder) -> tuple[str, ...]:
        """End the credentials and return their ids; when this returns, they are not accepted any more.

        Raises Unavailable when the issuer does not answer (try again), Conflict when the order's id was used for
        another order, NotPermitted when the issuer does not take orders from us.
        """
        ...
