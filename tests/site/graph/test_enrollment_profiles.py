# SPDX-License-Identifier: Apache-2.0
"""Enrollment profiles over the administration API, and the codes that phones scan."""

import base64
import io
from typing import Any

import httpx
import zxingcpp
from PIL import Image

from etymon.directory.model import Role
from etymon.kernel.secret import Secret
from etymon.wire import enrollment_qr
from support.graph_answers import (
    PROFILES,
    code,
    created,
    gone,
    ok,
)
from support.mdm_listeners import RunningSite


def test_an_enrollment_profile_and_its_code(running: RunningSite, admin: httpx.Client) -> None:
    body = {
        "@odata.type": "#microsoft.graph.androidDeviceOwnerEnrollmentProfile",
        "displayName": "HQ",
        "enrollmentMode": "corporateOwnedFullyManaged",
        "enrollmentTokenType": "default",
        "configureWifi": True,
        "wifiSsid": "setup",
        "wifiSecurityType": "wpa",
        "wifiPassword": "open sesame",
        "deviceNameTemplate": "HQ-{{SERIAL}}",
        "roleScopeTagIds": ["0"],
        "tokenValue": "ignored",
    }
    profile = created(admin.post(PROFILES, json=body))
    path = f"{PROFILES}/{profile['id']}"
    assert (profile["tokenValue"], profile["qrCodeImage"], profile["wifiPassword"]) == (None, None, None)
    gone(admin.post(f"{path}/createToken", json={"tokenValidityInSeconds": 3600}))
    shown = ok(admin.get(path))
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(base64.b64decode(shown["qrCodeImage"]["value"]))))
    assert shown["qrCodeImage"]["type"] == "image/png"
    assert found.text == shown["qrCodeContent"]
    scanned = enrollment_qr.decode(found.text)
    assert scanned.invitation.token.reveal() == shown["tokenValue"]
    assert scanned.invitation.server == running.site.deps.server_url
    assert scanned.invitation.pin == running.site.deps.tls_pin
    assert scanned.network is not None
    assert scanned.network.password is not None
    assert scanned.network.password.reveal() == "open sesame"
    assert shown["etymonSimulatorOnly"] is True
    assert base64.b64decode(shown["etymonQrCodeImageSvg"]["value"]).startswith(b"<?xml")
    (listed,) = ok(admin.get(PROFILES))["value"]
    assert listed["tokenValue"] == shown["tokenValue"]
    assert "qrCodeImage" not in listed
    selected = ok(admin.get(path, params={"$select": "qrCodeImage"}))
    assert {name for name in selected if not name.startswith("@")} == {"id", "qrCodeImage"}


def test_a_token_is_replaced_revoked_and_filtered_by_its_end(running: RunningSite, admin: httpx.Client) -> None:
    profile = created(admin.post(PROFILES, json={"displayName": "HQ"}))
    path = f"{PROFILES}/{profile['id']}"
    gone(admin.post(f"{path}/createToken"))
    first = ok(admin.get(path))
    assert first["tokenExpirationDateTime"] is None
    gone(admin.post(f"{path}/createToken", json={"tokenValidityInSeconds": 60}))
    second = ok(admin.get(path))
    assert second["tokenValue"] not in {None, first["tokenValue"]}
    now = f"{running.site.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    for condition, count in (("gt", 1), ("lt", 0)):
        found = ok(admin.get(PROFILES, params={"$filter": f"tokenExpirationDateTime {condition} {now}"}))
        assert len(found["value"]) == count
    gone(admin.post(f"{path}/revokeToken"))
    gone(admin.post(f"{path}/revokeToken"))
    assert ok(admin.get(path))["tokenValue"] is None
    for wrong in (0, -1, 2**31, "60", 1.5, True):
        assert admin.post(f"{path}/createToken", json={"tokenValidityInSeconds": wrong}).status_code == 400
    gone(admin.delete(path))
    for method, tail in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/createToken"),
        ("POST", "/revokeToken"),
        ("PATCH", ""),
    ):
        assert admin.request(method, path + tail, json={}).status_code == 404


def test_a_profiles_network_keeps_its_password_until_it_is_said_otherwise(admin: httpx.Client) -> None:
    network = {"configureWifi": True, "wifiSsid": "setup", "wifiSecurityType": "wpa", "wifiPassword": "open sesame"}
    profile = created(admin.post(PROFILES, json={"displayName": "HQ", **network}))
    path = f"{PROFILES}/{profile['id']}"
    gone(admin.post(f"{path}/createToken"))
    ok(admin.patch(path, json={"description": "changed", "wifiPassword": None}))
    scanned = enrollment_qr.decode(ok(admin.get(path))["qrCodeContent"])
    assert scanned.network is not None
    assert scanned.network.password is not None
    ok(admin.patch(path, json={"configureWifi": False}))
    shown = ok(admin.get(path))
    assert (shown["configureWifi"], shown["wifiSsid"]) == (False, None)
    assert enrollment_qr.decode(shown["qrCodeContent"]).network is None


def test_a_password_that_opens_no_more_is_missing_and_is_given_again(running: RunningSite, admin: httpx.Client) -> None:
    network = {"configureWifi": True, "wifiSsid": "setup", "wifiSecurityType": "wpa", "wifiPassword": "open sesame"}
    path = f"{PROFILES}/{created(admin.post(PROFILES, json={'displayName': 'HQ', **network}))['id']}"
    gone(admin.post(f"{path}/createToken"))
    running.site.garble_network_passwords()
    (listed,) = ok(admin.get(PROFILES))["value"]
    shown = ok(admin.patch(path, json={"description": "changed"}))
    for found in (listed, shown):
        assert (found["wifiSsid"], found["wifiSecurityType"]) == ("setup", "wpa")
        assert found["etymonWifiPasswordMissing"] is True
    assert shown["qrCodeContent"] is shown["qrCodeImage"] is None
    refused = admin.post(f"{path}/createToken")
    assert code(refused) == (409, "wifi_password_missing")
    assert "Wi-Fi setup of the enrollment profile HQ" in refused.json()["error"]["message"]
    assert ok(admin.get(path))["tokenValue"] == shown["tokenValue"], "a refusal leaves the token"
    assert admin.patch(path, json={"wifiSsid": "another"}).status_code == 400
    healed = ok(admin.patch(path, json={"wifiPassword": "open again"}))
    gone(admin.post(f"{path}/createToken"))
    scanned = enrollment_qr.decode(ok(admin.get(path))["qrCodeContent"])
    assert healed["etymonWifiPasswordMissing"] is False
    assert scanned.network == enrollment_qr.SetupNetwork("setup", "WPA", Secret("open again"))


def test_only_administrators_see_what_admits_phones(running: RunningSite, admin: httpx.Client) -> None:
    profile = created(admin.post(PROFILES, json={"displayName": "HQ"}))
    path = f"{PROFILES}/{profile['id']}"
    gone(admin.post(f"{path}/createToken"))
    auditor = running.administration(running.somebody("auditor", Role.AUDITOR))
    for shown in (ok(auditor.get(path)), ok(auditor.get(PROFILES))["value"][0]):
        assert shown["tokenValue"] is None
        assert not shown.get("qrCodeContent")
        assert shown["tokenCreationDateTime"] is not None


def test_enrollment_profiles_that_cannot_be_are_refused(admin: httpx.Client) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "property_missing"),
        ({"displayName": "HQ", "enrollmentMode": "corporateOwnedDedicatedDevice"}, "value_not_supported"),
        ({"displayName": "HQ", "enrollmentTokenType": "deviceStaging"}, "value_not_supported"),
        ({"displayName": "HQ", "deviceNameTemplate": "{{RAND:3}}"}, "malformed_profile"),
        ({"displayName": "HQ", "description": "a\u0000b"}, "malformed_profile"),
        ({"displayName": "HQ", "wifiSsid": "x" * 33}, "malformed_enrollment_code"),
        ({"displayName": "HQ", "wifiSsid": "x", "wifiSecurityType": "wpa"}, "malformed_enrollment_code"),
        ({"displayName": "HQ", "wifiSsid": "x", "wifiSecurityType": "eap"}, "malformed"),
    ]
    for body, expected in cases:
        assert code(admin.post(PROFILES, json=body)) == (400, expected)
