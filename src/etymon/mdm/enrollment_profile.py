# SPDX-License-Identifier: Apache-2.0
"""An enrollment profile as a value: what phones that show its token get."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.mdm.model import LONGEST_NAME, DeviceFacts, is_text
from etymon.wire.enrollment_qr import SetupNetwork, WiFiSecurity

LONGEST_TEMPLATE: Final = 63
LONGEST_DESCRIPTION: Final = 1000

PLACEHOLDER: Final = re.compile(r"\{\{([A-Z0-9:]+)\}\}", re.IGNORECASE)
PLACEHOLDERS: Final = frozenset(
    {"SERIAL", "SERIALLAST4DIGITS", "DEVICETYPE", "ENROLLMENTDATETIME", "UPNPREFIX", "USERNAME"}
)


@dataclass(frozen=True, slots=True)
class NetworkWithoutPassword:
    """A setup network whose password does not open any more. The profile gets no code before it is given again."""

    ssid: str
    security: WiFiSecurity
    hidden: bool


@dataclass(frozen=True, slots=True)
class ProfileTerms:
    """What an administrator chooses. An empty `device_name_template` gives `Android_<date>_<time>`."""

    display_name: str
    description: str = ""
    device_name_template: str = ""
    network: SetupNetwork | NetworkWithoutPassword | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.display_name) <= LONGEST_NAME or not self.display_name.isprintable():
            raise Malformed("malformed_profile", f"A profile has a name of at most {LONGEST_NAME} characters.")
        if len(self.description) > LONGEST_DESCRIPTION or not is_text(self.description):
            raise Malformed("malformed_profile", f"A description is text of at most {LONGEST_DESCRIPTION} characters.")
        literal = PLACEHOLDER.sub("", self.device_name_template)
        used = {name.upper() for name in PLACEHOLDER.findall(self.device_name_template)}
        if len(self.device_name_template) > LONGEST_TEMPLATE or not used <= PLACEHOLDERS:
            raise Malformed(
                "malformed_profile",
                f"A device name template has at most {LONGEST_TEMPLATE} characters and only the placeholders "
                + ", ".join(sorted(f"{{{{{name}}}}}" for name in PLACEHOLDERS))
                + ".",
            )
        if literal and not re.fullmatch(r"[A-Za-z0-9-]*", literal):
            raise Malformed("malformed_profile", "Outside placeholders a device name has letters, digits and hyphens.")


@dataclass(frozen=True, slots=True)
class EnrollmentToken:
    """What admits phones, from its making until `expires_at`; None: until it is revoked."""

    value: Secret[str]
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class EnrollmentProfile:
    """A profile as it is stored; without `token` it admits nobody."""

    id: UUID
    terms: ProfileTerms
    token: EnrollmentToken | None
    enrolled_devices: int
    created_at: datetime
    modified_at: datetime


def device_name(template: str, facts: DeviceFacts, user_principal_name: str, now: datetime) -> str:
    """Return the name of a device that enrolls now."""
    serial = re.sub(r"[^A-Za-z0-9-]", "", facts.serial_number) or "unknown"
    values = {
        "SERIAL": serial,
        "SERIALLAST4DIGITS": serial[-4:],
        "DEVICETYPE": "Android",
        "ENROLLMENTDATETIME": f"{now:%Y%m%d%H%M%S}",
        "UPNPREFIX": user_principal_name.partition("@")[0],
        "USERNAME": user_principal_name.partition("@")[0],
    }
    text = template or "Android_{{ENROLLMENTDATETIME}}_{{SERIALLAST4DIGITS}}"
    return PLACEHOLDER.sub(lambda found: values[found.group(1).upper()], text)[:LONGEST_NAME]
