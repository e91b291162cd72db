# SPDX-License-Identifier: Apache-2.0
"""Trust entries, people, groups and issuance rules as the administration API writes them."""

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from etymon.kernel.errors import EtymonError, Unavailable
from etymon.pki import certificate as certificates
from etymon.server.apply import named_files
from etymon.server.apply.names import Names
from etymon.server.apply.resource import Binary, Kind, Reference, Resource, Value


def trust_entry(item: Mapping[str, Any], _: Names) -> Resource:
    """Read a trust entry."""
    properties: dict[str, Value] = {
        "kind": item["kind"],
        "anchors": tuple(map(certificate, item["anchors"])),
        "intermediates": tuple(map(certificate, item["intermediates"])),
        "policies": tuple(sorted(item["policies"])),
        "identifier": item["identifier"],
        "upnSuffixes": tuple(sorted(item["upnSuffixes"])),
        "statusHosts": tuple(sorted(item["statusHosts"])),
    }
    return Resource(Kind.TRUST_ENTRY, item["name"], properties, id=item["name"])


def attestation_authority(item: Mapping[str, Any]) -> Resource:
    """Read an attestation authority."""
    listed = item["revokedSerialNumbers"]
    properties: dict[str, Value] = {
        "roots": tuple(sorted(map(certificate, item["roots"]), key=lambda root: root.base64)),
        "statusList": None if listed is None else named_files.status_value(listed),
    }
    return Resource(Kind.ATTESTATION_AUTHORITY, item["name"], properties, id=item["name"])


def attestation_authority_body(wanted: Resource, _: Collection[str], __: Names) -> dict[str, object]:
    """Write a whole attestation authority."""
    listed = wanted.properties["statusList"]
    return {
        "roots": written(wanted.properties["roots"]),
        "revokedSerialNumbers": named_files.serials(listed) if isinstance(listed, Binary) else None,
    }


def user(item: Mapping[str, Any], _: Names) -> Resource:
    """Read a user; cards and roles are read elsewhere."""
    properties: dict[str, Value] = {
        "userPrincipalName": item["userPrincipalName"],
        "displayName": item["displayName"],
        "mail": item["mail"] or "",
        "otherMails": tuple(item["otherMails"]),
    }
    return Resource(Kind.USER, item["userPrincipalName"], properties, id=item["id"])


def user_body(wanted: Resource, fields: Collection[str], _: Names) -> dict[str, object]:
    """Write a user. `mail` and `otherMails` together are the addresses: one is never sent without the other."""
    sent = set(fields) | ({"mail", "otherMails"} if {"mail", "otherMails"} & set(fields) else set())
    body = {field: written(wanted.properties[field]) for field in sent}
    return body | ({"mail": body["mail"] or None} if "mail" in body else {})


def group(item: Mapping[str, Any], _: Names) -> Resource:
    """Read a group; its members are read elsewhere."""
    properties: dict[str, Value] = {"name": item["displayName"], "description": item["description"] or ""}
    return Resource(Kind.GROUP, item["displayName"], properties, id=item["id"])


def group_body(wanted: Resource, fields: Collection[str], _: Names) -> dict[str, object]:
    """Write a group."""
    return renamed(wanted, fields, {"name": "displayName"})


def issuance_rule(item: Mapping[str, Any], names: Names) -> Resource:
    """Read an issuance rule."""
    properties: dict[str, Value] = {
        "groups": in_order(names.reference(Kind.GROUP, id_) for id_ in item["groupIds"]),
        "purposes": tuple(sorted(item["purposes"])),
        "lifetimeDays": item["lifetimeDays"],
        "keyTypes": tuple(sorted(item["keyTypes"])),
        "encryptionKeyType": item["encryptionKeyType"],
        "managedDevicesOnly": item["managedDevicesOnly"],
        "linkPassword": item["linkPassword"],
        "keyHistory": item["keyHistory"],
        "devicesPerPerson": item["devicesPerPerson"],
        "instructionsUrl": item["instructionsUrl"] or "",
        "approval": item["approval"],
        "deviceModels": tuple(item["deviceModels"]),
        "attestation": item["attestation"],
        "attestationLevel": item["attestationLevel"],
        "verifiedBoot": item["verifiedBoot"],
    }
    return Resource(Kind.ISSUANCE_RULE, item["name"], properties, id=item["name"])


def issuance_rule_body(wanted: Resource, _: Collection[str], names: Names) -> dict[str, object]:
    """Write a whole issuance rule."""
    body = {field: written(value) for field, value in wanted.properties.items() if field != "groups"}
    groups = wanted.properties["groups"]
    references = groups if isinstance(groups, tuple) else ()
    return body | {"groupIds": [names.id_of(item) for item in references if isinstance(item, Reference)]}


def whole_body(wanted: Resource, _: Collection[str], __: Names) -> dict[str, object]:
    """Write all properties under their own names."""
    return {field: written(value) for field, value in wanted.properties.items()}


def renamed(wanted: Resource, fields: Collection[str], names: Mapping[str, str]) -> dict[str, object]:
    """Write some properties, those of `names` under another name."""
    return {names.get(field, field): written(wanted.properties[field]) for field in fields}


def written(value: "Value | Reference") -> object:
    """Return a value as JSON."""
    match value:
        case Binary(base64=text):
            return text
        case Reference(name=name):
            return name
        case tuple():
            return [written(item) for item in value]
        case _:
            return value


def certificate(text: str) -> Binary:
    """Return a certificate of the API as a value."""
    try:
        return named_files.certificate_value(certificates.load(base64.b64decode(text, validate=True)))
    except (EtymonError, binascii.Error) as exc:
        raise Unavailable("api_not_understood", "The API answers with a certificate that cannot be read.") from exc


def in_order(references: Iterable[Reference]) -> tuple[Reference, ...]:
    """Return references in an order of their own, each once."""
    return tuple(sorted(set(references), key=lambda reference: reference.key[1]))
