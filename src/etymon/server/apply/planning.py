# SPDX-License-Identifier: Apache-2.0
"""The difference between what a file wants and what there is. Pure: the same two always give the same plan."""

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import Conflict, Malformed
from etymon.server.apply.change import (
    Change,
    Create,
    Delete,
    Difference,
    IssueToken,
    Join,
    Kept,
    Plan,
    Replace,
    Update,
    keeper_of,
)
from etymon.server.apply.document import ALL_DEVICES, ALL_USERS
from etymon.server.apply.resource import (
    CLOSED,
    GIVEN_BY,
    ORDER,
    SINGLE,
    Card,
    HeldRole,
    Joined,
    Kind,
    LeftOut,
    Link,
    Organization,
    Reference,
    Resource,
    Role,
    Sections,
    Value,
)


class Pruning(enum.Enum):
    """What becomes of things that are there and that the file does not want."""

    KEEP = "keep"
    END = "end"


EVERYBODY: Final = frozenset({ALL_USERS, ALL_DEVICES})
FREED_FIRST: Final = frozenset({Link.CARDS, Link.ROLES})
"""A card is one person's, and who gets a role may first have to lose another (CP 5.2.4)."""


class Passwords(enum.Enum):
    """Whether passwords are sent where nothing else differs: the API does not tell which it has."""

    WITH_CHANGES = "with changes"
    AGAIN = "again"


def plan(
    wanted: Organization,
    present: Sections,
    pruning: Pruning = Pruning.KEEP,
    passwords: Passwords = Passwords.WITH_CHANGES,
    *,
    operator: str = "",
) -> Plan:
    """Return what is to be done. `present` has what the file's sections and their references need.

    `operator` is the API's id of whoever will do it: nobody changes their own roles.

    Raises Malformed `unknown_reference` for names that are nowhere, Conflict `ambiguous_name` for a name that two
    things have, and Conflict `card_of_another` for a card that stands for somebody else.
    """
    return _Comparison(wanted.sections, present, pruning, passwords, operator).plan()


@dataclass(frozen=True, slots=True)
class _Comparison:
    wanted: Sections
    present: Sections
    pruning: Pruning
    passwords: Passwords
    operator: str

    def plan(self) -> Plan:
        self._require_known()
        self._require_free_cards()
        changes: list[Change] = []
        endings: list[Delete] = []
        kept: list[Kept] = []
        for kind in Kind:
            found = self._by_key(kind)
            for resource in self.wanted.get(kind, ()):
                before = found.pop(_key(resource), None)
                changes += self._changes(resource, before, kept)
            for left in found.values() if kind in self.wanted else ():
                if self._is_ended(left):
                    endings.append(Delete(left))
                else:
                    why = left.kept_because if self.pruning is Pruning.END else "is not in the file"
                    kept.append(Kept(left.reference, why))
        # a name or a card may go from an account that ends to one that begins; other things end when nothing refers
        changes += [ending for ending in endings if ending.present.kind is Kind.USER]
        others = [ending for ending in endings if ending.present.kind is not Kind.USER]
        return Plan((*sorted(changes, key=_place), *sorted(others, key=_place, reverse=True)), tuple(kept))

    def _is_ended(self, present: Resource) -> bool:
        """Say whether a thing that is not in its section of the file ends."""
        return self.pruning is Pruning.END and not present.kept_because

    def _by_key(self, kind: Kind) -> dict[tuple[Kind, str], Resource]:
        resources = self.present.get(kind, ())
        times = Counter(map(_key, resources))
        for resource in self.wanted.get(kind, ()):
            if times[_key(resource)] > 1:
                raise Conflict(
                    "ambiguous_name",
                    f"There are {times[_key(resource)]} things of kind {kind.value} called {resource.name}. Rename or "
                    "delete all but one of them; a file names each thing once.",
                )
        unnamed = {_key(resource): resource for resource in resources if times[_key(resource)] == 1}
        doubles = {(kind, resource.id): resource for resource in resources if times[_key(resource)] > 1}
        return unnamed | doubles

    def _changes(self, wanted: Resource, present: Resource | None, kept: list[Kept]) -> Iterator[Change]:
        if present is None:
            yield Create(wanted)
        elif fixed := _differences(present.fixed, wanted.fixed):
            if self.pruning is Pruning.KEEP:
                told = ", ".join(difference.field for difference in fixed)
                kept.append(
                    Kept(present.reference, f"differs in {told}, which only --prune can change: it ends the old")
                )
                return
            yield Replace(present, wanted, fixed + _differences(present.properties, wanted.properties))
            present = None
        else:
            differences = _differences(present.properties, wanted.properties)
            if differences and (why := self._closed(present)):
                kept.append(Kept(present.reference, why))
            elif differences or (wanted.secrets and self.passwords is Passwords.AGAIN):
                yield Update(present, wanted, differences)
        if wanted.token_days and not (present and present.has_token):
            yield IssueToken(wanted.reference, wanted.token_days)
        yield from self._joins(wanted, present, kept)

    def _joins(self, wanted: Resource, present: Resource | None, kept: list[Kept]) -> Iterator[Join]:
        for link, joined in wanted.links.items():
            before = present.links.get(link, frozenset()) if present else frozenset()
            if joined != before and (why := self._stays(link, present)):
                kept.append(Kept(wanted.reference, why))
                continue
            added, surplus = joined - before, before - joined
            removed = surplus if self.pruning is Pruning.END else frozenset()
            if surplus - removed:
                kept.append(Kept(wanted.reference, f"{link.value}: {_listed(surplus)}, not in the file"))
            if link is Link.ROLES:
                yield from _given(wanted, before, added, removed)
                continue
            keeper = keeper_of(present) if link is Link.CARDS else None
            after = (before | added) - removed
            if link in FREED_FIRST and removed:
                yield Join(wanted.reference, link, removed=removed, after=before - removed, keeper=keeper)
                removed = frozenset()
            if added or removed:
                yield Join(wanted.reference, link, added, removed, after, keeper)

    def _stays(self, link: Link, present: Resource | None) -> str:
        """Return why a thing stays joined as it is, whoever applies the file."""
        if link is Link.ROLES and present and present.id == self.operator:
            return "nobody changes their own roles; let another Administrator do it"
        return self._closed(present) if link is Link.CARDS else ""

    def _closed(self, present: Resource | None) -> str:
        """Return why the operator leaves an account as it is."""
        held = present.links.get(Link.ROLES, frozenset()) if present else frozenset()
        opened = {HeldRole("officer")} if present and present.id == self.operator else set()
        return next((why for role, why in CLOSED.items() if HeldRole(role) in held - opened), "")

    def _require_known(self) -> None:
        names = {resource.reference.key for resources in self.wanted.values() for resource in resources}
        for kind, resources in self.present.items():
            staying = (resource for resource in resources if kind not in self.wanted or not self._is_ended(resource))
            names.update(resource.reference.key for resource in staying)
        missing = [
            f"{resource.kind.value} {resource.name}, {field}: no {reference.kind.value} is called {reference.name}"
            for resources in self.wanted.values()
            for resource in resources
            for field, reference in _references(resource)
            if reference.key not in names and not (reference.kind is Kind.GROUP and reference.key[1] in EVERYBODY)
        ]
        if missing:
            raise Malformed(
                "unknown_reference", "\n".join(missing) + "\nDescribe it in the file, or look for a slip of the pen."
            )

    def _require_free_cards(self) -> None:
        wanted = {_key(user): user for user in self.wanted.get(Kind.USER, ())}
        holders = {card: user for user in self.present.get(Kind.USER, ()) for card in _cards(user)}
        claimed: dict[Joined, Resource] = {}
        for user in wanted.values():
            for card in _cards(user):
                other = claimed.setdefault(card, user)
                if other is not user:
                    raise _card_of_another(card, other, user, "Write it for one of them.")
                holder = holders.get(card)
                if holder is None or _key(holder) == _key(user):
                    continue
                after = wanted.get(_key(holder))
                freed = self._is_ended(holder) if after is None else self._parts(after, holder, card)
                if not freed:
                    why = self._closed(holder)
                    advice = why or "If it is theirs no more, take it from them in the file and use --prune."
                    raise _card_of_another(card, holder, user, advice)

    def _parts(self, user: Resource, holder: Resource, card: Joined) -> bool:
        """Say whether the file takes a card from its holder and the operator may."""
        named = Link.CARDS in user.links and card not in _cards(user)
        return self.pruning is Pruning.END and named and not self._closed(holder)


def _given(
    user: Resource, before: frozenset[Joined], added: frozenset[Joined], removed: frozenset[Joined]
) -> Iterator[Join]:
    """Yield the roles that Administrators give and take, and those that Officers do, apart from each other."""
    if (added or removed) and not user.roles_authority:
        raise Malformed(
            "authority_missing", f"Name in rolesAuthority on whose authority the roles of {user.name} are taken."
        )
    for giver in Role:
        theirs = frozenset(HeldRole(name) for name, by in GIVEN_BY.items() if by is giver)
        given, taken = added & theirs, removed & theirs
        if taken:  # a role is lost before another is given: nobody holds two that are separated
            after = before - taken
            yield Join(user.reference, Link.ROLES, frozenset(), taken, after, giver, user.roles_authority)
        if given:
            after = (before | given) - taken
            yield Join(user.reference, Link.ROLES, given, frozenset(), after, giver, user.roles_authority)


def _key(resource: Resource) -> tuple[Kind, str]:
    return (resource.kind, "") if resource.kind in SINGLE else resource.reference.key


def _differences(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[Difference, ...]:
    return tuple(
        Difference(field, before.get(field), value) for field, value in after.items() if before.get(field) != value
    )


def _references(resource: Resource) -> Iterator[tuple[str, Reference]]:
    for field, value in resource.properties.items():
        if isinstance(value, tuple):
            yield from ((field, item) for item in value if isinstance(item, Reference))
    for link, joined in resource.links.items():
        for item in sorted(joined, key=lambda item: item.name):
            if isinstance(item, Reference):
                yield link.value, item
            elif isinstance(item, LeftOut):
                yield link.value, item.group
            elif isinstance(item, Card):
                yield link.value, Reference(Kind.TRUST_ENTRY, item.trust_entry)


def _cards(user: Resource) -> frozenset[Joined]:
    return user.links.get(Link.CARDS, frozenset())


def _place(change: Change) -> tuple[int, int, int]:
    """Return where a change stands: after what it may refer to; what is freed before what takes it."""
    resource = change.present if isinstance(change, Delete) else getattr(change, "wanted", None)
    follows = int(resource is not None and resource.fixed.get("type") not in {None, "trustedRoot"})
    match change:
        case Delete():
            step = 0
        case Create() | Update() | Replace():
            step = 1
        case Join(added=added) if not added:
            step = 2
        case _:
            step = 3
    return ORDER[change.subject.kind], step, follows


def _listed(joined: frozenset[Joined]) -> str:
    return ", ".join(sorted(item.name for item in joined))


def _card_of_another(card: Joined, holder: Resource, user: Resource, advice: str) -> Conflict:
    return Conflict("card_of_another", f"The card {card.name} cannot be {user.name}'s: it is {holder.name}'s. {advice}")
