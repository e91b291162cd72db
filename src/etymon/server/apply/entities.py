# SPDX-License-Identifier: Apache-2.0
"""Where things of each kind are in the administration API, and how they are written."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias
from urllib.parse import quote

from etymon.server.apply import entities_directory, entities_management
from etymon.server.apply.names import Names
from etymon.server.apply.resource import Kind, Resource

PATHS: Final[Mapping[Kind, str]] = {
    Kind.TRUST_ENTRY: "/etymon/trustEntries",
    Kind.ATTESTATION_AUTHORITY: "/etymon/attestationAuthorities",
    Kind.USER: "/users",
    Kind.GROUP: "/groups",
    Kind.BRANDING: "/deviceManagement/intuneBrandingProfiles",
    Kind.ISSUER: "/deviceManagement/derivedCredentials",
    Kind.ENROLLMENT_PROFILE: "/deviceManagement/androidDeviceOwnerEnrollmentProfiles",
    Kind.CONFIGURATION: "/deviceManagement/deviceConfigurations",
    Kind.ISSUANCE_RULE: "/etymon/issuanceRules",
    Kind.CONNECTOR: "/etymon/scepConnectors",
}
NAMED: Final[Mapping[Kind, str]] = {
    Kind.TRUST_ENTRY: "name",
    Kind.ATTESTATION_AUTHORITY: "name",
    Kind.ISSUANCE_RULE: "name",
    Kind.CONNECTOR: "name",
    Kind.USER: "userPrincipalName",
}
"""The property that names a thing, where it is not `displayName`."""

PUT_BY_NAME: Final = frozenset({Kind.TRUST_ENTRY, Kind.ATTESTATION_AUTHORITY, Kind.ISSUANCE_RULE, Kind.CONNECTOR})
"""Written whole under their name, new or not."""

Body: TypeAlias = Callable[[Resource, Collection[str], Names], dict[str, object]]
BODIES: Final[Mapping[Kind, Body]] = {
    Kind.TRUST_ENTRY: entities_directory.whole_body,
    Kind.ATTESTATION_AUTHORITY: entities_directory.attestation_authority_body,
    Kind.USER: entities_directory.user_body,
    Kind.GROUP: entities_directory.group_body,
    Kind.BRANDING: entities_management.branding_body,
    Kind.ISSUER: entities_management.issuer_body,
    Kind.ENROLLMENT_PROFILE: entities_management.enrollment_profile_body,
    Kind.CONFIGURATION: entities_management.configuration_body,
    Kind.ISSUANCE_RULE: entities_directory.issuance_rule_body,
    Kind.CONNECTOR: entities_management.connector_body,
}


def path_of(kind: Kind, id_: str) -> str:
    """Return the path of one thing."""
    return f"{PATHS[kind]}/{quote(id_, safe='')}"


def name_of(kind: Kind) -> str:
    """Return the property that names things of this kind."""
    return NAMED.get(kind, "displayName")
