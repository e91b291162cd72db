# SPDX-License-Identifier: Apache-2.0
"""Issuer, branding, trust entries, issuance rules and roles over the administration API."""

import base64
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey
from PIL import Image

from etymon.ca import ceremony
from etymon.ca.model import SubjectNames
from etymon.directory import people
from etymon.pki.certificate import to_der
from support import declared_pki
from support.graph_answers import (
    BRANDING,
    ISSUERS,
    code,
    configurations,
    created,
    gone,
    ok,
)
from support.mdm_listeners import RunningSite


def test_the_issuer_is_set_once_changed_and_deleted(admin: httpx.Client) -> None:
    body = {
        "@odata.type": "#microsoft.graph.deviceManagementDerivedCredentialSettings",
        "displayName": "Agency issuer",
        "helpUrl": "https://help.agency.example/dc",
        "issuer": "etymon",
        "notificationType": "companyPortal,email",
        "renewalThresholdPercentage": 20,
        "etymonIssuerUrl": "https://issuer.agency.example/issuer",
    }
    issuer = created(admin.post(ISSUERS, json=body))
    path = f"{ISSUERS}/{issuer['id']}"
    assert {name: issuer[name] for name in body} == body
    assert issuer["etymonSelfServiceUrl"] == "https://issuer.agency.example/issuer/"
    assert code(admin.post(ISSUERS, json=body)) == (409, "issuer_exists")
    for flags in ("none", "email", "companyPortal"):
        assert ok(admin.patch(path, json={"notificationType": flags}))["notificationType"] == flags
    assert ok(admin.patch(path, json={**body, "displayName": "Renamed"}))["displayName"] == "Renamed"
    elsewhere = {"etymonIssuerUrl": "https://elsewhere.example/issuer"}
    assert code(admin.patch(path, json=elsewhere)) == (400, "issuer_stays")
    gone(admin.delete(path))
    assert code(admin.get(path)) == (404, "issuer_not_found")
    assert ok(admin.get(ISSUERS))["value"] == []
    created(admin.post(ISSUERS, json=body))
    refused: list[dict[str, Any]] = [
        {"issuer": "purebred"},
        {"issuer": None},
        {"notificationType": "none,email"},
        {"notificationType": "sms"},
        {"renewalThresholdPercentage": 0},
        {"etymonIssuerUrl": "http://issuer.agency.example"},
        {"etymonIssuerUrl": None},
        {"helpUrl": "javascript:alert(1)"},
        {"displayName": ""},
    ]
    for wrong in refused:
        assert admin.post(ISSUERS, json={**body, **wrong}).status_code == 400


def png(size: int = 100) -> str:
    buffer = io.BytesIO()
    Image.effect_noise((size, size), 50).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_branding_is_set_once_changed_and_deleted(admin: httpx.Client) -> None:
    logo = {"type": "image/png", "value": png()}
    body = {
        "profileName": "Default",
        "displayName": "Ministry of Tests",
        "themeColor": {"r": 170, "g": 0, "b": 255},
        "themeColorLogo": logo,
        "contactITNotes": "Call 555",
        "showLogo": True,
    }
    branding = created(admin.post(BRANDING, json=body))
    path = f"{BRANDING}/{branding['id']}"
    assert {name: branding[name] for name in body} == body
    assert code(admin.post(BRANDING, json=body)) == (409, "branding_exists")
    assert ok(admin.patch(path, json={"displayName": "Tests"}))["themeColorLogo"] == logo
    assert ok(admin.patch(path, json={"themeColorLogo": None}))["showLogo"] is False
    refused: list[dict[str, Any]] = [
        {"displayName": "x" * 65},
        {"displayName": "a\nb"},
        {"themeColor": {"r": 256, "g": 0, "b": 0}},
        {"themeColor": {"r": 1}},
        {"themeColorLogo": {"type": "image/svg+xml", "value": "PHN2Zy8+"}},
        {"themeColorLogo": {"type": "image/jpeg", "value": png()}},
        {"themeColorLogo": {"type": "image/png", "value": "%"}},
        {"themeColorLogo": {"type": "image/png", "value": png(800)}},
    ]
    for wrong in refused:
        assert admin.patch(path, json=wrong).status_code == 400, wrong
    gone(admin.delete(path))
    assert code(admin.get(path)) == (404, "branding_not_found")
    assert admin.post(BRANDING, json={}).status_code == 400


def test_trust_entries_are_put_by_name(running: RunningSite, admin: httpx.Client) -> None:
    root = declared_pki.root(running.site.clock.now(), "Agency Card CA").certificate
    body = {
        "name": "ignored",
        "kind": "card",
        "anchors": [base64.b64encode(root.public_bytes(Encoding.DER)).decode()],
        "policies": ["2.16.840.1.101.3.2.1.3.13"],
        "identifier": "upn",
        "upnSuffixes": ["agency.example"],
        "statusHosts": ["crl.agency.example"],
    }
    path = "/beta/etymon/trustEntries/agency-cards"
    entry = created(admin.put(path, json=body))
    assert entry["name"] == "agency-cards"
    assert entry["intermediates"] == []
    assert {name: entry[name] for name in body} == {**body, "name": "agency-cards"}
    assert ok(admin.put(path, json={**body, "statusHosts": []}))["statusHosts"] == []
    assert ok(admin.get(path))["policies"] == body["policies"]
    assert "agency-cards" in {one["name"] for one in ok(admin.get("/beta/etymon/trustEntries"))["value"]}
    refused: list[dict[str, Any]] = [
        {"kind": "other"},
        {"anchors": []},
        {"anchors": ["AAAA"]},
        {"anchors": ["%"]},
        {"policies": []},
        {"policies": ["2.5.29.32.0"]},
        {"identifier": "name"},
        {"upnSuffixes": []},
        {"statusHosts": ["HTTP://X"]},
        {"anchors": None},
    ]
    for wrong in refused:
        assert admin.put(path, json={**body, **wrong}).status_code == 400, wrong
    assert admin.put("/beta/etymon/trustEntries/UPPER", json=body).status_code == 400
    gone(admin.delete(path))
    assert admin.delete(path).status_code == 404
    assert admin.get(path).status_code == 404


def test_scep_connectors_and_their_clients_are_an_officers(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client
) -> None:
    ca = running.site.ca
    managed = [new for new in ceremony.deployment(SubjectNames(organization="A")) if new.name.startswith("managed")]
    ceremony.create(ca.deps, ca.keys, managed, actor="test")
    key = ECKey.generate_key("P-256").as_dict(private=True)
    client = {"displayName": "Other manager", "publicKey": key, "deviceTrustEntries": ["device"]}
    registered = ok(officer.put("/beta/etymon/managementClients/other", json=client))
    assert registered["publicKey"].keys() == {"kty", "crv", "x", "y"}, "what was private is not taken"
    assert officer.put("/beta/etymon/managementClients/o", json={**client, "publicKey": {}}).status_code == 400
    body = {"challengeSource": "management", "clientId": "other", "lifetimeDays": 90}
    path = "/beta/etymon/scepConnectors/fleet"
    assert admin.put(path, json=body).status_code == 403
    made = created(officer.put(path, json=body))
    assert (made["keyTypes"], made["legacyAlgorithms"]) == (["rsa2048", "rsa3072", "rsa4096"], False)
    assert made["url"].endswith("/scep/fleet")
    assert "pagePassword" not in made
    paged = ok(officer.put(path, json={**body, "challengeSource": "page", "legacyAlgorithms": True}))
    assert len(paged["pagePassword"]) >= 20
    (listed,) = ok(admin.get("/beta/etymon/scepConnectors"))["value"]
    assert (listed["name"], listed["legacyAlgorithms"], "pagePassword" in listed) == ("fleet", True, False)
    chosen = {**body, "challengeSource": "page", "pagePassword": "chosen-and-drawn-at-random"}
    kept = ok(officer.put(path, json=chosen))
    assert ("pagePassword" in kept, kept["connectorId"]) == (False, made["connectorId"])
    refused: list[dict[str, Any]] = [
        {"pagePassword": "chosen-and-drawn-at-random"},
        {"challengeSource": "page", "pagePassword": "too-short"},
        {"challengeSource": "page", "pagePassword": "with spaces and more than twenty"},
        {"clientId": None},
        {"clientId": "nobody"},
        {"challengeSource": "static"},
        {"lifetimeDays": 0},
        {"lifetimeDays": 2000},
        {"keyTypes": []},
        {"keyTypes": ["p521"]},
        {"legacyAlgorithms": "yes"},
    ]
    for wrong in refused:
        assert officer.put(path, json={**body, **wrong}).status_code in {400, 404}, wrong
    assert officer.put("/beta/etymon/scepConnectors/UPPER", json=body).status_code == 400
    gone(officer.delete(path))
    assert admin.get(path).status_code == 404
    assert created(officer.put(path, json=chosen))["connectorId"] != made["connectorId"]
    gone(officer.delete("/beta/etymon/managementClients/other"))
    assert officer.put(path, json=body).status_code == 404


def test_attestation_authorities_are_an_administrators(admin: httpx.Client, officer: httpx.Client) -> None:
    root = declared_pki.root(datetime.now(UTC), "Phones").certificate
    body = {"roots": [base64.b64encode(to_der(root)).decode()], "revokedSerialNumbers": ["ab", "12"]}
    path = "/beta/etymon/attestationAuthorities/phones"
    assert officer.put(path, json=body).status_code == 403
    assert created(admin.put(path, json=body))["revokedSerialNumbers"] == ["12", "ab"]
    assert ok(admin.put(path, json={"roots": body["roots"]}))["revokedSerialNumbers"] is None
    (listed,) = ok(officer.get("/beta/etymon/attestationAuthorities"))["value"]
    assert (listed["name"], listed["roots"]) == ("phones", body["roots"])
    assert ok(officer.get(path))["name"] == "phones"
    refusals: tuple[dict[str, object], ...] = (
        {"roots": []},
        {"roots": ["AAAA"]},
        {**body, "revokedSerialNumbers": ["X"]},
    )
    for refused in refusals:
        assert admin.put(path, json=refused).status_code == 400
    assert admin.put("/beta/etymon/attestationAuthorities/UPPER", json=body).status_code == 400
    gone(admin.delete(path))
    assert admin.delete(path).status_code == 404


def test_issuance_rules_are_an_officers(running: RunningSite, admin: httpx.Client, officer: httpx.Client) -> None:
    group = running.site.group("Staff")
    body = {"groupIds": [str(group)], "purposes": ["authentication", "signature"], "lifetimeDays": 365}
    path = "/beta/etymon/issuanceRules/Staff%20phones"
    assert admin.put(path, json=body).status_code == 403
    rule = created(officer.put(path, json=body))
    assert (rule["name"], rule["devicesPerPerson"], rule["managedDevicesOnly"]) == ("Staff phones", 1, True)
    assert rule["keyTypes"] == ["p256", "p384", "rsa2048", "rsa3072"]
    again = ok(officer.put(path, json=body))
    assert again["id"] == rule["id"]
    assert ok(officer.put(path, json={**body, "devicesPerPerson": 2, "keyTypes": ["p256"]}))["devicesPerPerson"] == 2
    assert rule["linkPassword"] is False, "off by default"
    assert (rule["attestation"], rule["attestationLevel"], rule["verifiedBoot"]) == (
        "recorded",
        "trustedEnvironment",
        True,
    )
    asked = {"attestation": "required", "attestationLevel": "strongBox", "verifiedBoot": False}
    assert asked.items() <= ok(officer.put(path, json={**body, **asked})).items()
    assert ok(officer.put(path, json={**body, "linkPassword": True}))["linkPassword"] is True
    (listed,) = ok(admin.get("/beta/etymon/issuanceRules"))["value"]
    assert listed["linkPassword"] is True
    assert listed["groupIds"] == [str(group)]
    refused: list[dict[str, Any]] = [
        {"groupIds": []},
        {"groupIds": ["x"]},
        {"purposes": ["signature"]},
        {"purposes": ["login"]},
        {"lifetimeDays": 2000},
        {"keyTypes": []},
        {"encryptionKeyType": "p256"},
        {"devicesPerPerson": 0},
        {"instructionsUrl": "http://x"},
        {"lifetimeDays": None},
        {"linkPassword": "yes"},
        {"linkPassword": 8},
        {"linkPassword": None},
    ]
    for wrong in refused:
        assert officer.put(path, json={**body, **wrong}).status_code == 400, wrong
    gone(officer.delete(path))
    assert officer.delete(path).status_code == 404
    assert admin.get(path).status_code == 404


def test_roles_are_given_by_those_who_hold_their_kind_and_never_to_themselves(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client
) -> None:
    alice = running.site.directory.person()
    path = f"/beta/etymon/roles/{alice.id}"
    assert ok(admin.get(path))["roles"] == []
    letter = {"authority": "letter"}
    assert code(admin.put(path, json={"roles": ["operator"]})) == (400, "authority_missing")
    assert code(admin.put(path, json={"roles": ["operator"], "authority": " "})) == (400, "authority")
    assert ok(admin.put(path, json={"roles": ["operator"], **letter}))["roles"] == ["operator"]
    assert ok(admin.put(path, json={"roles": ["operator"]}))["roles"] == ["operator"], "nothing changes"
    assert code(admin.put(path, json={"roles": []})) == (400, "authority_missing")
    assert code(admin.put(path, json={"roles": ["officer", "operator"], **letter})) == (403, "separated_roles")
    assert code(officer.put(path, json={"roles": ["auditor"], **letter})) == (403, "separated_roles")
    assert ok(officer.put(path, json={"roles": ["auditor", "operator"], **letter}))["roles"] == ["auditor", "operator"]
    assert code(admin.put(path, json={"roles": ["administrator", "operator"], **letter})) == (403, "separated_roles")
    assert officer.put(path, json={"roles": ["auditor", "officer", "operator"], **letter}).status_code == 409
    assert ok(admin.get(path))["roles"] == ["auditor", "operator"]
    everybody = {
        one["userPrincipalName"].split("@")[0]: one["roles"] for one in ok(admin.get("/beta/etymon/roles"))["value"]
    }
    assert everybody["admin"] == ["administrator"]
    assert everybody["alice"] == ["auditor", "operator"]
    assert code(admin.put("/beta/etymon/roles/admin@example.test", json={"roles": [], **letter})) == (403, "own_roles")
    assert admin.put(path, json={"roles": ["king"], "authority": "letter"}).status_code == 400
    bob = running.somebody("bob")
    agent, path = {"roles": ["keyRecoveryAgent", "officer"]}, f"/beta/etymon/roles/{bob.id}"
    assert code(admin.put(path, json={**agent, "authority": "letter"})) == (403, "separated_roles")
    assert code(officer.put(path, json=agent)) == (400, "authority_missing")
    assert ok(officer.put(path, json={**agent, "authority": "letter"}))["roles"] == agent["roles"]
    assert code(officer.put(path, json={"roles": []})) == (400, "authority_missing")
    assert ok(officer.put(path, json={"roles": [], "authority": "its end"}))["roles"] == []
    assert admin.put(f"/beta/etymon/roles/{uuid4()}", json={"roles": [], "authority": "letter"}).status_code == 404


def test_neither_administrator_nor_officer_opens_an_account_of_the_other(
    admin: httpx.Client, officer: httpx.Client
) -> None:
    card = {"trustEntry": "agency-cards", "identifier": "11112222-3333-4444-8555-666677778888"}
    for caller, other in ((admin, "officer"), (officer, "admin")):
        account = f"/beta/users/{other}@example.test"
        assert code(caller.post(f"{account}/cards", json=card)) == (403, "separated_roles")
        assert code(caller.post(f"{account}/issueBindingCode")) == (403, "separated_roles")
        assert code(caller.patch(account, json={"mail": "elsewhere@example.test"})) == (403, "separated_roles")
        assert ok(caller.get(f"{account}/cards"))["value"] == []
    assert officer.post("/beta/users/officer@example.test/issueBindingCode").status_code == 200


def test_every_write_leaves_its_event(running: RunningSite, admin: httpx.Client) -> None:
    configurations(admin)
    (actor,) = {one.event.actor for one in running.site.events("mdm:configuration_profile:created")}
    with running.site.database.snapshot() as tx:
        person = people.by_user_principal_name(tx, "admin@example.test")
    assert person is not None
    assert actor == f"person:{person.id}"
    assert running.site.clock.now() - running.site.events()[0].recorded_at < timedelta(minutes=1)
