# SPDX-License-Identifier: Apache-2.0
"""Configuration profiles as values: what each type says, checked when built, written to and read from documents."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from cryptography import x509

from etymon.kernel.errors import EtymonError, Malformed
from etymon.mdm.model import LONGEST_NAME, Purpose
from etymon.pki import certificate as certificates
from etymon.pki import key_policy

Document: TypeAlias = "Mapping[str, str | bool | list[str]]"

MOST_PACKAGES: Final = 50
MOST_ROOTS: Final = 500
MOST_SERVER_NAMES: Final = 20
LONGEST_SERVER_NAMES: Final = 256
"""All names together, on Android 14 and later."""

PACKAGE: Final = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
SERVER_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", re.ASCII)
HOST: Final = re.compile(rf"(?=.{{1,259}}$){_LABEL}(?:\.{_LABEL})*(?::[1-9][0-9]{{0,4}})?", re.ASCII)
LONGEST_FILE_NAME: Final = 100


class ProfileType(StrEnum):
    """The types of configuration profiles (docs/protocols/check-in.md)."""

    TRUSTED_ROOT = "trustedRoot"
    DERIVED_CREDENTIAL = "derivedCredential"
    WIFI = "wifi"
    EMAIL = "email"


class CertificateAccess(StrEnum):
    """Which apps use the credential's key without asking the person."""

    USER_APPROVAL = "userApproval"
    SPECIFIC_APPS = "specificApps"


class AddressSource(StrEnum):
    """Which of a person's names an e-mail account uses."""

    USER_PRINCIPAL_NAME = "userPrincipalName"
    PRIMARY_SMTP_ADDRESS = "primarySmtpAddress"


class CredentialSource(StrEnum):
    """Where the certificate for S/MIME comes from."""

    DERIVED = "derived"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A CA certificate that devices trust."""

    certificate: bytes
    file_name: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.file_name) <= LONGEST_FILE_NAME or not self.file_name.isprintable():
            raise _wrong("Name the certificate's file with 1 to 100 characters.")
        try:
            parsed = certificates.load(self.certificate)
            key_policy.check(parsed.public_key())
            constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (EtymonError, ValueError, x509.ExtensionNotFound) as exc:
            raise _wrong("The trusted root is not the certificate of a CA that may be trusted.") from exc
        if not constraints.ca or certificates.to_der(parsed) != self.certificate:
            raise _wrong("The trusted root is not the certificate of a CA, in DER.")


@dataclass(frozen=True, slots=True)
class DerivedCredentialForApps:
    """The derived credential in apps; `packages` use it without asking."""

    certificate_access: CertificateAccess = CertificateAccess.USER_APPROVAL
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.packages) > MOST_PACKAGES or len(set(self.packages)) != len(self.packages):
            raise _wrong(f"Name at most {MOST_PACKAGES} apps, each once.")
        if not all(len(package) <= LONGEST_NAME and PACKAGE.fullmatch(package) for package in self.packages):
            raise _wrong("An app is named by its package, such as org.example.mail.")
        if bool(self.packages) != (self.certificate_access is CertificateAccess.SPECIFIC_APPS):
            raise _wrong("Name apps exactly when the access is specificApps.")


@dataclass(frozen=True, slots=True)
class WiFi:
    """A WPA-Enterprise network that devices join by EAP-TLS with the derived credential.

    Server names and trusted roots are required: without them a device would show its identity to any access point
    that uses the network's name.
    """

    network_name: str
    ssid: str
    server_names: tuple[str, ...]
    trusted_roots: tuple[UUID, ...]
    connect_automatically: bool = True
    hidden: bool = False
    outer_identity: str = "anonymous"

    def __post_init__(self) -> None:
        if not 1 <= len(self.ssid.encode(errors="replace")) <= 32 or not self.ssid.isprintable():
            raise _wrong("A network's name (SSID) has 1 to 32 bytes.")
        if len(self.network_name) > LONGEST_NAME or not self.network_name.isprintable():
            raise _wrong(f"A network's display name has at most {LONGEST_NAME} characters.")
        if not 1 <= len(self.server_names) <= MOST_SERVER_NAMES or not 1 <= len(self.trusted_roots) <= MOST_ROOTS:
            raise _wrong("Name the authentication servers and the trusted roots they are checked against.")
        if not all(map(SERVER_NAME.fullmatch, self.server_names)):
            raise _wrong("A server name is a DNS name or suffix.")
        if sum(map(len, self.server_names)) > LONGEST_SERVER_NAMES:
            raise _wrong(f"All server names together have at most {LONGEST_SERVER_NAMES} characters.")
        if len(self.outer_identity) > LONGEST_NAME or not self.outer_identity.isprintable():
            raise _wrong(f"The outer identity has at most {LONGEST_NAME} characters.")


@dataclass(frozen=True, slots=True)
class Email:
    """A mail account with S/MIME."""

    account_name: str
    host: str
    address_source: AddressSource = AddressSource.PRIMARY_SMTP_ADDRESS
    signing: CredentialSource = CredentialSource.NONE
    encryption: CredentialSource = CredentialSource.NONE
    sign_by_default: bool = False
    encrypt_by_default: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.account_name) <= LONGEST_NAME or not self.account_name.isprintable():
            raise _wrong("An account has a name.")
        if not HOST.fullmatch(self.host):
            raise _wrong("A mail server is named by host or host:port.")
        if self.sign_by_default and self.signing is CredentialSource.NONE:
            raise _wrong("Mail is signed by default only where signing has a certificate.")
        if self.encrypt_by_default and self.encryption is CredentialSource.NONE:
            raise _wrong("Mail is encrypted by default only where encryption has a certificate.")


ProfileSettings: TypeAlias = TrustedRoot | DerivedCredentialForApps | WiFi | Email


@dataclass(frozen=True, slots=True)
class ConfigurationProfile:
    """Settings under a name; `version` rises with every edit."""

    id: UUID
    display_name: str
    description: str
    settings: ProfileSettings
    version: int
    created_at: datetime
    modified_at: datetime


def type_of(settings: ProfileSettings) -> ProfileType:
    """Return the type of profile that `settings` are of."""
    match settings:
        case TrustedRoot():
            return ProfileType.TRUSTED_ROOT
        case DerivedCredentialForApps():
            return ProfileType.DERIVED_CREDENTIAL
        case WiFi():
            return ProfileType.WIFI
        case Email():
            return ProfileType.EMAIL


def purposes_of(settings: ProfileSettings) -> frozenset[Purpose]:
    """Return which certificates of a derived credential a device needs before it can apply `settings`."""
    match settings:
        case TrustedRoot():
            return frozenset()
        case DerivedCredentialForApps() | WiFi():
            return frozenset({Purpose.AUTHENTICATION})
        case Email():
            signing = {Purpose.SIGNATURE} if settings.signing is CredentialSource.DERIVED else set()
            encryption = {Purpose.ENCRYPTION} if settings.encryption is CredentialSource.DERIVED else set()
            return frozenset(signing | encryption)


def to_document(settings: ProfileSettings) -> dict[str, str | bool | list[str]]:
    """Return settings as JSON values."""
    match settings:
        case TrustedRoot():
            return {"certificate": base64.b64encode(settings.certificate).decode(), "fileName": settings.file_name}
        case DerivedCredentialForApps():
            return {"certificateAccess": settings.certificate_access.value, "packages": list(settings.packages)}
        case WiFi():
            return {
                "networkName": settings.network_name,
                "ssid": settings.ssid,
                "hidden": settings.hidden,
                "connectAutomatically": settings.connect_automatically,
                "security": "wpaEnterprise",
                "eap": "tls",
                "serverNames": list(settings.server_names),
                "trustedRoots": [str(root) for root in settings.trusted_roots],
                "outerIdentity": settings.outer_identity,
                "credential": CredentialSource.DERIVED.value,
            }
        case Email():
            return {
                "accountName": settings.account_name,
                "host": settings.host,
                "addressSource": settings.address_source.value,
                "signing": settings.signing.value,
                "encryption": settings.encryption.value,
                "signByDefault": settings.sign_by_default,
                "encryptByDefault": settings.encrypt_by_default,
            }


def from_document(kind: ProfileType, document: Document) -> ProfileSettings:
    """Return the settings that `to_document` wrote; raise Malformed `malformed_profile` for all else."""
    try:
        return _read(kind, document)
    except (KeyError, ValueError, TypeError, AttributeError, binascii.Error) as exc:
        raise _wrong("A setting is missing or has a value that is not allowed.") from exc


def _read(kind: ProfileType, document: Document) -> ProfileSettings:
    match kind:
        case ProfileType.TRUSTED_ROOT:
            certificate = base64.b64decode(_text(document, "certificate"), validate=True)
            return TrustedRoot(certificate, _text(document, "fileName"))
        case ProfileType.DERIVED_CREDENTIAL:
            access = CertificateAccess(_text(document, "certificateAccess"))
            return DerivedCredentialForApps(access, tuple(_texts(document, "packages")))
        case ProfileType.WIFI:
            return WiFi(
                network_name=_text(document, "networkName"),
                ssid=_text(document, "ssid"),
                hidden=_flag(document, "hidden"),
                connect_automatically=_flag(document, "connectAutomatically"),
                server_names=tuple(_texts(document, "serverNames")),
                trusted_roots=tuple(map(UUID, _texts(document, "trustedRoots"))),
                outer_identity=_text(document, "outerIdentity"),
            )
        case ProfileType.EMAIL:
            return Email(
                account_name=_text(document, "accountName"),
                host=_text(document, "host"),
                address_source=AddressSource(_text(document, "addressSource")),
                signing=CredentialSource(_text(document, "signing")),
                encryption=CredentialSource(_text(document, "encryption")),
                sign_by_default=_flag(document, "signByDefault"),
                encrypt_by_default=_flag(document, "encryptByDefault"),
            )


def _text(document: Document, name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _flag(document: Document, name: str) -> bool:
    value = document[name]
    if not isinstance(value, bool):
        raise TypeError(name)
    return value


def _texts(document: Document, name: str) -> list[str]:
    value = document[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(name)
    return value


def _wrong(detail: str) -> Malformed:
    return Malformed("malformed_profile", detail)
