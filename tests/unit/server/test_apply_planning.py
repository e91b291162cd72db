# SPDX-License-Identifier: Apache-2.0
"""Plans as values: what is done, in which order, what stays, and what is refused."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.kernel.errors import Conflict, Malformed
from etymon.kernel.secret import Secret
from etymon.server.apply import planning, presentation, reading
from etymon.server.apply.change import Create, Delete, IssueToken, Join, Plan, Replace, Update
from etymon.server.apply.planning import Passwords, Pruning
from etymon.server.apply.resource import (
    CLOSED,
    SINGLE,
    Card,
    HeldRole,
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
from support import organizations

ENTRY = Resource(Kind.TRUST_ENTRY, "cards", {"kind": "card"}, id="cards")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        organizations.write_certificates(Path(name))
        yield Path(name)


def organization(*resources: Resource, empty: Iterable[Kind] = ()) -> Organization:
    sections: dict[Kind, tuple[Resource, ...]] = dict.fromkeys(empty, ())
    for resource in resources:
        sections[resource.kind] = (*sections.get(resource.kind, ()), resource)
    return Organization("Test Agency", sections)


def user(
    name: str,
    *cards: str,
    display_name: str = "Somebody",
    roles: Iterable[str] | None = None,
    authority: str = "letter",
) -> Resource:
    links: dict[Link, frozenset[Reference | LeftOut | Card | HeldRole]] = {
        Link.CARDS: frozenset(Card("cards", card) for card in cards)
    }
    if roles is not None:
        links[Link.ROLES] = frozenset(map(HeldRole, roles))
    properties: dict[str, Value] = {"displayName": display_name}
    id_ = f"id-{name}"
    return Resource(Kind.USER, f"{name}@agency.test", properties, links=links, id=id_, roles_authority=authority)


def group(name: str, *members: str) -> Resource:
    joined = frozenset(Reference(Kind.USER, f"{member}@agency.test") for member in members)
    return Resource(Kind.GROUP, name, {"name": name}, links={Link.MEMBERS: joined}, id=f"id-{name}")


def rule(name: str, *groups: str) -> Resource:
    references = tuple(Reference(Kind.GROUP, each) for each in groups)
    return Resource(Kind.ISSUANCE_RULE, name, {"groups": references}, id=name)


def present(*resources: Resource) -> Sections:
    return organization(*resources).sections


def plan(wanted: Organization, there: Sections, pruning: Pruning = Pruning.KEEP, *, operator: str = "") -> Plan:
    return planning.plan(wanted, there, pruning, operator=operator)


def done(there: Sections, changes: Plan) -> Sections:
    """Do a plan to sections in memory."""
    state = {(kind, _key(resource)): resource for kind, part in there.items() for resource in part}
    for change in changes.changes:
        place = (change.subject.kind, "" if change.subject.kind in SINGLE else change.subject.key[1])
        match change:
            case Create(wanted=wanted) | Replace(wanted=wanted):
                state[place] = replace(wanted, links={}, token_days=0, secrets={}, id=f"made-{wanted.name}")
            case Update(present=before, wanted=wanted):
                properties = {**before.properties, **wanted.properties}
                state[place] = replace(before, name=wanted.name, properties=properties)
            case Delete():
                del state[place]
            case IssueToken():
                state[place] = replace(state[place], has_token=True)
            case Join(link=link, added=added, removed=removed, after=after):
                before_links = state[place].links.get(link, frozenset())
                assert after == (before_links | added) - removed
                state[place] = replace(state[place], links={**state[place].links, link: after})
    sections: dict[Kind, tuple[Resource, ...]] = {}
    for (kind, _), resource in state.items():
        sections[kind] = (*sections.get(kind, ()), resource)
    return sections


def _key(resource: Resource) -> str:
    return "" if resource.kind in SINGLE else resource.reference.key[1]


@settings(max_examples=30)
@given(data=st.data())
def test_after_a_plan_is_done_there_is_nothing_to_do(folder: Path, data: st.DataObject) -> None:
    first, second = (
        reading.read(organizations.written(folder, data.draw(organizations.organizations()))) for _ in range(2)
    )
    state = done({}, plan(first, {}))
    assert plan(first, state).changes == ()
    state = done(state, plan(second, state, Pruning.END))
    assert plan(second, state, Pruning.END).changes == ()
    assert plan(second, state).changes == ()


@settings(max_examples=30)
@given(data=st.data())
def test_without_pruning_nothing_that_is_there_ends(folder: Path, data: st.DataObject) -> None:
    first, second = (
        reading.read(organizations.written(folder, data.draw(organizations.organizations()))) for _ in range(2)
    )
    state = done({}, plan(first, {}))
    changes = plan(second, state)
    assert not [change for change in changes.changes if isinstance(change, Delete | Replace)]
    assert not [change for change in changes.changes if isinstance(change, Join) and change.removed]
    after = done(state, changes)
    for kind, part in state.items():
        left = {_key(resource): resource for resource in after[kind]}
        for resource in part:
            for link, joined in resource.links.items():
                assert joined <= left[_key(resource)].links[link]


def test_a_thing_is_made_after_what_it_refers_to_and_ends_before_it() -> None:
    wanted = organization(rule("R", "G"), group("G", "ana"), user("ana", "1"), ENTRY)
    kinds = [(type(change), change.subject.kind) for change in plan(wanted, {}).changes]
    assert kinds == [
        (Create, Kind.TRUST_ENTRY),
        (Create, Kind.USER),
        (Join, Kind.USER),
        (Create, Kind.GROUP),
        (Join, Kind.GROUP),
        (Create, Kind.ISSUANCE_RULE),
    ]
    there = present(rule("R", "G"), group("G"), ENTRY)
    nothing = organization(empty=(Kind.TRUST_ENTRY, Kind.GROUP, Kind.ISSUANCE_RULE))
    ended = [change.subject.kind for change in plan(nothing, there, Pruning.END).changes]
    assert ended == [Kind.ISSUANCE_RULE, Kind.GROUP, Kind.TRUST_ENTRY]


def test_trusted_roots_come_before_networks_and_end_after_them() -> None:
    def configuration(name: str, kind: str) -> Resource:
        return Resource(Kind.CONFIGURATION, name, {}, fixed={"type": kind}, id=name)

    network, root = configuration("A network", "wifi"), configuration("Root", "trustedRoot")
    made = plan(organization(network, root), {}).changes
    assert [change.subject.name for change in made] == ["Root", "A network"]
    ended = plan(organization(empty=(Kind.CONFIGURATION,)), present(network, root), Pruning.END).changes
    assert [change.subject.name for change in ended] == ["A network", "Root"]


def test_what_is_not_in_the_file_stays_without_pruning_and_is_told() -> None:
    there = present(user("ana"), user("ben"), group("G", "ana", "ben"), ENTRY)
    wanted = organization(user("ana"), group("G", "ana"))
    kept = plan(wanted, there)
    assert kept.changes == ()
    assert [(item.subject.name, item.why) for item in kept.kept] == [
        ("ben@agency.test", "is not in the file"),
        ("G", "members: ben@agency.test, not in the file"),
    ]
    ended = plan(wanted, there, Pruning.END)
    assert [type(change) for change in ended.changes] == [Delete, Join]
    assert ended.kept == ()


def test_whoever_holds_a_role_is_never_ended() -> None:
    officer = replace(user("ola"), kept_because="holds the role officer")
    found = plan(organization(empty=(Kind.USER,)), present(officer), Pruning.END)
    assert found.changes == ()
    assert found.kept[0].why == "holds the role officer"


def test_nobody_changes_their_own_roles() -> None:
    there, wanted = present(user("ana", roles=["administrator"]), ENTRY), user("ana", roles=["auditor"])
    found = plan(organization(wanted), there, Pruning.END, operator="id-ana")
    assert found.changes == ()
    assert "their own roles" in found.kept[0].why
    assert plan(organization(wanted), there, Pruning.END, operator="id-ben").changes


def test_a_role_is_lost_before_another_is_given() -> None:
    there = present(user("ana", roles=["auditor"]), user("ben", roles=["officer"]), ENTRY)
    wanted = organization(user("ana", roles=["officer"]), user("ben", roles=["auditor"]))
    changes = [change for change in plan(wanted, there, Pruning.END).changes if isinstance(change, Join)]
    assert [bool(change.removed) for change in changes] == [True, True, False, False]


def test_no_role_is_given_or_taken_on_nobodys_authority() -> None:
    there, alike = present(user("ana"), user("ben", roles=["officer"])), user("ben", roles=["officer"], authority="")
    for wanted in (user("ana", roles=["operator"], authority=""), user("ben", roles=[], authority="")):
        with pytest.raises(Malformed, match="on whose authority the roles of") as caught:
            plan(organization(wanted), there, Pruning.END)
        assert caught.value.code == "authority_missing"
    assert not plan(organization(user("ana"), alike), there, Pruning.END).changes


def test_roles_and_accounts_of_officers_are_the_officers_to_change() -> None:
    there = present(user("ana"), user("ola", roles=["officer"]), ENTRY)
    wanted = organization(user("ana", roles=["operator", "auditor"]), user("ola", "7", roles=["officer"]), ENTRY)
    given = {("ana@agency.test", Link.ROLES, Role.ADMINISTRATOR), ("ana@agency.test", Link.ROLES, Role.OFFICER)}
    for operator, cards in (("id-ola", {("ola@agency.test", Link.CARDS, Role.OFFICER)}), ("id-olaf", set())):
        found = plan(wanted, there, operator=operator)
        changes = [change for change in found.changes if isinstance(change, Join)]
        assert {(change.subject.name, change.link, change.keeper) for change in changes} == given | cards
        assert [kept.why for kept in found.kept] == ([] if cards else [CLOSED["officer"]])


@pytest.mark.parametrize("held", ["officer", "keyRecoveryAgent"])
def test_what_nobody_else_changes_of_an_account_stays_and_the_rest_is_done(held: str) -> None:
    there = present(user("kim", roles=[held]), ENTRY)
    wanted = user("kim", "7", display_name="Kim", roles=[held])
    found = plan(organization(wanted, group("staff", "kim"), ENTRY), there)
    assert {change.subject.kind for change in found.changes} == {Kind.GROUP}
    assert [kept.why for kept in found.kept] == [CLOSED[held]] * 2
    opened = plan(organization(wanted, ENTRY), there, operator="id-kim").changes
    assert [type(change) for change in opened] == ([Update, Join] if held == "officer" else [])


def test_a_card_goes_to_another_person_only_with_pruning_and_is_free_first() -> None:
    there = present(user("ana", "7"), user("ben"), ENTRY)
    wanted = organization(user("ana"), user("ben", "7"))
    with pytest.raises(Conflict, match=r"it is ana@agency\.test's"):
        plan(wanted, there)
    first, second = plan(wanted, there, Pruning.END).changes
    assert (first.subject.name, second.subject.name) == ("ana@agency.test", "ben@agency.test")
    assert isinstance(first, Join)
    assert not first.after


@pytest.mark.parametrize("held", ["officer", "keyRecoveryAgent"])
def test_a_card_that_the_operator_may_not_take_goes_to_nobody(held: str) -> None:
    there = present(user("ola", "7", roles=[held]), user("ana"), ENTRY)
    wanted = organization(user("ola", roles=[held]), user("ana", "7"))
    with pytest.raises(Conflict, match="card_of_another") as refused:
        plan(wanted, there, Pruning.END, operator="id-other")
    assert CLOSED[held] in refused.value.detail
    if held == "officer":
        assert plan(wanted, there, Pruning.END, operator="id-ola").changes


def test_an_account_that_ends_frees_its_card_for_one_that_begins() -> None:
    there = present(user("ana-before", "7"), ENTRY)
    changes = plan(organization(user("ana", "7")), there, Pruning.END).changes
    assert [type(change) for change in changes] == [Delete, Create, Join]
    with pytest.raises(Conflict, match="card_of_another"):
        plan(organization(user("ana", "7")), there)


def test_one_card_is_not_two_peoples() -> None:
    with pytest.raises(Conflict, match="Write it for one of them"):
        plan(organization(user("ana", "7"), user("ben", "7"), ENTRY), {})


def test_a_name_that_is_nowhere_is_refused_with_its_place() -> None:
    wanted = organization(group("G", "nobody"), rule("R", "no group"))
    with pytest.raises(Malformed) as caught:
        plan(wanted, {})
    assert "group G, members: no user is called nobody@agency.test" in caught.value.detail
    assert "issuance rule R, groups: no group is called no group" in caught.value.detail


def test_a_name_that_pruning_would_end_is_refused_too() -> None:
    there = present(group("old"))
    wanted = organization(rule("R", "old"), empty=(Kind.GROUP,))
    assert plan(wanted, there).changes
    with pytest.raises(Malformed, match="no group is called old"):
        plan(wanted, there, Pruning.END)


def test_a_name_that_two_things_have_is_refused() -> None:
    twice = [Resource(Kind.CONFIGURATION, "C", {}, fixed={"type": "wifi"}, id=id_) for id_ in "ab"]
    with pytest.raises(Conflict, match="2 things of kind configuration called C"):
        plan(organization(twice[0]), present(*twice))
    assert len(plan(organization(empty=(Kind.CONFIGURATION,)), present(*twice), Pruning.END).changes) == 2


def test_what_cannot_be_changed_in_place_is_made_anew_only_with_pruning() -> None:
    there = present(Resource(Kind.ISSUER, "Issuer", {"helpUrl": ""}, fixed={"url": "https://old.test"}, id="1"))
    wanted = organization(Resource(Kind.ISSUER, "Issuer", {"helpUrl": ""}, fixed={"url": "https://new.test"}))
    kept = plan(wanted, there)
    assert kept.changes == ()
    assert "differs in url" in kept.kept[0].why
    (change,) = plan(wanted, there, Pruning.END).changes
    assert isinstance(change, Replace)


def test_people_and_groups_are_found_in_any_case_and_other_names_are_not() -> None:
    there = present(user("ana"), group("staff", "ana"), rule("staff", "staff"), ENTRY)
    wanted = organization(
        replace(user("ana"), name="ANA@agency.test"),
        replace(group("STAFF", "Ana"), properties={}),
        rule("Staff", "Staff"),
    )
    (change,) = plan(wanted, there).changes
    assert isinstance(change, Create)
    assert change.subject == Reference(Kind.ISSUANCE_RULE, "Staff")


def test_only_what_differs_is_changed_and_a_password_goes_again_when_asked() -> None:
    there = present(Resource(Kind.ENROLLMENT_PROFILE, "P", {"name": "P", "description": "a"}, id="1", has_token=True))
    same = Resource(
        Kind.ENROLLMENT_PROFILE, "P", {"name": "P", "description": "a"}, secrets={"wifi.password": Secret("hush")}
    )
    assert plan(organization(same), there).changes == ()
    (again,) = planning.plan(organization(same), there, passwords=Passwords.AGAIN).changes
    assert isinstance(again, Update)
    assert again.differences == ()
    (changed,) = plan(organization(replace(same, properties={"name": "P", "description": "b"})), there).changes
    assert isinstance(changed, Update)
    assert [difference.field for difference in changed.differences] == ["description"]
    shown = "\n".join(line.plain for line in presentation.lines(Plan((changed,))))
    assert "description: a → b" in shown
    assert "hush" not in shown


def test_a_token_is_made_only_where_none_is_valid() -> None:
    wanted = organization(Resource(Kind.ENROLLMENT_PROFILE, "P", {}, token_days=30))
    for has_token in (True, False):
        there = present(Resource(Kind.ENROLLMENT_PROFILE, "P", {}, has_token=has_token, id="1"))
        assert [type(change) for change in plan(wanted, there).changes] == ([] if has_token else [IssueToken])


def test_a_plan_is_split_by_who_may_write() -> None:
    whole = plan(organization(rule("R", "G"), group("G")), {})
    assert [change.subject.name for change in whole.part_of([Role.ADMINISTRATOR]).changes] == ["G"]
    assert [change.subject.name for change in whole.part_of([Role.OFFICER]).changes] == ["R"]
    assert whole.remaining_for(Role.OFFICER) == 1


def test_a_plan_is_told_with_what_ends() -> None:
    there = present(user("ana"), group("G", "ana"), ENTRY)
    found = plan(organization(group("G"), empty=(Kind.USER,)), there, Pruning.END)
    told = [line.plain for line in presentation.lines(found)]
    assert told == [
        "- end user ana@agency.test: ends the account with its cards, devices and credentials, for good",
        "~ group G: members - ana@agency.test",
    ]
    assert presentation.summary(found) == "2 changes; 2 of them end something."
    assert presentation.summary(Plan(())).startswith("Nothing to do")
