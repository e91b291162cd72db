# SPDX-License-Identifier: Apache-2.0
"""Names of things and the API's ids of them, both ways; grows while things are made."""

from etymon.kernel.errors import Conflict
from etymon.server.apply.resource import Card, Kind, Reference, writer


class Names:
    """What is called what."""

    def __init__(self) -> None:
        self._ids: dict[tuple[Kind, str], str] = {}
        self._references: dict[tuple[Kind, str], Reference] = {}
        self._bindings: dict[Card, str] = {}

    def learn(self, reference: Reference, id_: str) -> None:
        """Remember a thing's id."""
        self._ids[reference.key] = id_
        self._references[reference.kind, id_] = reference

    def learn_binding(self, card: Card, id_: str) -> None:
        """Remember the id of what binds a card to its user."""
        self._bindings[card] = id_

    def id_of(self, reference: Reference) -> str:
        """Return the id; raises Conflict `not_there_yet` for a thing that is not there."""
        found = self._ids.get(reference.key)
        if found is None:
            raise Conflict(
                "not_there_yet",
                f"The {reference.kind.value} {reference.name} is not there yet. Let the "
                f"{writer(reference.kind).value.capitalize()} apply the file first.",
            )
        return found

    def binding_of(self, card: Card) -> str:
        """Return the id of the binding of a card that was read."""
        return self._bindings[card]

    def reference(self, kind: Kind, id_: str) -> Reference:
        """Return the thing of an id; one that is not known is called by its id."""
        return self._references.get((kind, id_), Reference(kind, id_))
