# SPDX-License-Identifier: Apache-2.0
"""What PATCH makes of a User (RFC 7644 §3.5.2): the document that PUT would have sent."""

import copy
from collections.abc import Sequence
from typing import Any, Final

from etymon.directory.http.schema import PIV, PIV_ATTRIBUTES, USER_ATTRIBUTES, Document
from etymon.directory.model import BindingEnd
from etymon.kernel.errors import Malformed
from etymon.wire.scim import CORE, Operation, Path

_CORE_NAMES: Final = {attribute["name"].lower(): attribute["name"] for attribute in USER_ATTRIBUTES} | {
    "externalid": "externalId"
}
_PIV_NAMES: Final = {
    attribute["name"].lower(): attribute["name"]
    for attribute in PIV_ATTRIBUTES
    if attribute["mutability"] != "readOnly"
}
_LISTS: Final = {
    attribute["name"]: {sub["name"].lower(): sub["name"] for sub in attribute["subAttributes"]}
    for attribute in (*USER_ATTRIBUTES, *PIV_ATTRIBUTES)
    if attribute["multiValued"]
}
_READ_ONLY: Final = frozenset({"id", "meta", "schemas", "terminatedat", "dueat", "closedat"})
_ENDED: Final = BindingEnd.UNSPECIFIED.value


def patched(user: Document, operations: Sequence[Operation]) -> Document:
    """Return a User as the operations make it.

    Cards end by their `state`, or by being removed one by one: nothing ends because it was left out.
    """
    changed = copy.deepcopy(user)
    cards = changed.setdefault(PIV, {}).get("cards", [])
    changed[PIV]["cards"] = []  # only what is named
    for operation in operations:
        _apply(changed, cards, operation)
    return changed


def _apply(user: Document, cards: list[Document], operation: Operation) -> None:
    path, value = operation.path, operation.value
    if path is not None and f"{path.schema}:{path.name}" != PIV.lower():
        _at(user, cards, operation, path, value)
        return
    if operation.op == "remove":
        raise Malformed("mutability", "The account's status and cards are not removed as a whole.")
    for name, one in _members(value if path is None else {PIV: value}).items():
        if name.lower() == PIV.lower():
            for piv_name, piv_value in _members(one).items():
                if piv_name.lower() == "schemas":
                    continue  # some clients say again which schema it is
                _at(user, cards, operation, Path(PIV.lower(), piv_name.lower()), piv_value)
        else:
            schema, _, last = name.rpartition(":")
            _at(user, cards, operation, Path(schema.lower(), last.lower()), one)


def _members(value: object) -> Document:
    if not isinstance(value, dict):
        raise Malformed("invalidValue", "What has no path of an attribute is an object of attributes.")
    return value


def _at(user: Document, cards: list[Document], operation: Operation, path: Path, value: Any) -> None:
    holder, name = _target(user, path)
    if name in _LISTS:
        _in_list(holder, name, cards if name == "cards" else holder.setdefault(name, []), operation, path, value)
    elif path.by or path.sub:
        raise _path_unknown()
    elif operation.op == "remove":
        if name in {"userName", "active", "accountStatus"}:
            raise Malformed("mutability", f"{name} cannot be removed.")
        holder.pop(name, None)
    else:
        holder[name] = value


def _target(user: Document, path: Path) -> tuple[Document, str]:
    if path.name in _READ_ONLY:
        raise Malformed("mutability", f"{path.name} is read-only.")
    if path.schema in {"", CORE.lower()} and path.name in _CORE_NAMES:
        return user, _CORE_NAMES[path.name]
    if path.schema == PIV.lower() and path.name in _PIV_NAMES:
        return user[PIV], _PIV_NAMES[path.name]
    raise _path_unknown()


def _in_list(
    holder: Document, name: str, present: list[Document], operation: Operation, path: Path, value: Any
) -> None:
    parts = _LISTS[name]
    if path.by:
        if path.by not in parts or (path.sub and path.sub not in parts):
            raise _path_unknown()
        chosen = [one for one in present if one.get(parts[path.by]) == path.value]
        if not chosen:
            raise Malformed("noTarget", f"{name} has no such element.")
        _change(holder, name, chosen, operation, parts.get(path.sub, ""), value)
        return
    if path.sub:
        raise _path_unknown()
    if operation.op == "remove":
        if name == "cards":
            raise Malformed("mutability", "Cards are removed one by one, each by its identifier.")
        holder.pop(name, None)
        return
    wanted = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in wanted):
        raise Malformed("invalidValue", f"{name} is a list of objects.")
    if name == "emails":
        holder[name] = _addresses(present if operation.op == "add" else [], wanted)
    else:
        holder[name] += wanted


def _change(holder: Document, name: str, chosen: list[Document], operation: Operation, sub: str, value: Any) -> None:
    """Change, or remove, elements of a list; a card that is removed has ended, for a reason nobody told."""
    if operation.op == "remove":
        if sub:
            raise Malformed("mutability", "A part of an element cannot be removed.")
        if name == "cards":
            holder[name] += [{**_written(one), "state": _ENDED} for one in chosen]
        else:
            holder[name] = [one for one in holder[name] if one not in chosen]
        return
    given = {sub: value} if sub else value
    if not isinstance(given, dict):
        raise Malformed("invalidValue", "An element is an object.")
    if name == "cards":
        holder[name] += [{**_written(one), **given} for one in chosen]
    else:
        for one in chosen:
            one.update(given)


def _written(card: Document) -> Document:
    return {part: card[part] for part in ("trustEntry", "identifier", "state")}


def _addresses(present: list[Document], wanted: list[Document]) -> list[Document]:
    """Return addresses with more of them; a new primary one takes the place of the old."""
    fresh = {str(one.get("value", "")).lower() for one in wanted}
    kept = [one for one in present if str(one.get("value", "")).lower() not in fresh]
    if any(one.get("primary") is True for one in wanted):
        kept = [{**one, "primary": False} for one in kept]
    return [*kept, *wanted]


def _path_unknown() -> Malformed:
    return Malformed("invalidPath", "There is no such attribute to change; see /scim/v2/Schemas.")
