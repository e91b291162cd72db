# SPDX-License-Identifier: Apache-2.0
"""`/etymon`: trust entries, issuance rules and roles."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from etymon.directory import bindings, roles, separation, trust
from etymon.directory.model import CONFIRMED_ROLES, Person, Role
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, AdministratorOrOfficer, Officer, Reader, Services
from etymon.graph.http.users import find, people_by_id
from etymon.graph.representations import trust as shown
from etymon.graph.representations.trust import ConfirmedBody, IssuanceRuleBody, RolesBody, TrustEntryBody
from etymon.issuer import issuance_rules
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotFound, NotPermitted
from etymon.storage.database import Transaction

router = APIRouter(tags=["etymon"])

TRUST_ENTRIES: Final = "/etymon/trustEntries"
ISSUANCE_RULES: Final = "/etymon/issuanceRules"
ROLES: Final = "/etymon/roles"

Name = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
"""Names in addresses. A database takes no NUL, and no name has another control character."""


@router.get(TRUST_ENTRIES)
def list_trust_entries(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List trust entries by name."""
    with deps.database.snapshot() as tx:
        found = trust.entries(tx)
    return answers.whole(request, deps, TRUST_ENTRIES[1:], [shown.trust_entry(entry) for entry in found], options)


@router.get(TRUST_ENTRIES + "/{name}")
def get_trust_entry(request: Request, deps: Services, _: Reader, name: Name, options: ItemOptions) -> Response:
    """Get a trust entry."""
    with deps.database.snapshot() as tx:
        entry = trust.entry(tx, name)
    return answers.entity(request, deps, TRUST_ENTRIES[1:], shown.trust_entry(entry), options=options)


@router.put(TRUST_ENTRIES + "/{name}", responses={201: {"description": "Created"}})
def put_trust_entry(
    request: Request, deps: Services, caller: Administrator, name: Name, body: TrustEntryBody
) -> Response:
    """Save a trust entry, new or in place of the one of its name."""
    entry = body.entry(name)
    with deps.database.transaction() as tx:
        is_new = all(known.name != name for known in trust.entries(tx))
        trust.save(tx, deps, entry, actor=caller.actor)
    status = 201 if is_new else 200
    return answers.entity(request, deps, TRUST_ENTRIES[1:], shown.trust_entry(entry), status=status)


@router.delete(TRUST_ENTRIES + "/{name}", status_code=204)
def delete_trust_entry(deps: Services, caller: Administrator, name: Name) -> Response:
    """Remove a trust entry and end the bindings under it."""
    with deps.database.transaction() as tx:
        trust.remove(tx, deps, name, actor=caller.actor)
    return answers.nothing()


@router.get(ISSUANCE_RULES)
def list_issuance_rules(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List the issuance rules in force by name."""
    with deps.database.snapshot() as tx:
        found = issuance_rules.in_force(tx)
    return answers.whole(request, deps, ISSUANCE_RULES[1:], [shown.issuance_rule(rule) for rule in found], options)


@router.get(ISSUANCE_RULES + "/{name}")
def get_issuance_rule(request: Request, deps: Services, _: Reader, name: Name, options: ItemOptions) -> Response:
    """Get an issuance rule."""
    with deps.database.snapshot() as tx:
        rule = next((rule for rule in issuance_rules.in_force(tx) if rule.name == name), None)
    if rule is None:
        raise NotFound("issuance_rule_unknown", "There is no such issuance rule.")
    return answers.entity(request, deps, ISSUANCE_RULES[1:], shown.issuance_rule(rule), options=options)


@router.put(ISSUANCE_RULES + "/{name}", responses={201: {"description": "Created"}})
def put_issuance_rule(
    request: Request, deps: Services, caller: Officer, name: Name, body: IssuanceRuleBody
) -> Response:
    """Put a rule in force, new or in place of the one of its name."""
    wanted = body.rule(random_id(deps.entropy), name, caller.person, deps.clock.now())
    with deps.database.transaction() as tx:
        is_new = all(known.name != name for known in issuance_rules.in_force(tx))
        rule = issuance_rules.save(tx, deps.issuer, wanted, officer=caller.person)
    status = 201 if is_new else 200
    return answers.entity(request, deps, ISSUANCE_RULES[1:], shown.issuance_rule(rule), status=status)


@router.delete(ISSUANCE_RULES + "/{name}", status_code=204)
def delete_issuance_rule(deps: Services, caller: Officer, name: Name) -> Response:
    """Withdraw a rule; nothing begins or goes on under it."""
    with deps.database.transaction() as tx:
        issuance_rules.withdraw(tx, deps.issuer, name, officer=caller.person)
    return answers.nothing()


@router.get(ROLES)
def list_roles(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List who has a role."""
    with deps.database.snapshot() as tx:
        holders: dict[UUID, Person] = {}
        for role in Role:
            holders |= {person.id: person for person in roles.holders(tx, role, limit=roles.PAGE_LIMIT)}
        items = [_roles(tx, holders[id_]) for id_ in sorted(holders)]
    return answers.whole(request, deps, ROLES[1:], items, options)


@router.get(ROLES + "/{user}")
def get_roles(request: Request, deps: Services, _: Reader, user: str, options: ItemOptions) -> Response:
    """Get the roles of a person."""
    with deps.database.snapshot() as tx:
        item = _roles(tx, find(tx, user))
    return answers.entity(request, deps, ROLES[1:], item, options=options)


@router.put(ROLES + "/{user}")
def put_roles(request: Request, deps: Services, caller: AdministratorOrOfficer, user: str, body: RolesBody) -> Response:
    """Give a person exactly these roles. Nobody changes their own, and each role has those who give it."""
    wanted = frozenset(map(Role, body.roles))
    with deps.database.transaction() as tx:
        person = find(tx, user)
        if person.id == caller.person:
            raise NotPermitted("own_roles", "Nobody changes their own roles. Ask another administrator.")
        present = roles.roles_of(tx, person.id)
        separation.require_may_give(caller.roles, present ^ wanted)
        for role in sorted(present - wanted, key=lambda role: role.value):
            roles.withdraw(tx, deps, person.id, role, actor=caller.actor, authority=body.authority)
        for role in sorted(wanted - present, key=lambda role: role.value):
            roles.assign(tx, deps, person.id, role, actor=caller.actor, authority=body.authority, by=caller.person)
        item = _roles(tx, person)
    return answers.entity(request, deps, ROLES[1:], item)


@router.post(ROLES + "/{user}/confirm")
def confirm_role(request: Request, deps: Services, caller: Administrator, user: str, body: ConfirmedBody) -> Response:
    """Confirm the appointment that the administrator saw; until then the role counts for nothing."""
    seen = body.seen()
    with deps.database.transaction() as tx:
        person = find(tx, user)
        roles.confirm(tx, deps, person.id, Role(body.role), seen=seen, by=caller.person)
        item = _roles(tx, person)
    return answers.entity(request, deps, ROLES[1:], item)


def _roles(tx: Transaction, person: Person) -> dict[str, object]:
    held = roles.appointments(tx, person.id)
    confirmed = [each for each in held if each.role in CONFIRMED_ROLES]
    others = {id_ for each in confirmed for id_ in (each.appointed_by, each.confirmed_by) if id_}
    cards = bindings.live_cards_of(tx, person.id) if confirmed else ()
    return shown.roles(person, held, cards, people_by_id(tx, others))
