# SPDX-License-Identifier: Apache-2.0
"""Branding, issuer, enrollment profiles, configurations and SCEP connectors as the administration API writes them."""

import base64
import binascii
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from etymon.kernel.errors import Unavailable
from etymon.server.apply import named_files
from etymon.server.apply.entities_directory import certificate, in_order, renamed, written
from etymon.server.apply.names import Names
from etymon.server.apply.resource import Binary, Kind, Reference, Resource, Value

GRAPH: Final = "#microsoft.graph."
TYPES: Final[Mapping[str, str]] = {
    "trustedRoot": GRAPH + "androidDeviceOwnerTrustedRootCertificate",
    "derivedCredential": GRAPH + "androidDeviceOwnerDerivedCredentialAuthenticationConfiguration",
    "wifi": GRAPH + "androidDeviceOwnerEnterpriseWiFiConfiguration",
    "email": "#etymon.graph.androidDeviceOwnerEmailProfileConfiguration",
}
PROPERTIES: Final[Mapping[str, Mapping[str, str]]] = {
    "trustedRoot": {"certificate": "trustedRootCertificate", "fileName": "certFileName"},
    "derivedCredential": {},
    "wifi": {
        "ssid": "ssid",
        "networkName": "networkName",
        "serverNames": "trustedServerCertificateNames",
        "outerIdentity": "outerIdentityPrivacyTemporaryValue",
        "connectAutomatically": "connectAutomatically",
        "hidden": "connectWhenNetworkNameIsHidden",
    },
    "email": {
        "accountName": "accountName",
        "host": "hostName",
        "addressSource": "emailAddressSource",
        "signByDefault": "smimeSigningByDefaultEnabled",
        "encryptByDefault": "smimeEncryptByDefaultEnabled",
    },
}
"""The file's words for the API's, where values are the same."""

SOURCES: Final[Mapping[str, str]] = {"signing": "signingCertificateType", "encryption": "encryptionCertificateType"}
NETWORK: Final[Mapping[str, str]] = {
    "wifi.ssid": "wifiSsid",
    "wifi.security": "wifiSecurityType",
    "wifi.hidden": "wifiHidden",
    "wifi.password": "wifiPassword",
}
PASSWORD_MISSING: Final = "password missing"  # noqa: S105 - what is shown in place of a kind of security
"""The security of a network whose password the site cannot open any more, as after some restores."""


def branding(item: Mapping[str, Any], _: Names) -> Resource:
    """Read the branding."""
    color, logo = item["themeColor"], item["themeColorLogo"]
    properties: dict[str, Value] = {
        "displayName": item["displayName"],
        "color": f"#{color['r']:02x}{color['g']:02x}{color['b']:02x}",
        "logo": _image(logo) if logo else None,
        "logoType": logo["type"] if logo else "",
        "support": item["contactITNotes"] or "",
    }
    return Resource(Kind.BRANDING, item["displayName"], properties, id=item["id"])


def branding_body(wanted: Resource, _: Collection[str], __: Names) -> dict[str, object]:
    """Write the branding."""
    values = wanted.properties
    red, green, blue = bytes.fromhex(str(values["color"]).removeprefix("#"))
    logo = values["logo"]
    return {
        "profileName": values["displayName"],
        "displayName": values["displayName"],
        "themeColor": {"r": red, "g": green, "b": blue},
        "themeColorLogo": {"type": values["logoType"], "value": logo.base64} if isinstance(logo, Binary) else None,
        "contactITNotes": values["support"],
    }


def issuer(item: Mapping[str, Any], _: Names) -> Resource:
    """Read the issuer of derived credentials."""
    properties: dict[str, Value] = {
        "displayName": item["displayName"],
        "helpUrl": item["helpUrl"] or "",
        "notifications": tuple(sorted(flag for flag in item["notificationType"].split(",") if flag != "none")),
        "renewalThresholdPercentage": item["renewalThresholdPercentage"],
    }
    return Resource(Kind.ISSUER, item["displayName"], properties, fixed={"url": item["etymonIssuerUrl"]}, id=item["id"])


def issuer_body(wanted: Resource, fields: Collection[str], _: Names) -> dict[str, object]:
    """Write the issuer; who it is goes with its making only."""
    own = {"notifications": "notificationType", "url": "etymonIssuerUrl"}
    body = {own.get(field, field): written(_value(wanted, field)) for field in fields}
    if "notificationType" in body:
        body["notificationType"] = ",".join(_texts(wanted.properties["notifications"])) or "none"
    return body | ({"issuer": "etymon"} if "url" in fields else {})


def enrollment_profile(item: Mapping[str, Any], now: datetime) -> Resource:
    """Read an enrollment profile; its network's password is never told."""
    with_network, security = item["configureWifi"], item["wifiSecurityType"] or "none"
    if item.get("etymonWifiPasswordMissing"):  # no file says so: the network is a difference, and is written whole
        security = PASSWORD_MISSING
    properties: dict[str, Value] = {
        "name": item["displayName"],
        "description": item["description"] or "",
        "deviceNameTemplate": item["deviceNameTemplate"] or "",
        "wifi.ssid": item["wifiSsid"] or "" if with_network else "",
        "wifi.security": security if with_network else "none",
        "wifi.hidden": bool(item["wifiHidden"]) if with_network else False,
    }
    ends = item["tokenExpirationDateTime"]
    valid = bool(item["tokenCreationDateTime"]) and (ends is None or datetime.fromisoformat(ends) > now)
    return Resource(Kind.ENROLLMENT_PROFILE, item["displayName"], properties, has_token=valid, id=item["id"])


def enrollment_profile_body(wanted: Resource, fields: Collection[str], _: Names) -> dict[str, object]:
    """Write an enrollment profile; a network is written whole, with its password."""
    plain = [field for field in fields if field not in NETWORK]
    body = renamed(wanted, plain, {"name": "displayName"})
    if len(plain) == len(fields):
        return body
    if not wanted.properties["wifi.ssid"]:
        return body | {"configureWifi": False}
    body["configureWifi"] = True
    body |= renamed(wanted, [field for field in NETWORK if field in wanted.properties], NETWORK)
    return body | {NETWORK[field]: secret.reveal() for field, secret in wanted.secrets.items()}


def configuration(item: Mapping[str, Any], names: Names) -> Resource:
    """Read a configuration; whom it is assigned to is read elsewhere. A type not known here has no settings."""
    kind = next((short for short, type_ in TYPES.items() if type_ == item["@odata.type"]), item["@odata.type"])
    properties: dict[str, Value] = {"name": item["displayName"], "description": item["description"] or ""}
    for field, own in PROPERTIES.get(kind, {}).items():
        value = item[own]
        properties[field] = tuple(sorted(value)) if isinstance(value, list) else value
    if kind == "trustedRoot":
        properties["certificate"] = certificate(item["trustedRootCertificate"])
    elif kind == "derivedCredential":
        properties["apps"] = tuple(sorted(app["packageId"] for app in item["silentCertificateAccessDetails"]))
    elif kind == "wifi":
        roots = (names.reference(Kind.CONFIGURATION, id_) for id_ in item["etymonTrustedRootIds"])
        properties["trustedRoots"] = in_order(roots)
    elif kind == "email":
        derived = {field: item[own] == "derivedCredential" for field, own in SOURCES.items()}
        properties |= {field: "derived" if chosen else "none" for field, chosen in derived.items()}
    return Resource(Kind.CONFIGURATION, item["displayName"], properties, fixed={"type": kind}, id=item["id"])


def configuration_body(wanted: Resource, fields: Collection[str], names: Names) -> dict[str, object]:
    """Write a configuration."""
    kind = str(wanted.fixed["type"])
    own = {"name": "displayName", **PROPERTIES[kind]}
    body: dict[str, object] = {"@odata.type": TYPES[kind]}
    for field in (field for field in fields if field in wanted.properties):
        value = wanted.properties[field]
        if field == "apps":
            body["certificateAccessType"] = "specificApps" if value else "userApproval"
            body["silentCertificateAccessDetails"] = [{"packageId": name} for name in _texts(value)]
        elif field == "trustedRoots":
            roots = value if isinstance(value, tuple) else ()
            body["etymonTrustedRootIds"] = [names.id_of(root) for root in roots if isinstance(root, Reference)]
        elif field in SOURCES and kind == "email":
            body[SOURCES[field]] = "derivedCredential" if value == "derived" else "none"
        else:
            body[own.get(field, field)] = written(value)
    return body


def connector(item: Mapping[str, Any], _: Names) -> Resource:
    """Read a SCEP connector; its page's password is never told."""
    properties: dict[str, Value] = {
        "challengeSource": item["challengeSource"],
        "client": item["clientId"] or "",
        "lifetimeDays": item["lifetimeDays"],
        "keyTypes": tuple(sorted(item["keyTypes"])),
        "legacyAlgorithms": item["legacyAlgorithms"],
    }
    return Resource(Kind.CONNECTOR, item["name"], properties, id=item["name"])


def connector_body(wanted: Resource, _: Collection[str], __: Names) -> dict[str, object]:
    """Write a whole SCEP connector, with its page's password."""
    body = renamed(wanted, wanted.properties, {"client": "clientId"})
    body["clientId"] = body["clientId"] or None
    return body | {field: secret.reveal() for field, secret in wanted.secrets.items()}


def _value(wanted: Resource, field: str) -> Value:
    return wanted.fixed[field] if field in wanted.fixed else wanted.properties[field]


def _texts(value: Value) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, tuple) else []


def _image(logo: Mapping[str, Any]) -> Binary:
    try:
        return named_files.image_value(logo["type"], base64.b64decode(logo["value"], validate=True))
    except binascii.Error as exc:
        raise Unavailable("api_not_understood", "The API answers with a logo that cannot be read.") from exc
