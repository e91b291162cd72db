# SPDX-License-Identifier: Apache-2.0
"""Users, their cards, and groups."""

from typing import Any

from pydantic import Field

from etymon.directory.model import Binding, Group, Person
from etymon.graph.representations.body import Body, Text
from etymon.kernel.errors import Malformed

USER = "#microsoft.graph.user"
GROUP = "#microsoft.graph.group"


class UserBody(Body):
    """A user that is created or changed."""

    user_principal_name: Text | None = None
    display_name: Text | None = None
    mail: Text | None = None
    other_mails: list[Text] | None = None
    account_enabled: bool | None = None

    def mail_addresses(self, before: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return all addresses, the first being `mail`; raises Malformed."""
        if self.account_enabled is False:
            raise Malformed("delete_to_end", "An account is not switched off. DELETE ends it, for good.")
        first: tuple[str, ...] = before[:1]
        if self.says("mail"):
            first = (self.mail,) if self.mail else ()
        others = tuple(self.other_mails or ()) if self.says("other_mails") else before[1:]
        return (*first, *others)


class CardBody(Body):
    """A card that is bound to a user."""

    trust_entry: Text
    identifier: Text
    replaces: Text | None = None
    """Id of the card whose place it takes."""


class GroupBody(Body):
    """A group that is created or changed."""

    display_name: Text | None = None
    description: Text | None = None


class ReferenceBody(Body):
    """An entity that is added to a collection."""

    address: Text = Field(alias="@odata.id")


def user(person: Person) -> dict[str, Any]:
    """Show a person."""
    return {
        "@odata.type": USER,
        "id": person.id,
        "userPrincipalName": person.user_principal_name,
        "displayName": person.display_name,
        "mail": person.mail_addresses[0] if person.mail_addresses else None,
        "otherMails": list(person.mail_addresses[1:]),
        "accountEnabled": person.active,
    }


def card(binding: Binding) -> dict[str, Any]:
    """Show a binding."""
    return {
        "@odata.type": "#etymon.graph.card",
        "id": binding.id,
        "trustEntry": binding.trust_entry,
        "identifier": binding.identifier,
        "boundDateTime": binding.bound_at,
        "endedDateTime": binding.ended_at,
        "endReason": binding.end_reason,
    }


def group(shown: Group) -> dict[str, Any]:
    """Show a group."""
    return {
        "@odata.type": GROUP,
        "id": shown.id,
        "displayName": shown.name,
        "description": shown.description,
        "securityEnabled": True,
        "mailEnabled": False,
        "groupTypes": [],
    }
