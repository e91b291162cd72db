# SPDX-License-Identifier: Apache-2.0
"""Enrollment profiles of fully managed Android phones."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from etymon.graph.representations.body import Body, Text, require_only, required
from etymon.kernel.secret import Secret
from etymon.mdm import qr_images
from etymon.mdm.enrollment_profile import EnrollmentProfile, NetworkWithoutPassword, ProfileTerms
from etymon.mdm.enrollment_profiles import EnrollmentCode
from etymon.wire.enrollment_qr import SetupNetwork, WiFiSecurity

TYPE: Final = "#microsoft.graph.androidDeviceOwnerEnrollmentProfile"
MODE: Final = "corporateOwnedFullyManaged"
TOKEN_TYPE: Final = "default"  # noqa: S105 - the name of a kind of token
LONGEST_SECONDS: Final = 2**31 - 1

SECURITY: Final[dict[str, WiFiSecurity]] = {"none": "NONE", "wpa": "WPA", "wep": "WEP"}
SHOWN_SECURITY: Final = {value: name for name, value in SECURITY.items()}


class EnrollmentProfileBody(Body):
    """A profile that is created or changed."""

    display_name: Text | None = None
    description: Text | None = None
    enrollment_mode: Text | None = None
    enrollment_token_type: Text | None = None
    device_name_template: Text | None = None
    configure_wifi: bool | None = None
    wifi_ssid: Text | None = None
    wifi_security_type: Literal["none", "wpa", "wep"] | None = None
    wifi_password: Text | None = None
    wifi_hidden: bool | None = None

    def terms(self, before: ProfileTerms | None = None) -> ProfileTerms:
        """Return what is wanted, where nothing is said as before; raises Malformed."""
        require_only(self.enrollment_mode, MODE, "enrollmentMode")
        require_only(self.enrollment_token_type, TOKEN_TYPE, "enrollmentTokenType")
        return ProfileTerms(
            display_name=required(self.display_name or (before.display_name if before else None), "displayName"),
            description=self.told("description", before.description if before else ""),
            device_name_template=self.told("device_name_template", before.device_name_template if before else ""),
            network=self._network(before.network if before else None),
        )

    def _network(
        self, before: SetupNetwork | NetworkWithoutPassword | None
    ) -> SetupNetwork | NetworkWithoutPassword | None:
        ssid = self.told("wifi_ssid", before.ssid if before else "")
        if self.configure_wifi is False or not ssid:
            return None
        kind = self.told("wifi_security_type", SHOWN_SECURITY[before.security] if before else "none")
        password = before.password if isinstance(before, SetupNetwork) else None
        if self.wifi_password:
            password = Secret(self.wifi_password)
        hidden = self.told("wifi_hidden", before.hidden if before else False)
        if password is None and before == NetworkWithoutPassword(ssid, SECURITY[kind], hidden):
            return before
        return SetupNetwork(ssid, SECURITY[kind], password if kind != "none" else None, hidden)


class CreateTokenBody(Body):
    """For how long a token lives."""

    token_validity_in_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] | None = None


def profile(
    shown: EnrollmentProfile, code: EnrollmentCode | None, *, with_token: bool, with_code: bool
) -> dict[str, Any]:
    """Show a profile; its token and code only to whom they are for."""
    network = shown.terms.network
    token = shown.token
    body = {
        "@odata.type": TYPE,
        "id": shown.id,
        "displayName": shown.terms.display_name,
        "description": shown.terms.description,
        "enrollmentMode": MODE,
        "enrollmentTokenType": TOKEN_TYPE,
        "createdDateTime": shown.created_at,
        "lastModifiedDateTime": shown.modified_at,
        "tokenValue": token.value.reveal() if token and with_token else None,
        "tokenCreationDateTime": token.created_at if token else None,
        "tokenExpirationDateTime": token.expires_at if token else None,
        "enrolledDeviceCount": shown.enrolled_devices,
        "deviceNameTemplate": shown.terms.device_name_template,
        "configureWifi": network is not None,
        "wifiSsid": network.ssid if network else None,
        "wifiSecurityType": SHOWN_SECURITY[network.security] if network else "none",
        "wifiPassword": None,
        "wifiHidden": network.hidden if network else False,
        "etymonWifiPasswordMissing": isinstance(network, NetworkWithoutPassword),
        "roleScopeTagIds": ["0"],
        "isTeamsDeviceProfile": False,
    }
    return body | _code(code if with_token else None) if with_code else body


def _code(code: EnrollmentCode | None) -> dict[str, Any]:
    if code is None:
        return {"qrCodeContent": None, "qrCodeImage": None, "etymonQrCodeImageSvg": None, "etymonSimulatorOnly": None}
    return {
        "qrCodeContent": code.text.reveal(),
        "qrCodeImage": {"type": "image/png", "value": qr_images.png(code.text)},
        "etymonQrCodeImageSvg": {"type": "image/svg+xml", "value": qr_images.svg(code.text)},
        "etymonSimulatorOnly": code.simulator_only,
    }
