# SPDX-License-Identifier: Apache-2.0
"""Identity feeds over TLS: what they may not, and what cannot be read."""

import itertools
from collections.abc import Iterator

import pytest

from etymon.directory import feeds
from etymon.directory.bindings import CARDS_ENDED_JOB
from etymon.kernel.entropy import SystemEntropy
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.identity_feed import (
    CARDS,
    PIV,
    FeedProgram,
    FeedSite,
    card,
    events,
    jobs,
    refusal,
    replace,
    states,
    terminate,
    user,
)

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def site(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedSite]:
    database = sqlite_databases.migrated()
    directory = tmp_path_factory.mktemp("site")
    with FeedSite(database, TurnedClock(), SystemEntropy(), directory).running() as running:
        yield running
    sqlite_databases.drop(database)


@pytest.fixture
def hr(site: FeedSite) -> Iterator[FeedProgram]:
    """A feed of its own for each test, whose people leave with it."""
    feed = site.feed(f"hr{next(NUMBERS)}")
    yield feed
    feed.leave()


@pytest.fixture
def cms(site: FeedSite) -> Iterator[FeedProgram]:
    feed = site.feed(f"cms{next(NUMBERS)}", may_bind_cards=True)
    yield feed
    feed.leave()


def test_pages_are_bounded_and_go_on(hr: FeedProgram) -> None:
    made = sorted(hr.create(f"p{number}")["id"] for number in range(5))
    first = hr.send("GET", "/Users", count="2").json()
    assert (first["totalResults"], first["itemsPerPage"], first["startIndex"]) == (5, 2, 1)
    last = hr.send("GET", "/Users", count="2", startIndex="5").json()
    assert [one["id"] for one in last["Resources"]] == made[4:]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = hr.send("GET", "/Users", count="2", cursor=cursor).json()
        seen += [one["id"] for one in page["Resources"]]
        cursor = page.get("nextCursor")
    assert seen == made
    assert hr.send("GET", "/Users", count="0").json()["Resources"] == []
    assert hr.send("GET", "/Users", count="-7", startIndex="-3").status_code == 200
    named = hr.send("GET", "/Users", attributes="userName", count="1").json()["Resources"][0]
    assert set(named) == {"schemas", "id", "userName"}
    for start, count in (("10001", "1"), ("1", "many"), ("9" * 30, "1")):
        assert refusal(hr.send("GET", "/Users", startIndex=start, count=count)) == (400, "invalidValue")
    assert refusal(hr.send("GET", "/Users", cursor="x")) == (400, "invalidCursor")


def test_a_version_that_has_passed_is_not_changed(hr: FeedProgram) -> None:
    made = hr.create()
    version = made["meta"]["version"]
    assert hr.send("GET", f"/Users/{made['id']}", headers={"If-None-Match": version}).status_code == 304
    renamed = replace("displayName", "Alice Miller")
    assert hr.patch(made["id"], renamed, **{"If-Match": version}).status_code == 200
    for method, body in (("PUT", user()), ("DELETE", None)):
        stale = hr.send(method, f"/Users/{made['id']}", body, headers={"If-Match": version})
        assert refusal(stale) == (412, None)
    assert refusal(hr.patch(made["id"], renamed, **{"If-Match": version})) == (412, None)


def test_a_lost_card_is_looked_back_at(site: FeedSite, hr: FeedProgram) -> None:
    id_ = hr.create()["id"]
    site.bind(id_, "card-1")
    jobs(site, CARDS_ENDED_JOB)
    lost = replace(f'{CARDS}[identifier eq "card-1"].state', "lost")
    assert states(hr.patch(id_, lost)) == {"card-1": "lost"}
    assert hr.patch(id_, lost).status_code == 200
    assert jobs(site, CARDS_ENDED_JOB) == 1
    assert site.person(id_).active
    site.bind(id_, "card-2")
    removed = {"op": "remove", "path": f'{CARDS}[identifier eq "card-2"]'}
    assert states(hr.patch(id_, removed)) == {"card-1": "lost", "card-2": "unspecified"}
    assert jobs(site, CARDS_ENDED_JOB) == 1  # another one
    assert hr.send("PUT", f"/Users/{id_}", user()).json()[PIV]["cards"]  # and nothing ends by being left out


def test_a_feed_without_the_right_binds_no_card(site: FeedSite, hr: FeedProgram) -> None:
    id_ = hr.create()["id"]
    site.bind(id_, "card-1")
    for body in (card("mine"), card("mine", replaces="card-1")):
        assert refusal(hr.patch(id_, {"op": "add", "path": CARDS, "value": [body]})) == (403, None)
    assert refusal(hr.send("POST", "/Users", user("bob", piv={"cards": [card("mine")]}))) == (403, None)
    assert hr.send("GET", "/Users", filter='userName eq "bob@agency.example"').json()["totalResults"] == 0
    assert [(one.identifier, one.ended_at) for one in site.cards(id_)] == [("card-1", None)]
    noted = [event for event in events(site, "directory:identity_account:refused") if event.actor == f"feed:{hr.id}"]
    assert [event.facts["code"] for event in noted] == ["cards_not_permitted"] * 3


def test_of_somebody_with_a_role_a_feed_changes_nothing_but_the_end(site: FeedSite, cms: FeedProgram) -> None:
    id_ = cms.create(piv={"cards": [card("card-1")]})["id"]
    site.give_role(id_)
    for operation in (
        {"op": "add", "path": CARDS, "value": [card("mine")]},
        {"op": "add", "path": CARDS, "value": [card("mine", replaces="card-1")]},
        replace("emails", [{"value": "mine@elsewhere.example"}]),
        replace("userName", "mine@agency.example"),
        replace("externalId", "mine"),
    ):
        assert refusal(cms.patch(id_, operation)) == (403, None)
    assert [one.identifier for one in site.cards(id_)] == ["card-1"]
    assert cms.patch(id_, replace(f'{CARDS}[identifier eq "card-1"].state', "stolen")).status_code == 200
    assert cms.patch(id_, *terminate()).status_code == 200
    assert not site.person(id_).active


def test_a_feed_sees_and_ends_nobody_but_its_own(site: FeedSite, hr: FeedProgram, cms: FeedProgram) -> None:
    theirs = hr.create()["id"]
    nobodys = site.directory.person("nobody").id
    for id_ in (theirs, str(nobodys), "nobody"):
        path = f"/Users/{id_}"
        for method, body in (("GET", None), ("PUT", user()), ("DELETE", None)):
            assert refusal(cms.send(method, path, body)) == (404, None)
        assert refusal(cms.patch(id_, *terminate())) == (404, None)
    for query in ('userName eq "alice@agency.example"', 'externalId eq "hr-alice"'):
        assert cms.send("GET", "/Users", filter=query).json()["totalResults"] == 0
    assert cms.send("GET", "/Users").json()["totalResults"] == 0
    assert cms.create("carol", externalId="hr-alice")["externalId"] == "hr-alice"  # names are each feed's own
    assert site.person(theirs).active


def test_a_person_who_was_there_is_handed_over_by_name(site: FeedSite, hr: FeedProgram, cms: FeedProgram) -> None:
    olivia = site.directory.person("olivia")
    with site.database.transaction() as tx:
        feeds.hand_over(tx, site.deps, hr.id, olivia.id, external_id="o-1", actor="person:officer")
        feeds.hand_over(tx, site.deps, hr.id, olivia.id, external_id="o-1", actor="person:officer")
    assert hr.get(str(olivia.id))["externalId"] == "o-1"
    assert hr.send("GET", "/Users").json()["totalResults"] == 1
    with pytest.raises(Exception, match="account_owned"), site.database.transaction() as tx:
        feeds.hand_over(tx, site.deps, cms.id, olivia.id, external_id="o-1", actor="person:officer")
    assert refusal(cms.send("GET", f"/Users/{olivia.id}")) == (404, None)


def test_only_a_feed_with_a_live_token_is_answered(site: FeedSite, hr: FeedProgram) -> None:
    assert hr.ask(scope="management").json()["error"] == "invalid_scope"
    hr.create()
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic aGk6aG8="}):
        answer = hr.send("GET", "/ServiceProviderConfig", headers=headers)
        assert refusal(answer) == (401, None)
        assert answer.headers["www-authenticate"] == "Bearer"
    site.clock.advance(feeds.TOKEN_LIFETIME)
    assert refusal(hr.send("GET", "/Users")) == (401, None)
    hr._token = ""  # noqa: SLF001 - the program forgets it
    assert hr.send("GET", "/Users").status_code == 200
    site.register(hr.id, hr.key)  # saved anew: its tokens end
    assert refusal(hr.send("GET", "/Users")) == (401, None)
    with site.database.transaction() as tx:
        feeds.end(tx, site.deps, hr.id, actor="person:officer")
    assert hr.ask().json()["error"] == "invalid_client"
    assert events(site, "directory:feed:refused")


WRONG: tuple[tuple[object, tuple[int, str | None]], ...] = (
    (user(title="Director"), (400, "invalidSyntax")),
    (user(piv={"rank": 7}), (400, "invalidSyntax")),
    (user(piv={"cards": [{**card("c"), "pin": "1234"}]}), (400, "invalidSyntax")),
    (user(username="twice@agency.example"), (400, "invalidSyntax")),
    (user(userName=None), (400, "invalidValue")),
    (user(userName="no address"), (400, "invalidValue")),
    (user(emails=[{"value": "not an address"}]), (400, "invalidValue")),
    (user(emails=[{"value": "alice@agency.example,eve@eve.example"}]), (400, "invalidValue")),
    (user(emails=[{"value": "alice@agency..example"}]), (400, "invalidValue")),
    (user(emails=[{"value": f"{number}@a.example"} for number in range(11)]), (400, "invalidValue")),
    (user(emails="alice@agency.example"), (400, "invalidValue")),
    (user(active="false"), (400, "invalidValue")),
    (user(active=True, piv={"accountStatus": "terminated"}), (400, "invalidValue")),
    (user(piv={"terminationReason": "separation"}), (400, "invalidValue")),
    (user(active=False, piv={"terminationReason": "boredom"}), (400, "invalidValue")),
    (user(externalId=7), (400, "invalidValue")),
    (user(displayName="x\ny"), (400, "invalidValue")),
    (user(displayName="\ud800"), (400, "invalidValue")),
    ([], (400, "invalidSyntax")),
    (b"{", (400, "invalidSyntax")),
    (b"[" * 30_000, (400, "invalidSyntax")),
    (user(displayName="x" * 70_000), (413, None)),
)


def test_a_user_that_is_none_is_refused(hr: FeedProgram) -> None:
    for body, kind in WRONG:
        assert refusal(hr.send("POST", "/Users", body)) == kind, body
    assert hr.send("GET", "/Users").json()["totalResults"] == 0


def test_changes_that_cannot_be_read_or_made_are_refused(site: FeedSite, hr: FeedProgram) -> None:
    id_ = hr.create()["id"]
    site.bind(id_, "card-1")
    before = hr.get(id_)
    for operation, kind in (
        (replace("title", "x"), "invalidPath"),
        (replace("name.givenName", "x"), "invalidPath"),
        (replace("emails", [{"value": '"a@b"@a.example'}]), "invalidValue"),
        (replace("emails", [{"value": "zoë@a.example"}]), "invalidValue"),
        (replace("emails.value", "x"), "invalidPath"),
        (replace('emails[type eq "home"].value', "x@a.example"), "noTarget"),
        (replace('displayName[value eq "x"]', "x"), "invalidPath"),
        (replace("emails[primary", "x"), "invalidPath"),
        (replace("id", "x"), "mutability"),
        (replace(f"{PIV}:dueAt", "2030-01-01T00:00:00Z"), "mutability"),
        ({"op": "remove", "path": CARDS}, "mutability"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        ({"op": "remove"}, "noTarget"),
        ({"op": "move", "path": "userName"}, "invalidSyntax"),
        ({"op": "replace", "value": "x"}, "invalidValue"),
        (replace(CARDS, "card-2"), "invalidValue"),
        ({"op": "replace", "value": {"title": "x"}}, "invalidPath"),
    ):
        assert refusal(hr.patch(id_, operation)) == (400, kind), operation
    nameless = [
        {"op": "add", "path": "emails", "value": [value]} for value in ({"primary": False}, {"value": "b@a.example"})
    ]
    assert refusal(hr.patch(id_, *nameless)) == (400, "invalidValue")
    assert refusal(hr.send("PATCH", f"/Users/{id_}", {"Operations": []})) == (400, "invalidSyntax")
    assert refusal(hr.patch(id_, *[replace("displayName", "x")] * 51)) == (400, "invalidSyntax")
    for query in ('userName co "a"', 'title eq "x"', "userName", 'userName eq "a" and active eq true', "x" * 2000):
        assert refusal(hr.send("GET", "/Users", filter=query)) == (400, "invalidFilter")
    assert refusal(hr.send("POST", "/Users", user("bob"), headers={"Content-Type": "text/plain"})) == (415, None)
    assert refusal(hr.send("POST", "/Bulk", {})) == (404, None)
    assert refusal(hr.send("GET", "/Groups")) == (404, None)
    assert refusal(hr.send("GET", "/Schemas", filter='id eq "x"')) == (403, None)
    assert hr.get(id_) == before
