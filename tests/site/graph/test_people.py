# SPDX-License-Identifier: Apache-2.0
"""People, their cards, groups and members over the administration API."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from support.graph_answers import (
    code,
    created,
    gone,
    ok,
)
from support.mdm_listeners import RunningSite


def test_a_user_is_created_changed_found_and_ended(running: RunningSite, admin: httpx.Client) -> None:
    body = {
        "userPrincipalName": "Bob@Agency.example",
        "displayName": "Bob",
        "mail": "bob@agency.example",
        "otherMails": ["bob@home.example"],
        "accountEnabled": True,
        "passwordProfile": {"password": "ignored"},
        "id": "ignored",
    }
    user = created(admin.post("/beta/users", json=body))
    written = body.keys() - {"id", "passwordProfile"}
    assert {name: user[name] for name in written} == {name: body[name] for name in written}
    path = f"/beta/users/{user['id']}"
    assert ok(admin.get(path))["id"] == user["id"]
    assert ok(admin.get("/v1.0/users/bob@agency.example"))["id"] == user["id"]
    changed = ok(admin.patch(path, json={"displayName": "Robert", "later": 1}))
    assert (changed["displayName"], changed["mail"], changed["otherMails"]) == (
        "Robert", "bob@agency.example", ["bob@home.example"],
    )  # fmt: skip
    assert ok(admin.patch(path, json={"mail": None}))["mail"] == "bob@home.example"
    assert ok(admin.patch(path, json={"otherMails": []}))["otherMails"] == []
    assert code(admin.patch(path, json={"otherMails": ["Friends:a@b,c@d;"]})) == (400, "mail_addresses")
    assert code(admin.patch(path, json={"accountEnabled": False})) == (400, "delete_to_end")
    gone(admin.delete(path))
    assert code(admin.get(path)) == (404, "user_not_found")
    assert code(admin.delete(path)) == (404, "user_not_found")
    assert code(admin.delete("/beta/users/admin@example.test")) == (403, "own_account")
    (ended,) = running.site.events("directory:person:ended")
    assert ended.event.actor.startswith("person:")


def test_users_that_cannot_be_are_refused(admin: httpx.Client) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "property_missing"),
        ({"userPrincipalName": "x@y"}, "property_missing"),
        ({"userPrincipalName": "nobody", "displayName": "N"}, "user_principal_name"),
        ({"userPrincipalName": "x@y", "displayName": "a\u0000b"}, "name"),
        ({"userPrincipalName": "x@y", "displayName": "N", "mail": "nobody"}, "mail_addresses"),
        ({"userPrincipalName": "x@y", "displayName": "N", "mail": "a.@b"}, "mail_addresses"),
        ({"userPrincipalName": "x@y", "displayName": "N", "mail": "a@b", "otherMails": ["c@d,e@f"]}, "mail_addresses"),
        ({"userPrincipalName": 7, "displayName": "N"}, "malformed"),
        ({"userPrincipalName": "x@y", "displayName": "N", "otherMails": "a@b"}, "malformed"),
    ]
    for body, expected in cases:
        assert code(admin.post("/beta/users", json=body)) == (400, expected)
    created(admin.post("/beta/users", json={"userPrincipalName": "x@y", "displayName": "N"}))
    again = admin.post("/beta/users", json={"userPrincipalName": "X@Y", "displayName": "N"})
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "Conflict"


def test_cards_are_bound_and_ended(running: RunningSite, admin: httpx.Client) -> None:
    running.site.directory.trust("cards")
    alice = running.site.directory.person()
    path = f"/beta/users/{alice.id}/cards"
    body = {"trustEntry": "cards", "identifier": "99990000000001"}
    card = created(admin.post(path, json=body))
    assert created(admin.post(path, json=body))["id"] == card["id"]
    (listed,) = ok(admin.get(path))["value"]
    assert (listed["trustEntry"], listed["identifier"], listed["endedDateTime"]) == ("cards", "99990000000001", None)
    bob = running.site.directory.person("bob")
    assert admin.post(f"/beta/users/{bob.id}/cards", json=body).status_code == 409
    assert code(admin.delete(f"/beta/users/{bob.id}/cards/{card['id']}")) == (404, "card_not_found")
    gone(admin.delete(f"{path}/{card['id']}"))
    (listed,) = ok(admin.get(path))["value"]
    assert listed["endedDateTime"] is not None
    assert admin.post(path, json={"trustEntry": "nothing", "identifier": "1"}).status_code == 404


def test_a_binding_code_is_given_once_and_not_logged(
    running: RunningSite, admin: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    alice = running.site.directory.person()
    first = ok(admin.post(f"/beta/users/{alice.id}/issueBindingCode"))
    second = ok(admin.post(f"/beta/users/{alice.id}/issueBindingCode"))
    assert first["code"] != second["code"]
    assert first["expiresDateTime"].endswith("Z")
    assert first["code"] not in "".join(capfd.readouterr())


def test_a_group_and_its_members(running: RunningSite, admin: httpx.Client) -> None:
    alice, bob = running.site.directory.person(), running.site.directory.person("bob")
    group = created(admin.post("/beta/groups", json={"displayName": "Field", "mailEnabled": False}))
    path = f"/beta/groups/{group['id']}"
    assert (group["securityEnabled"], group["groupTypes"], group["description"]) == (True, [], "")
    assert ok(admin.patch(path, json={"description": "outside"}))["description"] == "outside"
    for member in (
        f"https://graph.microsoft.com/v1.0/directoryObjects/{alice.id}",
        f"{running.graph.url}/beta/users/{bob.id}",
    ):
        gone(admin.post(f"{path}/members/$ref", json={"@odata.id": member}))
        gone(admin.post(f"{path}/members/$ref", json={"@odata.id": member}))
    assert {user["id"] for user in ok(admin.get(f"{path}/members"))["value"]} == {str(alice.id), str(bob.id)}
    (member_of,) = ok(admin.get(f"/beta/users/{alice.id}/memberOf"))["value"]
    assert member_of["displayName"] == "Field"
    gone(admin.delete(f"{path}/members/{alice.id}/$ref"))
    assert admin.delete(f"{path}/members/{alice.id}/$ref").status_code == 404
    assert code(admin.post(f"{path}/members/$ref", json={"@odata.id": "nothing"})) == (400, "bind_not_understood")
    unknown = {"@odata.id": f"users/{uuid4()}"}
    assert admin.post(f"{path}/members/$ref", json=unknown).status_code == 404
    assert admin.post("/beta/groups", json={"displayName": "FIELD"}).status_code == 409
    gone(admin.delete(path))
    assert code(admin.get(path)) == (404, "group_not_found")
    assert admin.get(f"{path}/members").status_code == 404
