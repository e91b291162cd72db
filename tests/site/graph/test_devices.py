# SPDX-License-Identifier: Apache-2.0
"""Devices and how they fare, over the administration API."""

from uuid import UUID, uuid4

import httpx

from etymon.directory.model import Role
from etymon.mdm.model import PolicyResult, ResultState
from support.graph_answers import (
    CONFIGURATIONS,
    DEVICES,
    configurations,
    gone,
    ok,
)
from support.mdm_listeners import RunningSite
from support.mdm_site import Phone


def test_devices_are_listed_found_and_told(running: RunningSite, admin: httpx.Client) -> None:
    site = running.site
    alice = site.directory.person()
    phones = [site.phone(alice) for _ in range(3)]
    listed = ok(admin.get(DEVICES, params={"$top": "2"}))
    assert len(listed["value"]) == 2
    rest = ok(admin.get(listed["@odata.nextLink"]))
    assert len(rest["value"]) == 1
    phone = phones[0]
    path = f"{DEVICES}/{phone.device}"
    shown = ok(admin.get(path))
    assert shown["serialNumber"] == "SN-42"
    assert (shown["userPrincipalName"], shown["userDisplayName"]) == (alice.user_principal_name, "Alice")
    assert (shown["managementState"], shown["deviceActionResults"]) == ("managed", [])
    assert shown["etymonIdentityThumbprint"] == phone.thumbprint.hex()
    assert shown["etymonCredentials"] == []
    for condition, count in (
        ("serialNumber eq 'SN-42'", 3),
        ("serialNumber eq 'other'", 0),
        (f"id eq '{phone.device}' and startsWith(manufacturer, 'goo')", 1),
        (f"userId eq '{alice.id}'", 3),
        ("userId eq 'nobody'", 0),
        (f"deviceName eq '{shown['deviceName']}' and managementState eq 'managed'", 3),
        ("managementState ne 'managed'", 0),
    ):
        assert len(ok(admin.get(DEVICES, params={"$filter": condition}))["value"]) == count, condition
    assert len(ok(admin.get(f"/beta/users/{alice.id}/managedDevices"))["value"]) == 3
    gone(admin.post(f"{path}/retire"))
    gone(admin.post(f"{path}/retire"))
    officer = running.administration(running.somebody("olga", Role.OFFICER))
    gone(officer.post(f"{path}/wipe", json={"keepUserData": True}))
    shown = ok(admin.get(path))
    assert {(one["actionName"], one["actionState"]) for one in shown["deviceActionResults"]} == {
        ("retire", "canceled"),
        ("factoryReset", "pending"),
    }
    assert shown["managementState"] == "wipePending"
    assert admin.post(f"{DEVICES}/{uuid4()}/wipe").status_code == 404
    assert admin.get(f"{DEVICES}/{uuid4()}").status_code == 404


def test_how_devices_fare_with_a_configuration(running: RunningSite, admin: httpx.Client) -> None:
    site = running.site
    apps = configurations(admin)["apps"]["id"]
    for name, state in (("alice", ResultState.SUCCEEDED), ("bob", ResultState.FAILED)):
        phone: Phone = site.phone(site.directory.person(name))
        site.check_in(phone, results=(PolicyResult(UUID(apps), 1, state, "because"),))
    statuses = ok(admin.get(f"{CONFIGURATIONS}/{apps}/deviceStatuses"))["value"]
    assert {(one["userPrincipalName"].split("@")[0], one["status"], one["etymonState"]) for one in statuses} == {
        ("alice", "compliant", "succeeded"),
        ("bob", "error", "failed"),
    }
    assert statuses[0]["etymonDetail"] == "because"
    errors = ok(admin.get(f"{CONFIGURATIONS}/{apps}/deviceStatuses", params={"$filter": "status eq 'error'"}))["value"]
    assert len(errors) == 1
    assert admin.get(f"{CONFIGURATIONS}/{uuid4()}/deviceStatuses").status_code == 404
