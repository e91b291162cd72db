# SPDX-License-Identifier: Apache-2.0
"""Device configurations: one collection of several types, told apart by `@odata.type`.

Graph has no e-mail type for fully managed phones; ours has the properties of its iOS type and a name of our own.
"""

from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from etymon.graph.representations.body import Base64, Body, Text, identifier, octets, require_only, required
from etymon.kernel.errors import Malformed
from etymon.mdm.configuration_profiles import ProfileContent
from etymon.mdm.settings import (
    AddressSource,
    CertificateAccess,
    ConfigurationProfile,
    CredentialSource,
    DerivedCredentialForApps,
    Email,
    ProfileSettings,
    ProfileType,
    TrustedRoot,
    WiFi,
    type_of,
)
from etymon.wire import odata

TYPES: Final = {
    ProfileType.TRUSTED_ROOT: "microsoft.graph.androidDeviceOwnerTrustedRootCertificate",
    ProfileType.DERIVED_CREDENTIAL: "microsoft.graph.androidDeviceOwnerDerivedCredentialAuthenticationConfiguration",
    ProfileType.WIFI: "microsoft.graph.androidDeviceOwnerEnterpriseWiFiConfiguration",
    ProfileType.EMAIL: "etymon.graph.androidDeviceOwnerEmailProfileConfiguration",
}
CERTIFICATE_SOURCES: Final = {"derivedCredential": CredentialSource.DERIVED, "none": CredentialSource.NONE}
SHOWN_SOURCES: Final = {value: name for name, value in CERTIFICATE_SOURCES.items()}
SourceName = Literal["derivedCredential", "none"]
BodyType = TypeVar("BodyType", bound=Body)


class ConfigurationBody(Body):
    """What every configuration has."""

    type: Text | None = Field(default=None, alias="@odata.type")
    display_name: Text | None = None
    description: Text | None = None


class TrustedRootBody(ConfigurationBody):
    """A CA certificate that devices trust."""

    trusted_root_certificate: Base64 | None = None
    cert_file_name: Text | None = None

    def settings(self, before: TrustedRoot | None) -> TrustedRoot:
        """Return what is wanted; raises Malformed."""
        certificate = before.certificate if before else None
        if self.trusted_root_certificate is not None:
            certificate = octets(self.trusted_root_certificate, "trustedRootCertificate")
        return TrustedRoot(
            certificate=required(certificate, "trustedRootCertificate"),
            file_name=self.told("cert_file_name", before.file_name if before else "root.cer"),
        )


class SilentAccessBody(Body):
    """An app that uses the credential without asking."""

    package_id: Text


class DerivedCredentialBody(ConfigurationBody):
    """The derived credential in apps."""

    certificate_access_type: Literal["userApproval", "specificApps"] | None = None
    silent_certificate_access_details: Annotated[list[SilentAccessBody], Field(max_length=100)] | None = None

    def settings(self, before: DerivedCredentialForApps | None) -> DerivedCredentialForApps:
        """Return what is wanted; raises Malformed."""
        before = before or DerivedCredentialForApps()
        packages = before.packages
        if self.silent_certificate_access_details is not None:
            packages = tuple(one.package_id for one in self.silent_certificate_access_details)
        access = CertificateAccess(self.told("certificate_access_type", before.certificate_access.value))
        if access is CertificateAccess.USER_APPROVAL and not self.silent_certificate_access_details:
            packages = ()
        return DerivedCredentialForApps(access, packages)


class WiFiBody(ConfigurationBody):
    """A WPA-Enterprise network."""

    network_name: Text | None = None
    ssid: Text | None = None
    connect_automatically: bool | None = None
    connect_when_network_name_is_hidden: bool | None = None
    security: Text | None = Field(default=None, alias="wiFiSecurityType")
    eap_type: Text | None = None
    authentication_method: Text | None = None
    outer_identity: Text | None = Field(default=None, alias="outerIdentityPrivacyTemporaryValue")
    trusted_server_certificate_names: Annotated[list[Text], Field(max_length=100)] | None = None
    root: Text | None = Field(default=None, alias="rootCertificateForServerValidation@odata.bind")
    roots: Annotated[list[Text], Field(max_length=500)] | None = Field(
        default=None, alias="rootCertificatesForServerValidation@odata.bind"
    )
    etymon_trusted_root_ids: Annotated[list[Text], Field(max_length=500)] | None = None

    def settings(self, before: WiFi | None) -> WiFi:
        """Return what is wanted; raises Malformed."""
        require_only(self.security, "wpaEnterprise", "wiFiSecurityType")
        require_only(self.eap_type, "eapTls", "eapType")
        require_only(self.authentication_method, "derivedCredential", "authenticationMethod")
        ssid = required(self.ssid or (before.ssid if before else None), "ssid")
        names = self.told("trusted_server_certificate_names", list(before.server_names) if before else [])
        return WiFi(
            network_name=self.told("network_name", before.network_name if before else ssid),
            ssid=ssid,
            server_names=tuple(names),
            trusted_roots=self._roots(before.trusted_roots if before else ()),
            connect_automatically=self.told("connect_automatically", before.connect_automatically if before else True),
            hidden=self.told("connect_when_network_name_is_hidden", before.hidden if before else False),
            outer_identity=self.told("outer_identity", before.outer_identity if before else "anonymous"),
        )

    def _roots(self, before: tuple[UUID, ...]) -> tuple[UUID, ...]:
        named = [*([self.root] if self.root is not None else []), *(self.roots or [])]
        ids = [odata.bound_id(address, "deviceConfigurations") for address in named]
        ids += self.etymon_trusted_root_ids or []
        if self.root is None and self.roots is None and self.etymon_trusted_root_ids is None:
            return before
        return tuple(dict.fromkeys(identifier(id_, "a trusted root") for id_ in ids))


class EmailBody(ConfigurationBody):
    """A mail account with S/MIME."""

    account_name: Text | None = None
    host_name: Text | None = None
    email_address_source: Literal["userPrincipalName", "primarySmtpAddress"] | None = None
    authentication_method: Text | None = None
    signing_certificate_type: SourceName | None = None
    encryption_certificate_type: SourceName | None = None
    sign_by_default: bool | None = Field(default=None, alias="smimeSigningByDefaultEnabled")
    encrypt_by_default: bool | None = Field(default=None, alias="smimeEncryptByDefaultEnabled")

    def settings(self, before: Email | None) -> Email:
        """Return what is wanted; raises Malformed."""
        require_only(self.authentication_method, "derivedCredential", "authenticationMethod")
        source = before.address_source if before else AddressSource.PRIMARY_SMTP_ADDRESS
        signing = SHOWN_SOURCES[before.signing if before else CredentialSource.NONE]
        encryption = SHOWN_SOURCES[before.encryption if before else CredentialSource.NONE]
        return Email(
            account_name=required(self.account_name or (before.account_name if before else None), "accountName"),
            host=required(self.host_name or (before.host if before else None), "hostName"),
            address_source=AddressSource(self.told("email_address_source", source.value)),
            signing=CERTIFICATE_SOURCES[self.told("signing_certificate_type", signing)],
            encryption=CERTIFICATE_SOURCES[self.told("encryption_certificate_type", encryption)],
            sign_by_default=self.told("sign_by_default", before.sign_by_default if before else False),
            encrypt_by_default=self.told("encrypt_by_default", before.encrypt_by_default if before else False),
        )


def kind_of(body: ConfigurationBody) -> ProfileType | None:
    """Return the type that a body names; None where it names none. Raises Malformed."""
    if body.type is None:
        return None
    named = body.type.removeprefix("#")
    kind = next((kind for kind, type_ in TYPES.items() if type_ == named), None)
    if kind is None:
        known = ", ".join(f"#{type_}" for type_ in TYPES.values())
        raise Malformed("type_not_supported", f"@odata.type is one of {known}.")
    return kind


def content(kind: ProfileType, raw: dict[str, Any], before: ConfigurationProfile | None) -> ProfileContent:
    """Return what a body wants of a configuration of this kind; raises Malformed."""
    present = before.settings if before else None
    body, settings = _read(kind, raw, present)
    name = body.display_name or (before.display_name if before else None)
    return ProfileContent(
        display_name=required(name, "displayName"),
        settings=settings,
        description=body.told("description", before.description if before else ""),
    )


def _read(
    kind: ProfileType, raw: dict[str, Any], present: ProfileSettings | None
) -> tuple[ConfigurationBody, ProfileSettings]:
    match kind:
        case ProfileType.TRUSTED_ROOT:
            root = parse(TrustedRootBody, raw)
            return root, root.settings(present if isinstance(present, TrustedRoot) else None)
        case ProfileType.DERIVED_CREDENTIAL:
            credential = parse(DerivedCredentialBody, raw)
            return credential, credential.settings(present if isinstance(present, DerivedCredentialForApps) else None)
        case ProfileType.WIFI:
            network = parse(WiFiBody, raw)
            return network, network.settings(present if isinstance(present, WiFi) else None)
        case ProfileType.EMAIL:
            account = parse(EmailBody, raw)
            return account, account.settings(present if isinstance(present, Email) else None)


def parse(type_: type[BodyType], raw: dict[str, Any]) -> BodyType:
    """Return a body that was read as JSON before its type was known; raises Malformed."""
    try:
        return TypeAdapter(type_).validate_python(raw)
    except ValidationError as exc:
        fault = exc.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise Malformed("malformed", f"{where}: {fault['msg']}") from exc


def configuration(shown: ConfigurationProfile) -> dict[str, Any]:
    """Show a configuration."""
    return {
        "@odata.type": f"#{TYPES[type_of(shown.settings)]}",
        "id": shown.id,
        "displayName": shown.display_name,
        "description": shown.description,
        "version": shown.version,
        "createdDateTime": shown.created_at,
        "lastModifiedDateTime": shown.modified_at,
        "roleScopeTagIds": ["0"],
        "supportsScopeTags": False,
        **_settings(shown.settings),
    }


def _settings(settings: ProfileSettings) -> dict[str, Any]:
    match settings:
        case TrustedRoot():
            return {"trustedRootCertificate": settings.certificate, "certFileName": settings.file_name}
        case DerivedCredentialForApps():
            return {
                "certificateAccessType": settings.certificate_access.value,
                "silentCertificateAccessDetails": [{"packageId": package} for package in settings.packages],
            }
        case WiFi():
            return {
                "networkName": settings.network_name,
                "ssid": settings.ssid,
                "connectAutomatically": settings.connect_automatically,
                "connectWhenNetworkNameIsHidden": settings.hidden,
                "wiFiSecurityType": "wpaEnterprise",
                "eapType": "eapTls",
                "authenticationMethod": "derivedCredential",
                "trustedServerCertificateNames": list(settings.server_names),
                "outerIdentityPrivacyTemporaryValue": settings.outer_identity,
                "etymonTrustedRootIds": list(settings.trusted_roots),
            }
        case Email():
            needs = CredentialSource.DERIVED
            return {
                "accountName": settings.account_name,
                "hostName": settings.host,
                "emailAddressSource": settings.address_source.value,
                "authenticationMethod": "derivedCredential",
                "requireSsl": True,
                "requireSmime": needs in {settings.signing, settings.encryption},
                "smimeSigningEnabled": settings.signing is needs,
                "signingCertificateType": SHOWN_SOURCES[settings.signing],
                "smimeSigningByDefaultEnabled": settings.sign_by_default,
                "encryptionCertificateType": SHOWN_SOURCES[settings.encryption],
                "smimeEncryptByDefaultEnabled": settings.encrypt_by_default,
            }
