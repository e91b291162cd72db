# SPDX-License-Identifier: Apache-2.0
"""Recovery of another person's keys and legal holds over the administration API."""

import base64
import hashlib
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from structlog.testing import capture_logs

from etymon.audit import trail
from etymon.directory.model import Role
from etymon.escrow import recovery
from support.escrowed import kept
from support.graph_answers import JSON, code, created, ok
from support.mdm_listeners import RunningSite

RECOVERIES = "/beta/etymon/keyRecoveries"
HOLDS = "/beta/etymon/legalHolds"
KRA, KRO = Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL
ORDER: JSON = {
    "keys": "all",
    "requestor": "The court",
    "authority": "legalProcess",
    "reference": "order 12/34",
    "documentSha256": hashlib.sha256(b"order").hexdigest(),
    "reason": "an inquiry",
}


@pytest.fixture
def official(running: RunningSite) -> httpx.Client:
    return running.administration(running.somebody("official", KRO))


def agent(running: RunningSite, name: str) -> httpx.Client:
    return running.administration(running.somebody(name, KRA))


def test_keys_are_asked_for_approved_by_two_and_collected_once(running: RunningSite, official: httpx.Client) -> None:
    alice = running.somebody("alice")
    key = kept(running.graph.issuer.escrow, alice)
    running.site.directory.end_account(alice)
    (shown,) = ok(official.get(f"/beta/users/{alice.id}/escrowedKeys"))["value"]
    asked = created(official.post(RECOVERIES, json={**ORDER, "user": str(alice.id)}))
    assert (asked["state"], asked["userId"], asked["keys"]) == ("requested", str(alice.id), [shown])
    assert asked["documentSha256"] == ORDER["documentSha256"]
    path = f"{RECOVERIES}/{asked['id']}"
    first, second = agent(running, "first"), agent(running, "second")
    with capture_logs() as logged:
        halves = [ok(each.post(f"{path}/approve"))["passwordHalf"] for each in (first, second)]
        collected = official.post(f"{path}/collect", json={"passwordHalves": halves})
    assert collected.headers["cache-control"] == "no-store"
    (recovered,) = ok(collected)["keys"]
    package = base64.b64decode(recovered["pkcs12"])
    opened, certificate, _ = pkcs12.load_key_and_certificates(package, "-".join(halves).encode())
    assert opened is not None
    assert certificate is not None
    assert opened.public_key() == key.public_key
    assert recovered["serialNumber"] == shown["serialNumber"] == f"{certificate.serial_number:x}"
    assert not any(half in str(logged) for half in halves)
    with running.site.database.snapshot() as tx:
        told = str([one.event for one in trail.page(tx, limit=200)])
    assert "The court" in told
    assert not any(half in told for half in halves)
    assert code(official.post(f"{path}/collect", json={"passwordHalves": halves})) == (409, "recovery_state")
    after = ok(official.get(path))
    assert (after["state"], len(after["approvals"])) == ("delivered", 2)
    assert "passwordHalf" not in after
    assert [item["id"] for item in ok(first.get(RECOVERIES))["value"]] == [asked["id"]]
    waiting = {"$filter": "state in ('requested', 'half_approved', 'approved')"}
    assert ok(first.get(RECOVERIES, params=waiting))["value"] == []


def test_what_is_not_so_is_refused(running: RunningSite, official: httpx.Client) -> None:
    alice, first = running.somebody("alice"), agent(running, "first")
    wanted = {**ORDER, "user": alice.user_principal_name}
    assert code(official.post(RECOVERIES, json=wanted)) == (404, "escrowed_key_unknown")
    kept(running.graph.issuer.escrow, alice)
    assert code(official.post(RECOVERIES, json={**wanted, "user": "nobody@example.test"})) == (404, "user_not_found")
    named = {"keys": "named", "serialNumbers": ["abc"]}
    assert code(official.post(RECOVERIES, json={**wanted, **named})) == (404, "escrowed_key_unknown")
    for wrong in (
        {"keys": "named"},
        {"serialNumbers": ["abc"]},
        {"keys": "named", "serialNumbers": ["../x"]},
        {"keys": "some"},
        {"authority": "curiosity"},
        {"authority": "policy", "withholdNotice": True},
        {"documentSha256": "abc"},
        {"documentSha256": "é"},
        {"reason": ""},
        {"requestor": "two\nlines"},
        {"reference": " "},
    ):
        assert official.post(RECOVERIES, json={**wanted, **wrong}).status_code == 400, wrong
    asked = created(official.post(RECOVERIES, json=wanted))
    path = f"{RECOVERIES}/{asked['id']}"
    ok(first.post(f"{path}/approve"))
    assert code(first.post(f"{path}/approve")) == (403, "other_agent_needed")
    assert code(official.post(f"{path}/collect", json={"passwordHalves": ["x", "y"]})) == (409, "recovery_state")
    assert official.post(f"{path}/collect", json={"passwordHalves": "xy"}).status_code == 400
    assert code(official.post(f"{path}/explain", json={"cause": "none"})) == (409, "recovery_state")
    assert code(official.post(f"{path}/refuse", json={"reason": " "}))[0] == 400
    assert ok(official.post(f"{path}/refuse", json={"reason": "asked in error"}))["state"] == "refused"
    unexplained = {"$filter": "state in ('refused', 'failed') and cause eq null", "$top": "1"}
    assert [one["id"] for one in ok(official.get(RECOVERIES, params=unexplained))["value"]] == [asked["id"]]
    assert ok(official.post(f"{path}/explain", json={"cause": "a slip"}))["cause"] == "a slip"
    assert ok(official.get(RECOVERIES, params=unexplained))["value"] == []
    both = {"$filter": "state eq 'refused' and state in ('requested', 'refused')"}
    assert [one["id"] for one in ok(official.get(RECOVERIES, params=both))["value"]] == [asked["id"]]
    late = created(official.post(RECOVERIES, json=wanted))
    running.site.later(recovery.LIFETIME + timedelta(seconds=1))
    first = running.administration(running.somebody("late", KRA))
    assert code(first.post(f"{RECOVERIES}/{late['id']}/approve")) == (410, "recovery_expired")


def test_whose_keys_they_are_sees_no_recovery_and_no_hold(running: RunningSite, official: httpx.Client) -> None:
    subject = running.somebody("subject", Role.OFFICER, KRA, KRO)
    kept(running.graph.issuer.escrow, subject)
    theirs = running.administration(subject)
    secret = {**ORDER, "user": str(subject.id), "withholdNotice": True}
    asked = created(official.post(RECOVERIES, json=secret))
    hold = created(official.post(HOLDS, json={"user": str(subject.id), "reference": "case", "reason": "inquiry"}))
    assert code(theirs.get(f"{RECOVERIES}/{asked['id']}")) == (404, "recovery_unknown")
    for path in (RECOVERIES, HOLDS):
        assert ok(theirs.get(path))["value"] == []
        assert len(ok(official.get(path))["value"]) == 1
    for name in (subject.id, subject.user_principal_name):  # `released` would tell of a recovery
        assert code(theirs.get(f"/beta/users/{name}/escrowedKeys")) == (403, "own_key")
    assert len(ok(official.get(f"/beta/users/{subject.id}/escrowedKeys"))["value"]) == 1
    assert code(theirs.post(f"{RECOVERIES}/{asked['id']}/approve")) == (403, "own_key")
    assert code(theirs.post(RECOVERIES, json=secret)) == (403, "own_key")
    assert code(theirs.post(f"{HOLDS}/{hold['id']}/lift", json={"reason": "mine"})) == (403, "own_key")


def test_holds_are_placed_listed_and_lifted(
    running: RunningSite, official: httpx.Client, officer: httpx.Client
) -> None:
    alice = running.somebody("alice")
    kept(running.graph.issuer.escrow, alice)
    wanted = {"user": alice.user_principal_name, "reference": "case 7", "reason": "an inquiry"}
    held = created(officer.post(HOLDS, json=wanted))
    assert (held["state"], held["keys"], held["userId"]) == ("live", 1, str(alice.id))
    assert created(official.post(HOLDS, json=wanted))["id"] != held["id"]
    path = f"{HOLDS}/{held['id']}/lift"
    assert ok(official.post(path, json={"reason": "closed"}))["liftReason"] == "closed"
    assert code(officer.post(path, json={"reason": "closed"})) == (409, "legal_hold_lifted")
    assert sorted(one["state"] for one in ok(officer.get(HOLDS))["value"]) == ["lifted", "live"]
    assert len(ok(officer.get(HOLDS, params={"$filter": "state eq 'live'"}))["value"]) == 1
    assert code(officer.post(f"{HOLDS}/{uuid4()}/lift", json={"reason": "x"})) == (404, "legal_hold_unknown")
    for wrong in ({"reason": " "}, {"reference": ""}):
        assert officer.post(HOLDS, json={**wanted, **wrong}).status_code == 400
