# SPDX-License-Identifier: Apache-2.0
"""Users as SCIM has them: from an identity account and back, and what PATCH makes of one."""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from etymon.directory.http.schema import ACTIVE, IN_USE, PIV, PIV_ATTRIBUTES, TERMINATED, USER_ATTRIBUTES, Document
from etymon.directory.identity_accounts import CardName, CardWish, IdentityAccount, Wish
from etymon.directory.model import ADDRESSES_LIMIT, BindingEnd, TerminationReason
from etymon.kernel.errors import Malformed
from etymon.wire.scim import CORE

MOST_CARDS: Final = 20
LONGEST_EXTERNAL_ID: Final = 200

_ALWAYS: Final = frozenset({"schemas", "id", "externalid", "meta"})


def shown(account: IdentityAccount, root: str) -> Document:
    """Return an account as a User; its version is a digest of all of it."""
    person = account.person
    piv: Document = {"accountStatus": ACTIVE if person.active else TERMINATED}
    if account.termination is not None:
        ended = account.termination
        piv["terminationReason"] = ended.reason.value
        piv |= _times(terminatedAt=ended.reported_at, dueAt=ended.due_at, closedAt=ended.closed_at)
    if account.cards:
        piv["cards"] = [
            {
                "trustEntry": card.trust_entry,
                "identifier": card.identifier,
                "state": IN_USE if card.ended_at is None else card.end_reason or BindingEnd.UNSPECIFIED.value,
                **_times(boundAt=card.bound_at, endedAt=card.ended_at),
            }
            for card in account.cards
        ]
    user: Document = {"schemas": [CORE, PIV], "id": str(person.id)}
    if account.external_id is not None:
        user["externalId"] = account.external_id
    user |= {"userName": person.user_principal_name, "displayName": person.display_name, "active": person.active}
    if person.mail_addresses:
        user["emails"] = [
            {"value": address, "type": "work", "primary": position == 0}
            for position, address in enumerate(person.mail_addresses)
        ]
    user[PIV] = piv
    meta = {"resourceType": "User", "location": f"{root}/Users/{person.id}", "version": _version(user)}
    return {**user, "meta": {**meta, **_times(created=account.created_at, lastModified=account.modified_at)}}


def selected(user: Document, attributes: str, excluded: str) -> Document:
    """Return the attributes that are asked for (RFC 7644 §3.9); `id` and `schemas` in any case."""
    if attributes:
        wanted = {_short(name) for name in attributes.split(",")} | {"schemas", "id"}
        return {name: value for name, value in user.items() if _among(name, wanted)}
    unwanted = {_short(name) for name in excluded.split(",")} - {"schemas", "id"}
    return {name: value for name, value in user.items() if name.lower() not in unwanted}


def wished(document: Mapping[str, Any], before: IdentityAccount | None = None) -> Wish:
    """Read how an account is to be; raises Malformed with the names of RFC 7644 §3.12.

    What a User has no word for is refused; what is read-only is left alone. Of what is absent, the end of the account
    and cards stay as they are.
    """
    core = _fields(document, USER_ATTRIBUTES, also={*_ALWAYS, PIV.lower()}, where="User")
    piv = _fields(_object(core.get(PIV.lower(), {}), PIV), PIV_ATTRIBUTES, where=PIV)
    user_name = _text(core.get("username"), "userName")
    external = core.get("externalid")
    return Wish(
        user_principal_name=user_name,
        display_name=_text(core.get("displayname") or user_name, "displayName"),
        mail_addresses=_addresses(core.get("emails") or []),
        external_id=None if external is None else _text(external, "externalId", limit=LONGEST_EXTERNAL_ID),
        termination=_termination(core.get("active"), piv, before),
        cards=tuple(_card(one) for one in _list(piv.get("cards") or [], "cards", most=MOST_CARDS)),
    )


def _termination(active: object, piv: Mapping[str, object], before: IdentityAccount | None) -> TerminationReason | None:
    status, reason = piv.get("accountstatus"), piv.get("terminationreason")
    if active is not None and not isinstance(active, bool):
        raise _value("active is true or false.")
    if status is not None and status not in {ACTIVE, TERMINATED}:
        raise _value(f"accountStatus is {ACTIVE} or {TERMINATED}.")
    was_active = before is None or before.person.active
    ends = active is False or status == TERMINATED
    stays = active is True or status == ACTIVE
    if was_active and before is not None and ends and stays:
        stays = False  # one of both was changed and the other is as it was
    if ends and stays:
        raise _value("active and accountStatus say the same.")
    if not was_active and stays and not ends:
        raise Malformed("mutability", "An account that has ended does not come back. Create a new one.")
    if not ends and (was_active or reason is None):
        if reason is not None:
            raise _value("terminationReason goes with accountStatus terminated.")
        return None
    try:
        return TerminationReason.UNSPECIFIED if reason is None else TerminationReason(str(reason))
    except ValueError as exc:
        raise _value(f"terminationReason is one of {', '.join(TerminationReason)}.") from exc


def _card(one: Mapping[str, object]) -> CardWish:
    sub = next(attribute for attribute in PIV_ATTRIBUTES if attribute["name"] == "cards")["subAttributes"]
    card = _fields(one, sub, where="cards")
    name = CardName(_text(card.get("trustentry"), "trustEntry"), _text(card.get("identifier"), "identifier"))
    state = card.get("state", IN_USE)
    try:
        end = None if state == IN_USE else BindingEnd(str(state))
    except ValueError as exc:
        raise _value(f"state is {IN_USE} or one of {', '.join(BindingEnd)}.") from exc
    replaces = card.get("replaces")
    if replaces is None:
        return CardWish(name, end)
    if end is not None:
        raise _value("A card that takes another's place is active.")
    entry = card.get("replacestrustentry")
    before = CardName(
        name.trust_entry if entry is None else _text(entry, "replacesTrustEntry"), _text(replaces, "replaces")
    )
    return CardWish(name, None, before)


def _addresses(value: object) -> tuple[str, ...]:
    sub = next(attribute for attribute in USER_ATTRIBUTES if attribute["name"] == "emails")["subAttributes"]
    found = [
        _fields(one, sub, also={"display"}, where="emails") for one in _list(value, "emails", most=ADDRESSES_LIMIT)
    ]
    if sum(one.get("primary") is True for one in found) > 1:
        raise _value("One address is primary.")
    found.sort(key=lambda one: one.get("primary") is not True)
    return tuple(_text(one.get("value"), "emails.value") for one in found)


def _fields(
    document: Mapping[str, Any], attributes: Collection[Document], *, also: Collection[str] = (), where: str
) -> dict[str, Any]:
    """Return what was sent under known names, in lower case, without what is read-only (RFC 7644 §3.5.1)."""
    known = {attribute["name"].lower(): attribute for attribute in attributes}
    found: dict[str, Any] = {}
    for name, value in document.items():
        folded = name.lower()
        if folded not in known and folded not in also:
            raise Malformed("invalidSyntax", f"{where} has no attribute {name[:60]!r} here; see /scim/v2/Schemas.")
        if folded in found:
            raise Malformed("invalidSyntax", f"{name[:60]!r} is there twice.")
        if folded in also or known[folded]["mutability"] != "readOnly":
            found[folded] = value
    return found


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _value(f"{name} is an object.")
    return value


def _list(value: object, name: str, *, most: int) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, dict) for one in value):
        raise _value(f"{name} is a list of at most {most} objects.")
    return value


def _text(value: object, name: str, *, limit: int = 320) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise _value(f"{name} is a printable text of at most {limit} characters.")
    return value


def _value(detail: str) -> Malformed:
    return Malformed("invalidValue", detail)


def _short(name: str) -> str:
    """Return the name of the attribute that a name, with its schema or a part, is of."""
    plain = name.strip().lower()
    if plain.startswith(PIV.lower()):
        return PIV.lower()
    return plain.removeprefix(f"{CORE.lower()}:").partition(".")[0]


def _among(name: str, wanted: Collection[str]) -> bool:
    return name.lower() in wanted


def _version(user: Document) -> str:
    digest = hashlib.sha256(json.dumps(user, sort_keys=True).encode()).hexdigest()
    return f'W/"{digest[:24]}"'


def _times(**moments: datetime | None) -> Document:
    return {
        name: moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        for name, moment in moments.items()
        if moment is not None
    }
