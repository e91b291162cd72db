# SPDX-License-Identifier: Apache-2.0
"""Device configurations of every type, their filters, pages and assignments, over the administration API."""

from typing import Any
from uuid import uuid4

import httpx

from support.graph_answers import (
    APPS_TYPE,
    CONFIGURATIONS,
    MAIL_TYPE,
    ROOT_TYPE,
    WIFI_TYPE,
    code,
    configurations,
    created,
    gone,
    ok,
    root_certificate,
)
from support.mdm_listeners import RunningSite


def test_configurations_of_every_type_are_read_as_they_were_written(admin: httpx.Client) -> None:
    made = configurations(admin)
    for one in made.values():
        assert ok(admin.get(f"{CONFIGURATIONS}/{one['id']}")) == one
        assert ok(admin.get(f"{CONFIGURATIONS}/{one['id']}/{one['@odata.type'].removeprefix('#')}"))["id"] == one["id"]
        assert one["version"] == 1
    assert admin.get(f"{CONFIGURATIONS}/{made['root']['id']}/{WIFI_TYPE.removeprefix('#')}").status_code == 404
    assert made["wifi"]["etymonTrustedRootIds"] == [made["root"]["id"]]
    assert made["apps"]["silentCertificateAccessDetails"] == [{"packageId": "org.example.mail"}]
    mail = made["mail"]
    assert (mail["smimeSigningEnabled"], mail["requireSmime"], mail["encryptionCertificateType"]) == (
        True,
        True,
        "none",
    )


def test_what_is_read_can_be_written_back(admin: httpx.Client) -> None:
    """Clients send whole entities; read-only and unknown properties are ignored."""
    for one in configurations(admin).values():
        changed = ok(admin.patch(f"{CONFIGURATIONS}/{one['id']}", json={**one, "displayName": "Renamed", "later": []}))
        differing = {name for name in changed if changed[name] != one[name]}
        assert differing <= {"displayName", "version", "lastModifiedDateTime"}
        assert changed["version"] == 2


def test_a_patch_changes_what_it_says_and_nothing_else(admin: httpx.Client) -> None:
    made = configurations(admin)
    for name, change in (
        ("root", {"certFileName": "other.cer"}),
        ("apps", {"silentCertificateAccessDetails": [{"packageId": "org.example.chat"}]}),
        ("wifi", {"connectAutomatically": False}),
        ("mail", {"encryptionCertificateType": "derivedCredential"}),
    ):
        before = made[name]
        after = ok(admin.patch(f"{CONFIGURATIONS}/{before['id']}", json=change))
        differing = {key for key in after if after[key] != before[key]}
        assert differing <= {*change, "version", "lastModifiedDateTime"}
        assert all(after[key] == value for key, value in change.items())
    access = {"certificateAccessType": "userApproval"}
    assert (
        ok(admin.patch(f"{CONFIGURATIONS}/{made['apps']['id']}", json=access))["silentCertificateAccessDetails"] == []
    )


def test_filters_and_expansion_find_configurations(admin: httpx.Client) -> None:
    made = configurations(admin)
    wifi = made["wifi"]["id"]
    target = {"target": {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}}
    ok(admin.post(f"{CONFIGURATIONS}/{wifi}/assign", json={"assignments": [target]}))
    kind = f"isof('{WIFI_TYPE.removeprefix('#')}')"
    (found,) = ok(admin.get(CONFIGURATIONS, params={"$filter": kind, "$expand": "assignments"}))["value"]
    assert found["id"] == wifi
    assert found["assignments"][0]["target"]["@odata.type"] == "#microsoft.graph.allDevicesAssignmentTarget"
    for condition, names in (
        (f"displayName eq 'wi-fi' and {kind}", {"Wi-Fi"}),
        ("startsWith(displayName,'A') or version gt 1", {"Apps"}),
        ("not (displayName in ('Root', 'Apps'))", {"Wi-Fi", "Mail"}),
        (f"id eq '{wifi}'", {"Wi-Fi"}),
        ("trustedServerCertificateNames/any(n:n eq 'agency.example')", {"Wi-Fi"}),
    ):
        found = ok(admin.get(CONFIGURATIONS, params={"filter": condition}))["value"]
        assert {one["displayName"] for one in found} == names
    assert code(admin.get(CONFIGURATIONS, params={"$filter": "displayName = 'x'"})) == (400, "filter_not_understood")
    assert code(admin.get(CONFIGURATIONS, params={"$expand": "everything"})) == (400, "option_not_supported")
    assert code(admin.get(CONFIGURATIONS, params={"$orderby": "displayName"})) == (400, "option_not_supported")


def test_pages_follow_their_links_to_the_end(running: RunningSite, admin: httpx.Client) -> None:
    configurations(admin)
    seen: list[str] = []
    address = f"{running.graph.url}{CONFIGURATIONS}?$top=1&$select=displayName&$filter=displayName ne 'Apps'"
    for _ in range(10):
        body = ok(admin.get(address))
        seen += [one["displayName"] for one in body["value"]]
        assert all(set(one) <= {"@odata.type", "id", "displayName"} for one in body["value"])
        if "@odata.nextLink" not in body:
            break
        address = body["@odata.nextLink"]
        assert address.startswith(f"{running.graph.url}/beta/")
    assert sorted(seen) == ["Mail", "Root", "Wi-Fi"]
    assert code(admin.get(CONFIGURATIONS, params={"$skiptoken": "x"})) == (400, "skiptoken_not_understood")
    for top in ("0", "101", "x", "-1"):
        assert admin.get(CONFIGURATIONS, params={"$top": top}).status_code == 400
        assert admin.get(CONFIGURATIONS, params={"top": top}).status_code == 400


def test_configurations_that_cannot_be_are_refused(admin: httpx.Client) -> None:
    wifi = {"@odata.type": WIFI_TYPE, "displayName": "W", "ssid": "W", "trustedServerCertificateNames": ["a.example"]}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "property_missing"),
        ({"@odata.type": "#microsoft.graph.iosVpnConfiguration"}, "type_not_supported"),
        ({"@odata.type": 7}, "malformed"),
        ({"@odata.type": ROOT_TYPE, "displayName": "R"}, "property_missing"),
        ({"@odata.type": ROOT_TYPE, "trustedRootCertificate": root_certificate()}, "property_missing"),
        ({"@odata.type": ROOT_TYPE, "displayName": "R", "trustedRootCertificate": "AAAA"}, "malformed_profile"),
        ({"@odata.type": ROOT_TYPE, "displayName": "R", "trustedRootCertificate": "ä"}, "malformed"),
        ({"@odata.type": APPS_TYPE, "displayName": "A", "certificateAccessType": "specificApps"}, "malformed_profile"),
        ({"@odata.type": APPS_TYPE, "displayName": "A", "certificateAccessType": "all"}, "malformed"),
        ({"@odata.type": APPS_TYPE, "displayName": "A", "description": "a\u0000b"}, "malformed_profile"),
        (wifi, "malformed_profile"),
        ({**wifi, "etymonTrustedRootIds": [str(uuid4())]}, "trusted_root_not_found"),
        ({**wifi, "etymonTrustedRootIds": ["x"]}, "malformed"),
        ({**wifi, "eapType": "peap"}, "value_not_supported"),
        ({**wifi, "rootCertificateForServerValidation@odata.bind": "x"}, "bind_not_understood"),
        ({"@odata.type": MAIL_TYPE, "displayName": "M", "accountName": "A"}, "property_missing"),
        (
            {"@odata.type": MAIL_TYPE, "displayName": "M", "accountName": "A", "hostName": "m",
             "smimeSigningByDefaultEnabled": True},
            "malformed_profile",
        ),
    ]  # fmt: skip
    for body, expected in cases:
        assert code(admin.post(CONFIGURATIONS, json=body)) == (400, expected)
    made = configurations(admin)
    root = f"{CONFIGURATIONS}/{made['root']['id']}"
    assert code(admin.patch(root, json={"@odata.type": WIFI_TYPE})) == (400, "profile_type_stays")
    assert code(admin.delete(root)) == (409, "profile_referred_to")
    gone(admin.delete(f"{CONFIGURATIONS}/{made['wifi']['id']}"))
    gone(admin.delete(root))
    assert code(admin.delete(root)) == (404, "profile_not_found")
    assert code(admin.get(root)) == (404, "profile_not_found")


def test_assignments_are_replaced_added_and_removed(running: RunningSite, admin: httpx.Client) -> None:
    group, other = running.site.group("Field"), running.site.group("Contractors")
    path = f"{CONFIGURATIONS}/{configurations(admin)['apps']['id']}"

    def target(kind: str, group_id: object = None) -> dict[str, Any]:
        named = {"@odata.type": f"#microsoft.graph.{kind}"}
        return {"target": named | ({"groupId": str(group_id)} if group_id else {}), "intent": "apply"}

    lines = [
        target("groupAssignmentTarget", group),
        target("exclusionGroupAssignmentTarget", other),
        target("groupAssignmentTarget", group),
    ]
    assigned = ok(admin.post(f"{path}/assign", json={"assignments": lines}))["value"]
    assert len(assigned) == 2
    assert ok(admin.get(f"{path}/assignments"))["value"] == sorted(assigned, key=lambda line: line["id"])
    added = created(admin.post(f"{path}/assignments", json=target("allLicensedUsersAssignmentTarget")))
    again = created(admin.post(f"{path}/assignments", json=target("allLicensedUsersAssignmentTarget")))
    assert again["target"] == added["target"]
    assert len(ok(admin.get(f"{path}/assignments"))["value"]) == 3
    gone(admin.delete(f"{path}/assignments/{again['id']}"))
    assert admin.delete(f"{path}/assignments/{again['id']}").status_code == 404
    refused: list[dict[str, Any]] = [
        {},
        {"assignments": {}},
        {"assignments": [{}]},
        {"assignments": [target("groupAssignmentTarget")]},
        {"assignments": [target("groupAssignmentTarget", "x")]},
        {"assignments": [target("groupAssignmentTarget", uuid4())]},
        {"assignments": [target("something")]},
        {"assignments": [target("allDevicesAssignmentTarget")] * 201},
    ]
    for wrong in refused:
        assert admin.post(f"{path}/assign", json=wrong).status_code == 400
    assert ok(admin.post(f"{path}/assign", json={"assignments": []}))["value"] == []
