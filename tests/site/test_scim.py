# SPDX-License-Identifier: Apache-2.0
"""Identity feeds over TLS: what they tell of people and cards, and what they may not."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etymon.directory.bindings import CARD_REPLACED_JOB, CARDS_ENDED_JOB
from etymon.directory.people import ACCOUNT_ENDED_JOB
from etymon.kernel.entropy import Entropy
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.identity_feed import (
    CARDS,
    PIV,
    STATUS,
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


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> Iterator[FeedSite]:
    with FeedSite(database, clock, entropy, tmp_path).running() as running:
        yield running


@pytest.fixture
def hr(site: FeedSite) -> FeedProgram:
    return site.feed()


@pytest.fixture
def cms(site: FeedSite) -> FeedProgram:
    """A feed that an Officer lets bind cards."""
    return site.feed("cms", may_bind_cards=True)


def test_a_feed_tells_of_people(site: FeedSite, hr: FeedProgram) -> None:
    answer = hr.send("POST", "/Users", user())
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == made["meta"]["location"] == f"{site.deps.site_url}/scim/v2/Users/{made['id']}"
    assert answer.headers["etag"] == made["meta"]["version"]
    assert (made["active"], made[PIV]) == (True, {"accountStatus": "active"})
    again = hr.send("POST", "/Users", user())
    assert refusal(again) == (409, "uniqueness")
    assert refusal(hr.send("POST", "/Users", user("bob", externalId="hr-alice"))) == (409, "uniqueness")
    assert hr.get(made["id"]) == made
    for query in ('userName eq "ALICE@agency.example"', 'externalId eq "hr-alice"'):
        found = hr.send("GET", "/Users", filter=query).json()
        assert [one["id"] for one in found["Resources"]] == [made["id"]]
    put = hr.send("PUT", f"/Users/{made['id']}", user(displayName="Alice Miller")).json()
    assert put["displayName"] == "Alice Miller"
    before = len(site.directory.events())
    assert hr.send("PUT", f"/Users/{made['id']}", user(displayName="Alice Miller")).json() == put
    assert len(site.directory.events()) == before  # the same again changes nothing
    changed = hr.patch(made["id"], replace("emails", [{"value": "miller@agency.example"}]))
    assert changed.json()["emails"][0]["value"] == "miller@agency.example"
    told = [job.payload["to"] for job in site.directory.jobs("mail.send")]
    assert sorted(map(str, told)) == ["['alice@agency.example']", "['miller@agency.example']"]  # the old address too


@pytest.mark.parametrize("how", ["status", "active", "put", "delete"])
def test_a_feed_ends_accounts_and_once(site: FeedSite, hr: FeedProgram, how: str) -> None:
    id_ = hr.create()["id"]
    path = f"/Users/{id_}"
    ways = {
        "status": lambda: hr.patch(id_, *terminate()),
        "active": lambda: hr.patch(id_, {"op": "Replace", "value": {"active": False}}),
        "put": lambda: hr.send("PUT", path, user(active=False, piv={"terminationReason": "separation"})),
        "delete": lambda: hr.send("DELETE", path),
    }
    assert ways[how]().status_code in {200, 204}
    again = ways[how]()
    assert again.status_code == (404 if how == "delete" else 200)
    assert not site.person(id_).active
    assert jobs(site, ACCOUNT_ENDED_JOB) == 1
    assert len(events(site, "directory:person:ended")) == 1
    if how == "delete":
        assert refusal(hr.send("GET", path)) == (404, None)
        assert hr.send("GET", "/Users").json()["totalResults"] == 0
    else:
        said = hr.get(id_)
        assert (said["active"], said[PIV]["accountStatus"]) == (False, "terminated")
        assert {"terminatedAt", "dueAt"} <= set(said[PIV])
        assert refusal(hr.patch(id_, replace("active", value=True), replace(STATUS, "active"))) == (400, "mutability")
        assert refusal(hr.patch(id_, replace("displayName", "Somebody"))) == (400, "mutability")
    assert hr.create()["id"] != id_  # whoever comes back is new here


def test_an_account_ends_beside_itself_once(site: FeedSite, hr: FeedProgram) -> None:
    id_ = hr.create()["id"]
    hr.bearer()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: hr.patch(id_, *terminate()).status_code, range(4)))
    assert answers == [200] * 4
    assert len(events(site, "directory:person:ended")) == 1


def test_a_feed_that_may_binds_and_replaces_cards(site: FeedSite, cms: FeedProgram) -> None:
    id_ = cms.create(piv={"cards": [card("card-1")]})["id"]
    new = {"op": "add", "path": CARDS, "value": [card("card-2", replaces="card-1")]}
    for _ in range(2):
        answer = cms.patch(id_, new)
        assert answer.status_code == 200, answer.text
        assert states(answer) == {"card-1": "replaced", "card-2": "active"}
    assert jobs(site, CARD_REPLACED_JOB) == 1
    assert jobs(site, CARDS_ENDED_JOB) == 0


def test_cards_that_are_not_to_be_had_are_refused(site: FeedSite, cms: FeedProgram) -> None:
    id_ = cms.create(piv={"cards": [card("card-1")]})["id"]
    cms.create("bob", piv={"cards": [card("card-2")]})
    add = {"op": "add", "path": CARDS}
    for value, kind in (
        (card("card-2"), (409, "uniqueness")),
        (card("card-2", replaces="card-1"), (409, "uniqueness")),
        (card("card-3", replaces="card-2"), (400, "invalidValue")),
        ({**card("card-3"), "trustEntry": "none"}, (400, "invalidValue")),
        (card("card-9", "lost"), (400, "invalidValue")),
        (card("card-1", "vanished"), (400, "invalidValue")),
        (card("card-1", "lost", replaces="card-1"), (400, "invalidValue")),
    ):
        assert refusal(cms.patch(id_, {**add, "value": [value]})) == kind, value
    assert [(one.identifier, one.ended_at) for one in site.cards(id_)] == [("card-1", None)]
    ended = [*terminate(), {**add, "value": [card("card-3", replaces="card-1")]}]
    assert cms.patch(id_, *terminate()).status_code == 200
    assert refusal(cms.patch(id_, *ended)) == (400, "mutability")
