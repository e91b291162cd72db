# SPDX-License-Identifier: Apache-2.0
"""`/users`, with their cards and binding codes."""

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import bindings, groups, people, roles
from etymon.directory.bindings import CODE_LIFETIME
from etymon.directory.model import BindingEnd, Person, TerminationReason
from etymon.graph.caller import Caller
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, AdministratorOrOfficer, Reader, Services
from etymon.graph.representations import devices as shown_devices
from etymon.graph.representations import users as shown
from etymon.graph.representations.body import identifier, required
from etymon.graph.representations.users import CardBody, UserBody
from etymon.kernel.errors import NotFound, NotPermitted
from etymon.mdm import desired_state, devices
from etymon.storage.database import Transaction
from etymon.wire import odata

router = APIRouter(tags=["users"])


@router.get("/users")
def list_users(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List people by user principal name."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            "users",
            options,
            fetch=lambda limit: _found(tx, options, limit),
            key=lambda person: person.id,
            show=lambda found: [shown.user(person) for person in found],
        )


@router.post("/users", status_code=201)
def create_user(request: Request, deps: Services, caller: Administrator, body: UserBody) -> Response:
    """Create an account."""
    with deps.database.transaction() as tx:
        person = people.create(
            tx,
            deps,
            user_principal_name=required(body.user_principal_name, "userPrincipalName"),
            display_name=required(body.display_name, "displayName"),
            mail_addresses=body.mail_addresses(),
            actor=caller.actor,
        )
    return answers.entity(request, deps, "users", shown.user(person), status=201)


@router.get("/users/{user}")
def get_user(request: Request, deps: Services, _: Reader, user: str, options: ItemOptions) -> Response:
    """Get a person by id or user principal name."""
    with deps.database.snapshot() as tx:
        person = find(tx, user)
    return answers.entity(request, deps, "users", shown.user(person), options=options)


@router.patch("/users/{user}")
def update_user(
    request: Request, deps: Services, caller: AdministratorOrOfficer, user: str, body: UserBody
) -> Response:
    """Change a person."""
    with deps.database.transaction() as tx:
        before = _openable(tx, caller, user)
        person = people.update(
            tx,
            deps,
            before.id,
            user_principal_name=body.user_principal_name,
            display_name=body.display_name,
            mail_addresses=body.mail_addresses(before.mail_addresses),
            actor=caller.actor,
        )
        desired_state.membership_changed(tx, person.id)
    deps.mdm.wake_ups.wake()
    return answers.entity(request, deps, "users", shown.user(person))


@router.delete("/users/{user}", status_code=204)
def end_user(
    deps: Services, caller: Administrator, user: str, reason: TerminationReason = TerminationReason.UNSPECIFIED
) -> Response:
    """End an account with everything that hangs on it, for good."""
    with deps.database.transaction() as tx:
        person = find(tx, user)
        if person.id == caller.person:
            raise NotPermitted("own_account", "Nobody ends their own account. Ask another administrator.")
        people.end_account(tx, deps, person.id, reason=reason, within=deps.issuer.terminated_within, actor=caller.actor)
    return answers.nothing()


@router.get("/users/{user}/memberOf")
def list_groups_of(request: Request, deps: Services, _: Reader, user: str, options: ListOptions) -> Response:
    """List the groups a person is in."""
    with deps.database.snapshot() as tx:
        ids = sorted(groups.groups_of(tx, find(tx, user).id))
        found = [group for group in (groups.find(tx, id_) for id_ in ids) if group is not None]
    return answers.whole(request, deps, "groups", [shown.group(group) for group in found], options)


@router.get("/users/{user}/managedDevices")
def list_devices_of(request: Request, deps: Services, _: Reader, user: str, options: ListOptions) -> Response:
    """List a person's devices."""
    with deps.database.snapshot() as tx:
        person = find(tx, user)
        found = devices.of_person(tx, person.id)
    items = [shown_devices.device(device, person) for device in found]
    return answers.whole(request, deps, "deviceManagement/managedDevices", items, options)


@router.get("/users/{user}/cards")
def list_cards(request: Request, deps: Services, _: Reader, user: str, options: ListOptions) -> Response:
    """List what stands or stood for a person."""
    with deps.database.snapshot() as tx:
        found = bindings.bindings_of(tx, find(tx, user).id)
    return answers.whole(request, deps, "etymon/cards", [shown.card(binding) for binding in found], options)


@router.post("/users/{user}/cards", status_code=201)
def bind_card(request: Request, deps: Services, caller: AdministratorOrOfficer, user: str, body: CardBody) -> Response:
    """Let a card stand for a person."""
    with deps.database.transaction() as tx:
        person = _openable(tx, caller, user)
        card = {"trust_entry": body.trust_entry, "identifier": body.identifier, "actor": caller.actor}
        if body.replaces is None:
            binding = bindings.bind(tx, deps, person_id=person.id, **card)
        else:
            replaced = _card(tx, person, identifier(body.replaces, "replaces"))
            binding = bindings.replace(tx, deps, replaced, **card)
    return answers.entity(request, deps, "etymon/cards", shown.card(binding), status=201)


@router.delete("/users/{user}/cards/{card}", status_code=204)
def end_card(
    deps: Services,
    caller: AdministratorOrOfficer,
    user: str,
    card: UUID,
    reason: BindingEnd = BindingEnd.UNSPECIFIED,
) -> Response:
    """End a binding."""
    with deps.database.transaction() as tx:
        person = _openable(tx, caller, user)
        bindings.end(tx, deps, _card(tx, person, card), reason=reason, actor=caller.actor)
    return answers.nothing()


@router.post("/users/{user}/issueBindingCode")
def issue_binding_code(deps: Services, caller: AdministratorOrOfficer, user: str) -> Response:
    """Give a one-time code with which the person binds a card."""
    with deps.database.transaction() as tx:
        code = bindings.issue_code(tx, deps, person_id=_openable(tx, caller, user).id, actor=caller.actor)
        expires_at = deps.clock.now() + CODE_LIFETIME
    return answers.answer({"code": code.reveal(), "expiresDateTime": expires_at})


def _card(tx: Transaction, person: Person, card: UUID) -> UUID:
    """Return the id of a card that is or was a person's."""
    if card not in {binding.id for binding in bindings.bindings_of(tx, person.id)}:
        raise NotFound("card_not_found", "This person has no such card.")
    return card


def _openable(tx: Transaction, caller: Caller, user: str) -> Person:
    """Return a person whose cards and names are the caller's to change."""
    return roles.opened(tx, caller.roles, find(tx, user).id, by=caller.person)


def find(tx: Transaction, user: str) -> Person:
    """Return an active person by id or user principal name; raises NotFound."""
    person = _named(tx, user)
    if person is None or not person.active:
        raise NotFound("user_not_found", "There is no such user.")
    return person


def anybody(tx: Transaction, user: str) -> Person:
    """Return a person by id, also one whose account ended, or by the user principal name of a living account."""
    person = _named(tx, user)
    if person is None:
        raise NotFound("user_not_found", "There is no such user. Name one whose account has ended by its id.")
    return person


def people_by_id(tx: Transaction, ids: set[UUID]) -> dict[UUID, Person]:
    """Return the people with these ids, also those whose accounts ended."""
    found = (people.find(tx, id_) for id_ in ids)
    return {person.id: person for person in found if person is not None}


def _named(tx: Transaction, user: str) -> Person | None:
    try:
        return people.find(tx, UUID(user))
    except ValueError:
        return people.by_user_principal_name(tx, user) if user.isprintable() else None


def _found(tx: Transaction, options: answers.Options, limit: int) -> list[Person]:
    """Return a page of people; one who is asked for by name is found by name."""
    match options.condition:
        case odata.Comparison("userPrincipalName", "eq", str(name)) if options.after is None:
            person = people.by_user_principal_name(tx, name) if name.isprintable() else None
            return [person] if person is not None else []
        case _:
            return people.page(tx, after=options.after_id(), limit=limit)
