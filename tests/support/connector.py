# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an outside issuer that is reached by a connector."""

from datetime import datetime

from etymon.kernel.errors import Unavailable
from etymon.mdm.connectors.connector import InvalidationOrder, RekeyDue, RekeysDue
from etymon.mdm.credential_issuer import IssuerDescription


class RecordingConnector:
    """Keeps every order; does not answer while `is_down`."""

    def __init__(self) -> None:
        self.orders: list[InvalidationOrder] = []
        self.urls: list[str] = []
        self.pages: list[tuple[RekeyDue, ...]] = []
        self.asked_since: list[datetime] = []
        self.is_down = False

    def at(self, url: str) -> "RecordingConnector":
        """Connect to `url`."""
        self.urls.append(url)
        return self

    def describe(self) -> IssuerDescription:
        self._answer()
        return IssuerDescription(
            "Agency Credential Issuer", "https://issuer.agency.example:8443/issuer/", ("authentication",)
        )

    def rekeys_due(self, since: datetime, following: str | None = None) -> RekeysDue:
        """Tell what is in `pages`; what follows a page is named by its number."""
        self._answer()
        self.asked_since.append(since)
        number = int(following or 0)
        found = self.pages[number] if number < len(self.pages) else ()
        return RekeysDue(found, str(number + 1) if number + 1 < len(self.pages) else None)

    def invalidate(self, order: InvalidationOrder) -> tuple[str, ...]:
        self._answer()
        if order.id not in {known.id for known in self.orders}:
            self.orders.append(order)
        return ("credential-1", "credential-2")

    def _answer(self) -> None:
        if self.is_down:
            raise Unavailable("issuer_unavailable", "The credential issuer does not answer.")
