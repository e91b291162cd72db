# SPDX-License-Identifier: Apache-2.0
"""From parts of the file to the things they describe; reads the files that they name."""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel

from etymon.kernel.errors import Malformed
from etymon.pki import leaf_checks
from etymon.pki.trust_entry import IdentifierKind
from etymon.server.apply import named_files, wanted_configurations
from etymon.server.apply.document import (
    ALL_DEVICES,
    ALL_USERS,
    Assigned,
    AttestationAuthorityDocument,
    BrandingDocument,
    CardDocument,
    ConnectorDocument,
    EnrollmentProfileDocument,
    GroupDocument,
    IssuanceRuleDocument,
    IssuerDocument,
    OrganizationDocument,
    UserDocument,
)
from etymon.server.apply.resource import Card, HeldRole, Joined, Kind, Link, Reference, Resource, Value
from etymon.server.trust_documents import TrustDocument


def resource(part: BaseModel, document: OrganizationDocument, folder: Path) -> Resource:  # noqa: PLR0911, C901 - one a kind
    """Return the thing a part of the file describes; raises Malformed for a file or value that cannot be used."""
    match part:
        case TrustDocument():
            return _trust_entry(part, folder)
        case AttestationAuthorityDocument():
            return _attestation_authority(part, folder)
        case UserDocument():
            return _user(part, document, folder)
        case GroupDocument():
            return _group(part)
        case BrandingDocument():
            return _branding(part, document, folder)
        case IssuerDocument():
            return _issuer(part)
        case EnrollmentProfileDocument():
            return _enrollment_profile(part, folder)
        case Assigned():
            return wanted_configurations.resource(part, folder)
        case IssuanceRuleDocument():
            return _issuance_rule(part)
        case ConnectorDocument():
            return _connector(part, folder)
        case _:
            message = f"no thing is described by {type(part).__name__}"
            raise TypeError(message)


def _trust_entry(part: TrustDocument, folder: Path) -> Resource:
    entry = part.to_entry(folder)
    properties: dict[str, Value] = {
        "kind": entry.kind.value,
        "anchors": tuple(map(named_files.certificate_value, entry.anchors)),
        "intermediates": tuple(map(named_files.certificate_value, entry.intermediates)),
        "policies": tuple(sorted(entry.policies)),
        "identifier": entry.identifier.value,
        "upnSuffixes": tuple(sorted(entry.upn_suffixes)),
        "statusHosts": tuple(sorted(entry.status_hosts)),
    }
    return Resource(Kind.TRUST_ENTRY, entry.name, properties)


def _attestation_authority(part: AttestationAuthorityDocument, folder: Path) -> Resource:
    status = named_files.attestation_status(folder / part.status_list) if part.status_list else None
    properties: dict[str, Value] = {
        "roots": named_files.roots(folder / name for name in part.roots),
        "statusList": named_files.status_value(status.serials) if status else None,
    }
    return Resource(Kind.ATTESTATION_AUTHORITY, part.name, properties)


def _user(part: UserDocument, document: OrganizationDocument, folder: Path) -> Resource:
    properties: dict[str, Value] = {
        "userPrincipalName": part.user_principal_name,
        "displayName": part.display_name,
        "mail": part.mail,
        "otherMails": part.other_mails,
    }
    if part.other_mails and not part.mail:
        raise Malformed("organization_file", "otherMails go beside mail. Write the first address as mail.")
    links: dict[Link, frozenset[Joined]] = {}
    if part.says("cards"):
        links[Link.CARDS] = frozenset(_card(card, document, folder) for card in part.cards)
    if part.says("roles"):
        links[Link.ROLES] = frozenset(map(HeldRole, part.roles))
    authority = part.roles_authority.strip() or document.roles_authority.strip()
    return Resource(Kind.USER, part.user_principal_name, properties, links=links, roles_authority=authority)


def _card(part: CardDocument, document: OrganizationDocument, folder: Path) -> Card:
    trust = next((entry for entry in document.trust_entries if entry.name == part.trust_entry), None)
    if part.certificate:
        if trust is None:
            raise Malformed(
                "organization_file",
                f"The trust entry {part.trust_entry} is not in this file, so that it is not known what of the "
                "certificate names the card. Write its identifier.",
            )
        leaf = named_files.certificate(folder / part.certificate)
        return Card(part.trust_entry, leaf_checks.identify(leaf, trust.to_entry(folder)))
    identifier = part.identifier
    if trust is not None:
        identifier = _canonical(trust.identifier, identifier)
    return Card(part.trust_entry, identifier)


def _canonical(kind: IdentifierKind, text: str) -> str:
    """Return an identifier as path validation reads it from a certificate: another spelling would never match."""
    if kind is IdentifierKind.UUID:
        try:
            return str(UUID(text))
        except ValueError as exc:
            raise Malformed("organization_file", f"{text} is not a UUID.") from exc
    return text if kind is IdentifierKind.EDIPI else text.lower()


def _group(part: GroupDocument) -> Resource:
    if part.name.casefold() in {ALL_USERS, ALL_DEVICES}:
        raise Malformed("organization_file", f"A group cannot be called {part.name}: that is what all are called.")
    links: dict[Link, frozenset[Joined]] = {}
    if part.says("members"):
        links[Link.MEMBERS] = frozenset(references(Kind.USER, part.members))
    return Resource(Kind.GROUP, part.name, {"name": part.name, "description": part.description}, links=links)


def _branding(part: BrandingDocument, document: OrganizationDocument, folder: Path) -> Resource:
    name = part.display_name or document.organization
    media_type, image = named_files.logo(folder / part.logo) if part.logo else ("", None)
    properties: dict[str, Value] = {
        "displayName": name,
        "color": part.color,
        "logo": image,
        "logoType": media_type,
        "support": part.support,
    }
    return Resource(Kind.BRANDING, name, properties)


def _issuer(part: IssuerDocument) -> Resource:
    properties: dict[str, Value] = {
        "displayName": part.display_name,
        "helpUrl": part.help_url,
        "notifications": tuple(sorted(part.notifications)),
        "renewalThresholdPercentage": part.renewal_threshold_percentage,
    }
    return Resource(Kind.ISSUER, part.display_name, properties, fixed={"url": part.url})


def _enrollment_profile(part: EnrollmentProfileDocument, folder: Path) -> Resource:
    properties: dict[str, Value] = {
        "name": part.name,
        "description": part.description,
        "deviceNameTemplate": part.device_name_template,
        "wifi.ssid": part.wifi.ssid if part.wifi else "",
        "wifi.security": part.wifi.security if part.wifi else "none",
        "wifi.hidden": part.wifi.hidden if part.wifi else False,
    }
    secrets = {}
    if part.wifi and part.wifi.password_file:
        secrets["wifi.password"] = named_files.password(folder / part.wifi.password_file)
    return Resource(Kind.ENROLLMENT_PROFILE, part.name, properties, secrets=secrets, token_days=part.token_days or 0)


def _issuance_rule(part: IssuanceRuleDocument) -> Resource:
    properties: dict[str, Value] = {
        "groups": references(Kind.GROUP, part.groups),
        "purposes": tuple(sorted(set(part.purposes))),
        "lifetimeDays": part.lifetime_days,
        "keyTypes": tuple(sorted(set(part.key_types))),
        "encryptionKeyType": part.encryption_key_type,
        "managedDevicesOnly": part.managed_devices_only,
        "linkPassword": part.link_password,
        "keyHistory": part.key_history,
        "devicesPerPerson": part.devices_per_person,
        "instructionsUrl": part.instructions_url,
        "approval": part.approval,
        "deviceModels": tuple(sorted(set(part.device_models))),
        "attestation": part.attestation,
        "attestationLevel": part.attestation_level,
        "verifiedBoot": part.verified_boot,
    }
    return Resource(Kind.ISSUANCE_RULE, part.name, properties)


def _connector(part: ConnectorDocument, folder: Path) -> Resource:
    properties: dict[str, Value] = {
        "challengeSource": part.challenge_source,
        "client": part.client,
        "lifetimeDays": part.lifetime_days,
        "keyTypes": tuple(sorted(set(part.key_types))),
        "legacyAlgorithms": part.legacy_algorithms,
    }
    secrets = {}
    if part.page_password_file:
        secrets["pagePassword"] = named_files.password(folder / part.page_password_file)
    return Resource(Kind.CONNECTOR, part.name, properties, secrets=secrets)


def references(kind: Kind, names: Iterable[str]) -> tuple[Reference, ...]:
    """Return references in an order of their own, each once."""
    return tuple(sorted({Reference(kind, name) for name in names}, key=lambda reference: reference.key[1]))
