# SPDX-License-Identifier: Apache-2.0
"""A plan as a person reads it before anything is done. Secrets are not in it; octets are told by what they are."""

from collections.abc import Iterator, Mapping
from typing import Final

from rich.text import Text

from etymon.server.apply.change import Change, Create, Delete, Difference, IssueToken, Join, Plan, Replace, Update
from etymon.server.apply.resource import Binary, Kind, Resource, Value

ENDS: Final[Mapping[Kind, str]] = {
    Kind.TRUST_ENTRY: "ends every card binding under it",
    Kind.ATTESTATION_AUTHORITY: "phones of its maker prove nothing any more",
    Kind.USER: "ends the account with its cards, devices and credentials, for good",
    Kind.GROUP: "its members stay",
    Kind.BRANDING: "the deployment's own is shown again",
    Kind.ISSUER: "phones get no credentials from it any more",
    Kind.ENROLLMENT_PROFILE: "its token admits nobody any more; devices that came by it stay",
    Kind.CONFIGURATION: "phones remove it at their next check-in",
    Kind.ISSUANCE_RULE: "nothing is issued under it any more",
    Kind.CONNECTOR: "nobody enrolls or renews there any more; what it gave out lives on",
}
"""What ending a thing means, for whoever is about to agree."""


def lines(plan: Plan) -> Iterator[Text]:
    """Yield the plan line by line."""
    for change in plan.changes:
        yield from _change(change)
    for kept in plan.kept:
        yield Text(f"  {kept.subject.kind.value} {kept.subject.name} stays: {kept.why}", "dim")


def title(change: Change) -> str:
    """Return a change in one line without its fields."""
    subject = f"{change.subject.kind.value} {change.subject.name}"
    match change:
        case Create():
            return f"make {subject}"
        case Update():
            return f"change {subject}"
        case Replace():
            return f"end and make anew {subject}"
        case Delete():
            return f"end {subject}"
        case IssueToken(days=days):
            return f"{subject}: a token for {days} days"
        case Join(link=link, added=added, removed=removed):
            signs = [f"+ {item.name}" for item in sorted(added, key=_name)]
            signs += [f"- {item.name}" for item in sorted(removed, key=_name)]
            return f"{subject}: {link.value} {', '.join(signs)}"


def summary(plan: Plan) -> str:
    """Return how much there is to do."""
    if not plan.changes:
        return "Nothing to do: everything is as the file says."
    ends = sum(1 for change in plan.changes if _ends(change))
    return counted(len(plan.changes)) + (
        f"; {ends} of them {'ends' if ends == 1 else 'end'} something." if ends else "."
    )


def counted(number: int) -> str:
    """Return a number of changes in words."""
    return "1 change" if number == 1 else f"{number} changes"


def _change(change: Change) -> Iterator[Text]:
    match change:
        case Create(wanted=wanted):
            yield Text(f"+ {title(change)}", "green")
            yield from _fields(wanted)
        case Update(differences=differences, wanted=wanted):
            yield Text(f"~ {title(change)}", "yellow")
            yield from map(_difference, differences)
            yield from _notes(wanted)
        case Replace(differences=differences, present=present):
            yield Text(f"! {title(change)}: {ENDS[present.kind]}", "red")
            yield from map(_difference, differences)
        case Delete(present=present):
            yield Text(f"- {title(change)}: {ENDS[present.kind]}", "red")
        case Join() | IssueToken():
            yield Text(f"~ {title(change)}", "red" if _ends(change) else "yellow")


def _fields(wanted: Resource) -> Iterator[Text]:
    shown = {**wanted.fixed, **wanted.properties}
    for field, value in shown.items():
        of_no_network = field.startswith("wifi.") and not shown.get("wifi.ssid")
        if value not in ("", (), None) and value != wanted.name and not of_no_network:
            yield Text(f"    {field}: {_told(value)}", "dim")
    yield from _notes(wanted)


def _notes(wanted: Resource) -> Iterator[Text]:
    for field in wanted.secrets:
        yield Text(f"    {field}: (not shown)", "dim")
    if wanted.properties.get("legacyAlgorithms"):
        yield Text("    warning: SHA-1 and triple DES are let in; both are broken or worn out", "red")


def _difference(difference: Difference) -> Text:
    return Text(f"    {difference.field}: {_told(difference.before)} → {_told(difference.after)}")


def _told(value: Value) -> str:
    match value:
        case None | "" | ():
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case Binary(told=told):
            return told
        case tuple():
            return ", ".join(item if isinstance(item, str) else _one(item) for item in value)
        case _:
            return str(value)


def _one(item: object) -> str:
    return item.told if isinstance(item, Binary) else str(getattr(item, "name", item))


def _ends(change: Change) -> bool:
    return isinstance(change, Delete | Replace) or (isinstance(change, Join) and bool(change.removed))


def _name(item: object) -> str:
    return str(getattr(item, "name", item))
