# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an outside issuer that is reached by a connector."""

from etymon.kernel.errors import Unavailable
from etymon.mdm.connectors.connector import InvalidationOrder
from etymon.mdm.credential_issuer import IssuerDescription


class RecordingConnector:
    """Keeps every order; does not answer while `is_down`."""

    def __init__(self) -> None:
        self.orders: list[InvalidationOrder] = []
        self.urls: list[str] = []
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

    def invalidate(self, order: InvalidationOrder) -> tuple[str, ...]:
        self._answer()
        if order.id not in {known.id for known in self.orders}:
            self.orders.append(order)
        return ("credential-1", "credential-2")

    def _answer(self) -> None:
        if self.is_down:
            raise Unavailable("issuer_unavailable", "The credential issuer does not answer.")
