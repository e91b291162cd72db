# SPDX-License-Identifier: Apache-2.0
"""What there is now of what a file speaks of, read page by page; of other things nothing is asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from etymon.kernel.errors import Unavailable
from etymon.server.apply import entities_directory, entities_management
from etymon.server.apply.administration_api import AdministrationAPI
from etymon.server.apply.document import ALL_DEVICES, ALL_USERS
from etymon.server.apply.entities import PATHS, name_of, path_of
from etymon.server.apply.names import Names
from etymon.server.apply.resource import (
    Card,
    HeldRole,
    Joined,
    Kind,
    LeftOut,
    Link,
    Reference,
    Resource,
    Sections,
)

TARGET: Final = "#microsoft.graph."
EVERYBODY: Final[Mapping[str, str]] = {
    ALL_USERS: "allLicensedUsersAssignmentTarget",
    ALL_DEVICES: "allDevicesAssignmentTarget",
}
GROUP_TARGET: Final = "groupAssignmentTarget"
EXCLUSION_TARGET: Final = "exclusionGroupAssignmentTarget"

REFERS_TO: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.USER: frozenset({Kind.TRUST_ENTRY}),
    Kind.GROUP: frozenset({Kind.USER}),
    Kind.CONFIGURATION: frozenset({Kind.GROUP}),
    Kind.ISSUANCE_RULE: frozenset({Kind.GROUP}),
}


@dataclass(frozen=True, slots=True)
class Present:
    """What there is, what it is called by the API, and which roles its people hold, by their ids."""

    sections: Sections
    names: Names
    roles: Mapping[str, frozenset[str]]


def fetch(api: AdministrationAPI, wanted: Sections, now: datetime) -> Present:
    """Read what the wanted sections and their references need; raises Unavailable for what cannot be understood."""
    try:
        return _Fetch(api, wanted, now).present()
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Unavailable("api_not_understood", f"The administration API answers without what it owes: {exc}.") from exc


class _Fetch:
    def __init__(self, api: AdministrationAPI, wanted: Sections, now: datetime) -> None:
        self._api = api
        self._wanted = {resource.reference.key: resource for part in wanted.values() for resource in part}
        self._kinds = set(wanted) | {kind for section in wanted for kind in REFERS_TO.get(section, ())}
        self._now = now
        self._names = Names()
        self._roles: dict[str, frozenset[str]] = {}
        self._card_entries: set[str] = set()

    def present(self) -> Present:
        self._roles = {item["userId"]: frozenset(item["roles"]) for item in self._api.every("/etymon/roles")}
        sections: dict[Kind, tuple[Resource, ...]] = {}
        for kind in (kind for kind in Kind if kind in self._kinds):
            items = list(self._api.every(f"{PATHS[kind]}?$top=100"))
            for item in items:
                self._names.learn(Reference(kind, item[name_of(kind)]), str(item.get("id") or item["name"]))
            if kind is Kind.TRUST_ENTRY:
                self._card_entries = {item["name"] for item in items if item["kind"] == "card"}
                items = [item for item in items if item["kind"] == "card" or self._describes(item["name"])]
            sections[kind] = tuple(self._resource(kind, item) for item in items)
        return Present(sections, self._names, self._roles)

    def _resource(self, kind: Kind, item: Mapping[str, Any]) -> Resource:  # noqa: PLR0911, C901 - one a kind
        match kind:
            case Kind.TRUST_ENTRY:
                return entities_directory.trust_entry(item, self._names)
            case Kind.ATTESTATION_AUTHORITY:
                return entities_directory.attestation_authority(item)
            case Kind.USER:
                return self._user(entities_directory.user(item, self._names))
            case Kind.GROUP:
                return self._with_members(entities_directory.group(item, self._names))
            case Kind.BRANDING:
                return entities_management.branding(item, self._names)
            case Kind.ISSUER:
                return entities_management.issuer(item, self._names)
            case Kind.ENROLLMENT_PROFILE:
                return entities_management.enrollment_profile(item, self._now)
            case Kind.CONFIGURATION:
                return self._with_assignments(entities_management.configuration(item, self._names))
            case Kind.ISSUANCE_RULE:
                return entities_directory.issuance_rule(item, self._names)
            case Kind.CONNECTOR:
                return entities_management.connector(item, self._names)

    def _describes(self, trust_entry: str) -> bool:
        """Say whether the file has this trust entry: those that are not of cards are the deployment's own else."""
        return Reference(Kind.TRUST_ENTRY, trust_entry).key in self._wanted

    def _manages(self, found: Resource, link: Link) -> bool:
        wanted = self._wanted.get(found.reference.key)
        return wanted is not None and link in wanted.links

    def _user(self, found: Resource) -> Resource:
        roles = self._roles.get(found.id, frozenset())
        links: dict[Link, frozenset[Joined]] = {Link.ROLES: frozenset(map(HeldRole, roles))}
        if self._manages(found, Link.CARDS):
            links[Link.CARDS] = frozenset(self._cards(found))
        kept = f"holds the role {' and '.join(sorted(roles))}; that has to be withdrawn first" if roles else ""
        return replace(found, links=links, kept_because=kept)

    def _cards(self, found: Resource) -> Iterator[Card]:
        """Yield live cards; the person's derived credentials are bound by their issuer and are none."""
        for item in self._api.every(f"{path_of(Kind.USER, found.id)}/cards"):
            card = Card(item["trustEntry"], item["identifier"])
            if item["endedDateTime"] is None and card.trust_entry in self._card_entries:
                self._names.learn_binding(card, item["id"])
                yield card

    def _with_members(self, found: Resource) -> Resource:
        if not self._manages(found, Link.MEMBERS):
            return found
        members = self._api.every(f"{path_of(Kind.GROUP, found.id)}/members?$top=100")
        joined = frozenset(Reference(Kind.USER, item["userPrincipalName"]) for item in members)
        return replace(found, links={Link.MEMBERS: joined})

    def _with_assignments(self, found: Resource) -> Resource:
        if not self._manages(found, Link.ASSIGNED_TO):
            return found
        items = self._api.every(f"{path_of(Kind.CONFIGURATION, found.id)}/assignments")
        return replace(found, links={Link.ASSIGNED_TO: frozenset(self._target(item["target"]) for item in items)})

    def _target(self, target: Mapping[str, Any]) -> Joined:
        kind = target["@odata.type"].removeprefix(TARGET)
        for name, type_ in EVERYBODY.items():
            if kind == type_:
                return Reference(Kind.GROUP, name)
        group = self._names.reference(Kind.GROUP, target["groupId"])
        return LeftOut(group) if kind == EXCLUSION_TARGET else group
