# SPDX-License-Identifier: Apache-2.0
"""Does a plan, change by change. What is done stays done: after a failure the same file has only the rest to do."""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final, TypeAlias
from urllib.parse import quote

from etymon.server.apply.administration_api import AdministrationAPI, JSONObject
from etymon.server.apply.change import Change, Create, Delete, IssueToken, Join, Plan, Replace, Update
from etymon.server.apply.entities import BODIES, PATHS, PUT_BY_NAME, path_of
from etymon.server.apply.names import Names
from etymon.server.apply.present_state import EVERYBODY, EXCLUSION_TARGET, GROUP_TARGET, TARGET
from etymon.server.apply.resource import Card, HeldRole, Joined, Kind, LeftOut, Link, Reference, Resource

DAY: Final = timedelta(days=1)

Done: TypeAlias = Callable[[Change], None]
"""Told of each change when it is done."""


def perform(api: AdministrationAPI, plan: Plan, names: Names, done: Done) -> None:
    """Do the changes of `plan` in their order; the API's first refusal ends it. `names` learns what is made."""
    work = _Work(api, names)
    for change in plan.changes:
        work.do(change)
        done(change)


class _Work:
    def __init__(self, api: AdministrationAPI, names: Names) -> None:
        self._api = api
        self._names = names

    def do(self, change: Change) -> None:
        match change:
            case Create(wanted=wanted):
                self._create(wanted)
            case Update(present=present, wanted=wanted, differences=differences):
                self._update(present, wanted, [difference.field for difference in differences])
            case Replace(present=present, wanted=wanted):
                self._api.delete(path_of(present.kind, present.id))
                self._create(wanted)
            case Delete(present=present):
                self._api.delete(path_of(present.kind, present.id))
            case IssueToken(subject=subject, days=days):
                seconds = int((days * DAY).total_seconds())
                path = path_of(subject.kind, self._names.id_of(subject))
                self._api.post(f"{path}/createToken", {"tokenValidityInSeconds": seconds})
            case Join():
                self._join(change)

    def _create(self, wanted: Resource) -> None:
        fields = (*wanted.properties, *wanted.fixed, *wanted.secrets)
        body = BODIES[wanted.kind](wanted, fields, self._names)
        if wanted.kind in PUT_BY_NAME:
            self._api.put(path_of(wanted.kind, wanted.name), body)
            id_ = wanted.name
        else:
            id_ = self._api.create(PATHS[wanted.kind], body)
        self._names.learn(wanted.reference, id_)

    def _update(self, present: Resource, wanted: Resource, fields: Collection[str]) -> None:
        sent = [*fields, *wanted.secrets]
        body = BODIES[wanted.kind](wanted, sent, self._names)
        if wanted.kind in PUT_BY_NAME:
            self._api.put(path_of(wanted.kind, wanted.name), body)
        else:
            self._api.patch(path_of(wanted.kind, present.id), body)

    def _join(self, change: Join) -> None:
        path = path_of(change.subject.kind, self._names.id_of(change.subject))
        match change.link:
            case Link.ASSIGNED_TO:
                targets = [{"target": self._target(item)} for item in _in_order(change.after)]
                self._api.post(f"{path}/assign", {"assignments": targets})
            case Link.ROLES:
                roles = sorted(item.name for item in change.after if isinstance(item, HeldRole))
                user = self._names.id_of(change.subject)
                body = {"roles": roles, "authority": change.authority}
                self._api.put(f"/etymon/roles/{quote(user, safe='')}", body)
            case Link.MEMBERS:
                self._join_members(path, change)
            case Link.CARDS:
                self._join_cards(path, change)

    def _join_members(self, path: str, change: Join) -> None:
        for item in _in_order(change.removed):
            if isinstance(item, Reference):
                self._api.delete(f"{path}/members/{quote(self._names.id_of(item), safe='')}/$ref")
        for item in _in_order(change.added):
            if isinstance(item, Reference):
                address = self._api.link_to(path_of(Kind.USER, self._names.id_of(item)))
                self._api.post(f"{path}/members/$ref", {"@odata.id": address})

    def _join_cards(self, path: str, change: Join) -> None:
        for item in _in_order(change.removed):
            if isinstance(item, Card):
                self._api.delete(f"{path}/cards/{quote(self._names.binding_of(item), safe='')}")
        for item in _in_order(change.added):
            if isinstance(item, Card):
                self._api.post(f"{path}/cards", {"trustEntry": item.trust_entry, "identifier": item.identifier})

    def _target(self, item: Joined) -> JSONObject:
        if isinstance(item, LeftOut):
            return {"@odata.type": TARGET + EXCLUSION_TARGET, "groupId": self._names.id_of(item.group)}
        everybody = EVERYBODY.get(item.name.casefold()) if isinstance(item, Reference) else None
        if everybody is not None or not isinstance(item, Reference):
            return {"@odata.type": f"{TARGET}{everybody}"}
        return {"@odata.type": TARGET + GROUP_TARGET, "groupId": self._names.id_of(item)}


def _in_order(joined: Collection[Joined]) -> list[Joined]:
    return sorted(joined, key=lambda item: item.name)
