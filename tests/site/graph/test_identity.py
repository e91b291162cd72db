# SPDX-License-Identifier: Apache-2.0
"""Feeds, ends of accounts, and why a card ends, over the administration API."""

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey

from etymon.directory.bindings import CARD_REPLACED_JOB, CARDS_ENDED_JOB
from etymon.storage import jobs
from support.graph_answers import JSON, code, created, gone, ok
from support.mdm_listeners import RunningSite

FEEDS = "/beta/etymon/identityFeeds"


def feed(**changes: object) -> dict[str, object]:
    key = ECKey.generate_key("P-256").as_dict(private=False)
    return {"displayName": "Human resources", "publicKey": key, **changes}


def items(answer: httpx.Response) -> list[JSON]:
    found: list[JSON] = ok(answer)["value"]
    return found


def test_an_officer_names_feeds_and_an_administrator_does_not(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client
) -> None:
    assert code(admin.put(f"{FEEDS}/hr", json=feed())) == (403, "role_missing")
    named = ok(officer.put(f"{FEEDS}/hr", json=feed()))
    assert (named["id"], named["mayBindCards"], named["accounts"]) == ("hr", False, 0)
    assert ok(admin.get(f"{FEEDS}/hr")) | {"@odata.context": ""} == named | {"@odata.context": ""}
    private = ECKey.generate_key("P-256").as_dict(private=True)
    for wrong in (private, OctKey.generate_key(256).as_dict(), {"kty": "EC"}, {}):
        assert code(officer.put(f"{FEEDS}/hr", json=feed(publicKey=wrong))) == (400, "malformed_client")
    assert code(officer.put(f"{FEEDS}/%20", json=feed())) == (400, "malformed_client")
    bob = created(admin.post("/beta/users", json={"userPrincipalName": "bob@a.example", "displayName": "Bob"}))["id"]
    assert code(officer.put(f"{FEEDS}/hr/accounts/{bob}", json={})) == (403, "separated_roles")
    gone(admin.put(f"{FEEDS}/hr/accounts/{bob}", json={"externalId": "b-1"}))
    gone(admin.put(f"{FEEDS}/hr/accounts/{bob}", json={"externalId": "b-1"}))
    assert code(admin.put(f"{FEEDS}/hr/accounts/{bob}", json={"externalId": "b-2"})) == (409, "account_owned")
    assert code(admin.put(f"{FEEDS}/none/accounts/{bob}", json={})) == (404, "feed_unknown")
    assert [one["accounts"] for one in items(admin.get(FEEDS))] == [1]
    assert code(admin.delete(f"{FEEDS}/hr")) == (403, "role_missing")
    gone(officer.delete(f"{FEEDS}/hr"))
    assert code(officer.delete(f"{FEEDS}/hr")) == (404, "feed_unknown")
    assert [one.event.facts["may_bind_cards"] for one in running.site.events("directory:feed:registered")] == [False]


def test_ends_of_accounts_are_listed_with_their_deadline(admin: httpx.Client, officer: httpx.Client) -> None:
    bob = created(admin.post("/beta/users", json={"userPrincipalName": "bob@a.example", "displayName": "Bob"}))["id"]
    assert code(admin.delete(f"/beta/users/{bob}?reason=boredom")) == (400, "malformed")
    gone(admin.delete(f"/beta/users/{bob}?reason=fraud"))
    (ended,) = items(officer.get("/beta/etymon/terminations"))
    assert (ended["id"], ended["reason"], ended["state"]) == (bob, "fraud", "open")
    assert ended["dueDateTime"] > ended["reportedDateTime"]
    assert items(officer.get("/beta/etymon/cardStatusSources")) == []
    assert code(admin.post("/beta/etymon/cardStatusSources/check")) == (403, "role_missing")
    gone(officer.post("/beta/etymon/cardStatusSources/check"))


@pytest.mark.parametrize("reason", ["damaged", "lost"])
def test_a_card_ends_for_a_reason_and_another_takes_its_place(
    running: RunningSite, admin: httpx.Client, reason: str
) -> None:
    site = running.site
    site.directory.trust("cards")
    bob = created(admin.post("/beta/users", json={"userPrincipalName": "bob@a.example", "displayName": "Bob"}))["id"]
    path, card = f"/beta/users/{bob}/cards", {"trustEntry": "cards", "identifier": "card-1"}
    first = created(admin.post(path, json=card))["id"]
    second = created(admin.post(path, json={**card, "identifier": "card-2", "replaces": first}))["id"]
    assert {one["id"]: one["endReason"] for one in items(admin.get(path))} == {first: "replaced", second: None}
    assert code(admin.delete(f"{path}/{second}?reason=bored")) == (400, "malformed")
    gone(admin.delete(f"{path}/{second}?reason={reason}"))
    assert len(jobs.claim(site.database, site.clock, [CARDS_ENDED_JOB])) == (reason == "lost")
    assert len(jobs.claim(site.database, site.clock, [CARD_REPLACED_JOB])) == 1
    third = admin.post(path, json={**card, "identifier": "card-3", "replaces": second})
    assert third.status_code == (201 if reason == "damaged" else 404)
    stranger = created(admin.post("/beta/users", json={"userPrincipalName": "eve@a.example", "displayName": "Eve"}))
    theirs = admin.post(f"/beta/users/{stranger['id']}/cards", json={**card, "replaces": second})
    assert code(theirs) == (404, "card_not_found")
