# SPDX-License-Identifier: Apache-2.0
"""What answers of the administration API should be, in short words; and one configuration of each type."""

import base64
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.serialization import Encoding

from support.card_issuer import authority

PROFILES: Final = "/beta/deviceManagement/androidDeviceOwnerEnrollmentProfiles"
CONFIGURATIONS: Final = "/beta/deviceManagement/deviceConfigurations"
ISSUERS: Final = "/beta/deviceManagement/derivedCredentials"
BRANDING: Final = "/beta/deviceManagement/intuneBrandingProfiles"
DEVICES: Final = "/beta/deviceManagement/managedDevices"
ROOT_TYPE: Final = "#microsoft.graph.androidDeviceOwnerTrustedRootCertificate"
APPS_TYPE: Final = "#microsoft.graph.androidDeviceOwnerDerivedCredentialAuthenticationConfiguration"
WIFI_TYPE: Final = "#microsoft.graph.androidDeviceOwnerEnterpriseWiFiConfiguration"
MAIL_TYPE: Final = "#etymon.graph.androidDeviceOwnerEmailProfileConfiguration"

JSON = dict[str, Any]


def created(response: httpx.Response) -> JSON:
    assert response.status_code == 201, response.text
    body: JSON = response.json()
    assert body["@odata.context"].endswith("/$entity")
    return body


def ok(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


def gone(response: httpx.Response) -> None:
    assert (response.status_code, response.content) == (204, b"")


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["details"][0]["code"]


def root_certificate(name: str = "Agency Root") -> str:
    return base64.b64encode(authority(name).certificate.public_bytes(Encoding.DER)).decode()


def configurations(admin: httpx.Client) -> dict[str, JSON]:
    """Create one of each type, in the order in which they can be."""
    root = {
        "@odata.type": ROOT_TYPE,
        "displayName": "Root",
        "trustedRootCertificate": root_certificate(),
        "certFileName": "root.cer",
    }
    apps = {
        "@odata.type": APPS_TYPE.removeprefix("#"),
        "displayName": "Apps",
        "certificateAccessType": "specificApps",
        "silentCertificateAccessDetails": [{"packageId": "org.example.mail"}],
    }
    mail = {
        "@odata.type": MAIL_TYPE,
        "displayName": "Mail",
        "accountName": "Agency",
        "hostName": "mail.agency.example",
        "emailAddressSource": "primarySmtpAddress",
        "signingCertificateType": "derivedCredential",
        "smimeSigningByDefaultEnabled": True,
    }
    made = {
        name: created(admin.post(CONFIGURATIONS, json=body))
        for name, body in (("root", root), ("apps", apps), ("mail", mail))
    }
    bind = f"https://graph.microsoft.com/beta/deviceManagement/deviceConfigurations('{made['root']['id']}')"
    wifi = {
        "@odata.type": WIFI_TYPE,
        "displayName": "Wi-Fi",
        "networkName": "Agency",
        "ssid": "AGENCY",
        "connectAutomatically": True,
        "connectWhenNetworkNameIsHidden": False,
        "wiFiSecurityType": "wpaEnterprise",
        "eapType": "eapTls",
        "authenticationMethod": "derivedCredential",
        "trustedServerCertificateNames": ["agency.example"],
        "outerIdentityPrivacyTemporaryValue": "anonymous",
        "rootCertificateForServerValidation@odata.bind": bind,
    }
    return {**made, "wifi": created(admin.post(CONFIGURATIONS, json=wifi))}
