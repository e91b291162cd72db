# SPDX-License-Identifier: Apache-2.0
"""The seam between whoever uses a card and the card: one command APDU in, one response APDU out."""

from typing import Protocol

from etymon.card.applet import PIVApplet


class CardTransport(Protocol):
    """Carries APDUs to a card, wherever it is."""

    def transmit(self, command: bytes) -> bytes:
        """Return the card's answer with its two status bytes; raises `CardUnavailable` when there is no card."""
        ...


class LocalTransport:
    """A card in the same process."""

    def __init__(self, applet: PIVApplet) -> None:
        self._applet = applet

    def transmit(self, command: bytes) -> bytes:
        """Return the applet's answer."""
        return self._applet.process(command)
