# SPDX-License-Identifier: Apache-2.0
"""Trust entries, issuance rules and roles: resources of our own."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field

from etymon.directory.model import CONFIRMED_ROLES, Appointment, Binding, Person
from etymon.graph.representations.body import Base64, Body, Text, identifier, instant
from etymon.issuer.model import Approval, Attestation, IssuanceRule, Purpose
from etymon.pki.algorithms import KeyType
from etymon.pki.trust_entry import TrustEntry
from etymon.wire.key_description import SecurityLevel

Certificates = Annotated[list[Base64], Field(max_length=100)]
Texts = Annotated[list[Text], Field(max_length=100)]
APPROVALS: Final = {"blanket": Approval.BLANKET, "secondPerson": Approval.SECOND_PERSON}
ATTESTATION_LEVELS: Final = {
    "trustedEnvironment": SecurityLevel.TRUSTED_ENVIRONMENT,
    "strongBox": SecurityLevel.STRONG_BOX,
}
KeyName = Literal["p256", "p384", "rsa2048", "rsa3072"]


class TrustEntryBody(Body):
    """A whole trust entry, but for its name."""

    kind: Literal["card", "derived", "device"]
    anchors: Certificates
    intermediates: Certificates = Field(default_factory=list)
    policies: Texts = Field(default_factory=list)
    identifier: Literal["fascn", "uuid", "edipi", "upn", "thumbprint"]
    upn_suffixes: Texts = Field(default_factory=list)
    status_hosts: Texts = Field(default_factory=list)

    def entry(self, name: str) -> TrustEntry:
        """Return the entry; raises Malformed."""
        return TrustEntry.from_document(
            {
                "name": name,
                "kind": self.kind,
                "anchors": self.anchors,
                "intermediates": self.intermediates,
                "policies": self.policies,
                "identifier": self.identifier,
                "upn_suffixes": self.upn_suffixes,
                "status_hosts": self.status_hosts,
            }
        )


class IssuanceRuleBody(Body):
    """A whole issuance rule, but for its name."""

    group_ids: Texts
    purposes: Annotated[list[Literal["authentication", "signature", "encryption"]], Field(max_length=3)]
    lifetime_days: Annotated[int, Field(ge=1, le=36_500)]
    key_types: Annotated[tuple[KeyName, ...], Field(max_length=10, strict=False)] = (
        "p256",
        "p384",
        "rsa2048",
        "rsa3072",
    )
    encryption_key_type: KeyName = "rsa2048"
    managed_devices_only: bool = True
    link_password: bool = False
    key_history: bool = True
    devices_per_person: Annotated[int, Field(ge=0, le=1000)] = 1
    instructions_url: Text = ""
    approval: Literal["blanket", "secondPerson"] = "blanket"
    device_models: Texts = Field(default_factory=list)
    attestation: Literal["off", "recorded", "required"] = "recorded"
    attestation_level: Literal["trustedEnvironment", "strongBox"] = "trustedEnvironment"
    verified_boot: bool = True

    def rule(self, id_: UUID, name: str, officer: UUID, now: datetime) -> IssuanceRule:
        """Return the rule; raises Malformed."""
        return IssuanceRule(
            id=id_,
            name=name,
            groups=frozenset(identifier(group, "a group of groupIds") for group in self.group_ids),
            purposes=tuple(map(Purpose, self.purposes)),
            lifetime=timedelta(days=self.lifetime_days),
            created_by=officer,
            created_at=now,
            managed_devices_only=self.managed_devices_only,
            link_password=self.link_password,
            key_history=self.key_history,
            key_types=frozenset(map(KeyType, self.key_types)),
            encryption_key_type=KeyType(self.encryption_key_type),
            most_derivations=self.devices_per_person,
            instructions_url=self.instructions_url,
            approval=APPROVALS[self.approval],
            device_models=tuple(sorted(set(self.device_models))),
            attestation=Attestation(self.attestation),
            attestation_level=ATTESTATION_LEVELS[self.attestation_level],
            verified_boot=self.verified_boot,
        )


class RolesBody(Body):
    """All roles of a person, and on whose authority they change."""

    roles: Annotated[
        list[Literal["administrator", "officer", "auditor", "operator", "keyRecoveryAgent", "keyRecoveryOfficial"]],
        Field(max_length=10),
    ]
    authority: Text = ""


class ConfirmedBody(Body):
    """Which role is confirmed, and when it was given as whoever confirms saw it."""

    role: Literal["officer", "keyRecoveryAgent", "keyRecoveryOfficial"]
    assigned_date_time: Text

    def seen(self) -> datetime:
        """Return when the role was given; raises Malformed."""
        return instant(self.assigned_date_time, "assignedDateTime")


def trust_entry(shown: TrustEntry) -> dict[str, Any]:
    """Show a trust entry."""
    document = shown.to_document()
    return {
        "@odata.type": "#etymon.graph.trustEntry",
        "id": shown.name,
        "name": shown.name,
        "kind": document["kind"],
        "anchors": document["anchors"],
        "intermediates": document["intermediates"],
        "policies": document["policies"],
        "identifier": document["identifier"],
        "upnSuffixes": document["upn_suffixes"],
        "statusHosts": document["status_hosts"],
    }


def issuance_rule(shown: IssuanceRule) -> dict[str, Any]:
    """Show an issuance rule."""
    return {
        "@odata.type": "#etymon.graph.issuanceRule",
        "id": shown.id,
        "name": shown.name,
        "groupIds": sorted(shown.groups),
        "purposes": [purpose.value for purpose in shown.purposes],
        "lifetimeDays": shown.lifetime.days,
        "keyTypes": sorted(kind.value for kind in shown.key_types),
        "encryptionKeyType": shown.encryption_key_type.value,
        "managedDevicesOnly": shown.managed_devices_only,
        "linkPassword": shown.link_password,
        "keyHistory": shown.key_history,
        "devicesPerPerson": shown.most_derivations,
        "instructionsUrl": shown.instructions_url,
        "approval": next(name for name, approval in APPROVALS.items() if approval is shown.approval),
        "deviceModels": list(shown.device_models),
        "attestation": shown.attestation.value,
        "attestationLevel": next(
            name for name, level in ATTESTATION_LEVELS.items() if level is shown.attestation_level
        ),
        "verifiedBoot": shown.verified_boot,
        "createdBy": shown.created_by,
        "createdDateTime": shown.created_at,
    }


def roles(
    person: Person, held: Sequence[Appointment], cards: Sequence[Binding], others: Mapping[UUID, Person]
) -> dict[str, Any]:
    """Show which roles a person has; of those that are confirmed, who gave and confirmed them, and to which cards.

    `others` are the people who gave or confirmed them, by id.
    """
    return {
        "@odata.type": "#etymon.graph.roles",
        "id": person.id,
        "userId": person.id,
        "userPrincipalName": person.user_principal_name,
        "displayName": person.display_name,
        "roles": sorted(each.role.value for each in held),
        "appointments": [
            {
                "role": each.role.value,
                "assignedDateTime": each.assigned_at,
                "appointedBy": each.appointed_by,
                "appointedByPrincipalName": _name(each.appointed_by, others),
                "confirmedBy": each.confirmed_by,
                "confirmedByPrincipalName": _name(each.confirmed_by, others),
                "confirmedDateTime": each.confirmed_at,
                "counts": each.counts,
                "cards": [{"trustEntry": card.trust_entry, "identifier": card.identifier} for card in cards],
            }
            for each in held
            if each.role in CONFIRMED_ROLES
        ],
    }


def _name(id_: UUID | None, others: Mapping[UUID, Person]) -> str | None:
    found = others.get(id_) if id_ else None
    return found.user_principal_name if found else None
