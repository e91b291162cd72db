# SPDX-License-Identifier: Apache-2.0
"""One organisation with something of everything, as a file says it."""

from copy import deepcopy
from typing import Any

CARD = "00000000-0000-4000-8000-000000000001"
AGENCY: dict[str, Any] = {
    "organization": "Test Agency",
    "rolesAuthority": "letter 1/26",
    "trustEntries": [
        {
            "name": "agency-cards",
            "kind": "card",
            "anchors": ["north.pem"],
            "policies": ["2.999.7.13"],
            "identifier": "uuid",
        }
    ],
    "attestationAuthorities": [{"name": "phones", "roots": ["north.pem"], "statusList": "status.json"}],
    "users": [
        {
            "userPrincipalName": "ana@agency.test",
            "displayName": "Ana",
            "mail": "ana@agency.test",
            "cards": [{"trustEntry": "agency-cards", "identifier": CARD.upper()}],
        },
        {"userPrincipalName": "ben@agency.test", "displayName": "Ben", "roles": ["operator"]},
    ],
    "groups": [{"name": "Staff", "members": ["ana@agency.test", "Ben@Agency.test"]}],
    "branding": {"logo": "logo.png"},
    "derivedCredential": {"displayName": "Issuer", "url": "https://issuer.agency.test/issuer"},
    "enrollmentProfiles": [
        {"name": "Phones", "tokenDays": 30, "wifi": {"ssid": "SETUP", "passwordFile": "wifi.txt"}},
    ],
    "configurations": [
        {"type": "trustedRoot", "name": "Root", "certificate": "north.pem", "assignedTo": ["all devices"]},
        {
            "type": "wifi",
            "name": "Office",
            "ssid": "OFFICE",
            "serverNames": ["radius.agency.test"],
            "trustedRoots": ["Root"],
            "assignedTo": ["Staff"],
        },
    ],
    "issuanceRules": [{"name": "staff", "groups": ["Staff"], "purposes": ["authentication"], "lifetimeDays": 365}],
}


def agency(**changes: Any) -> dict[str, Any]:
    return deepcopy(AGENCY) | changes


def without(*sections: str) -> dict[str, Any]:
    return {name: value for name, value in agency().items() if name not in sections}
