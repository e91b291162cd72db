# SPDX-License-Identifier: Apache-2.0
"""What may stand in an organisation's file, and what it means when it does not.

A section or list that is absent is left as it is in the organisation, also with `--prune`; an empty one is wanted
empty. docs/operations/organization-file.md is written from this module.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from etymon.server.trust_documents import TrustDocument

ALL_USERS = "all users"
ALL_DEVICES = "all devices"

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Principal: TypeAlias = Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$", max_length=320)]
KeyName: TypeAlias = Literal["p256", "p384", "rsa2048", "rsa3072"]
ConnectorKeyName: TypeAlias = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096"]


class Part(BaseModel):
    """A mapping of the file: what it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    def says(self, field: str) -> bool:
        """Say whether the file has this field; an absent one is left as it is in the organisation."""
        return field in self.model_fields_set


class CardDocument(Part):
    """A card that stands for its user: by its identifier, or by a file with its authentication certificate."""

    trust_entry: Name
    identifier: str = ""
    certificate: str = ""

    @model_validator(mode="after")
    def _names_one(self) -> "CardDocument":
        if bool(self.identifier) == bool(self.certificate):
            message = "name the card by identifier or by certificate, not by both"
            raise ValueError(message)
        return self


class UserDocument(Part):
    """A person with an account. `cards` and `roles` are left as they are where they are absent.

    `rolesAuthority` says on whose authority `roles` are as they are, where the organisation's does not.
    """

    user_principal_name: Principal
    display_name: Name
    mail: str = ""
    other_mails: tuple[str, ...] = ()
    cards: tuple[CardDocument, ...] = ()
    roles: tuple[
        Literal["administrator", "officer", "auditor", "operator", "keyRecoveryAgent", "keyRecoveryOfficial"], ...
    ] = ()
    roles_authority: Annotated[str, Field(max_length=200)] = ""


class GroupDocument(Part):
    """A group; `members` are user principal names, and are left as they are where they are absent."""

    name: Name
    description: str = ""
    members: tuple[Principal, ...] = ()


class BrandingDocument(Part):
    """How the organisation shows itself; `displayName` is the organisation's name unless it is given."""

    display_name: Annotated[str, Field(max_length=64)] = ""
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] = "#0b5cad"
    logo: str = ""
    support: str = ""


class IssuerDocument(Part):
    """The issuer that gives phones their derived credentials."""

    display_name: Name
    url: Annotated[str, Field(pattern=r"^https://[^\s]*[^\s/]$")]
    help_url: str = ""
    notifications: tuple[Literal["companyPortal", "email"], ...] = ("companyPortal", "email")
    renewal_threshold_percentage: Annotated[int, Field(ge=1, le=99)] = 20


class SetupNetworkDocument(Part):
    """The Wi-Fi that a new phone joins first; the first line of `passwordFile` is its password."""

    ssid: Name
    security: Literal["none", "wpa", "wep"] = "wpa"
    password_file: str = ""
    hidden: bool = False


class EnrollmentProfileDocument(Part):
    """An enrollment profile. With `tokenDays` it is given a token whenever it has none that is valid."""

    name: Name
    description: str = ""
    device_name_template: str = ""
    wifi: SetupNetworkDocument | None = None
    token_days: Annotated[int, Field(ge=1, le=20000)] | None = None


class Assigned(Part):
    """What every configuration has: a name, and whom it is for."""

    name: Name
    description: str = ""
    assigned_to: tuple[Name, ...] = ()
    except_: Annotated[tuple[Name, ...], Field(alias="except")] = ()


class TrustedRootDocument(Assigned):
    """A CA certificate that phones trust."""

    type: Literal["trustedRoot"]
    certificate: str


class DerivedCredentialDocument(Assigned):
    """The derived credential in apps; those in `apps` use it without asking."""

    type: Literal["derivedCredential"]
    apps: tuple[str, ...] = ()


class WiFiDocument(Assigned):
    """A WPA-Enterprise network (EAP-TLS with the derived credential); `trustedRoots` names configurations."""

    type: Literal["wifi"]
    ssid: Name
    network_name: str = ""
    server_names: Annotated[tuple[str, ...], Field(min_length=1)]
    trusted_roots: Annotated[tuple[Name, ...], Field(min_length=1)]
    outer_identity: str = "anonymous"
    connect_automatically: bool = True
    hidden: bool = False


class EmailDocument(Assigned):
    """A mail account with S/MIME from the derived credential."""

    type: Literal["email"]
    account_name: Name
    host: Name
    address_source: Literal["userPrincipalName", "primarySmtpAddress"] = "primarySmtpAddress"
    signing: Literal["derived", "none"] = "none"
    encryption: Literal["derived", "none"] = "none"
    sign_by_default: bool = False
    encrypt_by_default: bool = False


ConfigurationDocument: TypeAlias = Annotated[
    TrustedRootDocument | DerivedCredentialDocument | WiFiDocument | EmailDocument, Field(discriminator="type")
]


class IssuanceRuleDocument(Part):
    """Who may have which credentials, for how long and on how many devices; written by an Officer."""

    name: Annotated[str, Field(pattern=r"^[^/]+$", max_length=100)]
    groups: Annotated[tuple[Name, ...], Field(min_length=1)]
    purposes: Annotated[tuple[Literal["authentication", "signature", "encryption"], ...], Field(min_length=1)]
    lifetime_days: Annotated[int, Field(ge=1, le=1095)]
    key_types: Annotated[tuple[KeyName, ...], Field(min_length=1)] = ("p256", "p384", "rsa2048", "rsa3072")
    encryption_key_type: KeyName = "rsa2048"
    managed_devices_only: bool = True
    link_password: bool = False
    key_history: bool = True
    devices_per_person: Annotated[int, Field(ge=1, le=100)] = 1
    instructions_url: str = ""
    approval: Literal["blanket", "secondPerson"] = "blanket"
    device_models: tuple[Annotated[str, Field(pattern=r"^[^/]*[^/\s][^/]*/.*\S", max_length=200)], ...] = ()
    attestation: Literal["off", "recorded", "required"] = "recorded"
    attestation_level: Literal["trustedEnvironment", "strongBox"] = "trustedEnvironment"
    verified_boot: bool = True


class AttestationAuthorityDocument(Part):
    """A maker of phones who is believed about where keys are; `statusList` is the maker's list of revoked keys."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    roots: Annotated[tuple[str, ...], Field(min_length=1)]
    status_list: str = ""


class ConnectorDocument(Part):
    """A SCEP connector; written by an Officer. The first line of `pagePasswordFile` is its page's password."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    challenge_source: Literal["management", "page", "intune"]
    client: str = ""
    lifetime_days: Annotated[int, Field(ge=1, le=1095)]
    key_types: Annotated[tuple[ConnectorKeyName, ...], Field(min_length=1)] = ("rsa2048", "rsa3072", "rsa4096")
    legacy_algorithms: bool = False
    page_password_file: str = ""

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> "ConnectorDocument":
        if self.challenge_source == "management" and not self.client:
            message = "name the management client that asks for challenges, as client"
            raise ValueError(message)
        if (self.challenge_source == "page") is not bool(self.page_password_file):
            message = "name a file with the page's password, as pagePasswordFile, where challengeSource is page"
            raise ValueError(message)
        return self


class OrganizationDocument(Part):
    """One organisation.

    `rolesAuthority` says on whose authority its users have the roles they have; nobody is given one without.
    """

    organization: Name
    roles_authority: Annotated[str, Field(max_length=200)] = ""
    trust_entries: tuple[TrustDocument, ...] = ()
    attestation_authorities: tuple[AttestationAuthorityDocument, ...] = ()
    users: tuple[UserDocument, ...] = ()
    groups: tuple[GroupDocument, ...] = ()
    branding: BrandingDocument | None = None
    derived_credential: IssuerDocument | None = None
    enrollment_profiles: tuple[EnrollmentProfileDocument, ...] = ()
    configurations: tuple[ConfigurationDocument, ...] = ()
    issuance_rules: tuple[IssuanceRuleDocument, ...] = ()
    connectors: tuple[ConnectorDocument, ...] = ()

    @model_validator(mode="after")
    def _names_authority(self) -> "OrganizationDocument":
        for user in self.users:
            if user.roles and not (user.roles_authority.strip() or self.roles_authority.strip()):
                message = f"name in rolesAuthority on whose authority {user.user_principal_name} has roles"
                raise ValueError(message)
        return self
