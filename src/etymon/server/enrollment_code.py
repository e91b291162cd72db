# SPDX-License-Identifier: Apache-2.0
"""The enrollment code of a profile, as the administration API shows it to an Administrator."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from etymon.kernel.errors import Conflict, NotFound, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.server.apply.administration_api import AdministrationAPI

PROFILES: Final = "/deviceManagement/androidDeviceOwnerEnrollmentProfiles"


@dataclass(frozen=True, slots=True)
class EnrollmentCode:
    """What a factory-new phone is given: the token to type, or the code to scan as text and as images."""

    token: Secret[str]
    expires: str
    """RFC 3339; empty: until it is revoked."""
    text: Secret[str]
    png: bytes
    svg: bytes
    simulator_only: bool


def fetch(api: AdministrationAPI, profile: str) -> EnrollmentCode:
    """Return the code of the profile of that name.

    Raises NotFound and Conflict when no profile or several have the name, when there is no token, or when the password
    of its network is missing; NotPermitted to whom the code is not shown; what the API raises; and Unavailable when its
    answer is not understood.
    """
    try:
        found = api.item(f"{PROFILES}/{_id_of(api, profile)}")
        if found.get("etymonWifiPasswordMissing"):
            raise Conflict(
                "wifi_password_missing",
                f"The password of the Wi-Fi {found['wifiSsid']} of the profile {profile} has to be given again: name "
                "its file as passwordFile in the organisation's file, and apply that.",
            )
        if found["tokenCreationDateTime"] is None:
            raise Conflict(
                "no_enrollment_token",
                f"The profile {profile} has no token: give it tokenDays in the organisation's file, and apply that.",
            )
        if found["tokenValue"] is None:
            raise NotPermitted("role_missing", "Enrollment codes are shown to Administrators only. Sign in as one.")
        return EnrollmentCode(
            token=Secret(found["tokenValue"]),
            expires=found["tokenExpirationDateTime"] or "",
            text=Secret(found["qrCodeContent"]),
            png=base64.b64decode(found["qrCodeImage"]["value"]),
            svg=base64.b64decode(found["etymonQrCodeImageSvg"]["value"]),
            simulator_only=found["etymonSimulatorOnly"],
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise Unavailable("api_not_understood", f"The administration API answers without what it owes: {exc}.") from exc


def _id_of(api: AdministrationAPI, profile: str) -> str:
    there: list[Mapping[str, Any]] = list(api.every(PROFILES))
    named = [item for item in there if item["displayName"] == profile]
    if not named:
        others = ", ".join(sorted(item["displayName"] for item in there)) or "none"
        raise NotFound("no_such_profile", f"No enrollment profile is called {profile}. There are: {others}.")
    if len(named) > 1:
        raise Conflict("profile_ambiguous", f"{len(named)} enrollment profiles are called {profile}. Rename one.")
    return str(named[0]["id"])
