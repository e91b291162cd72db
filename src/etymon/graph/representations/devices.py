# SPDX-License-Identifier: Apache-2.0
"""Managed devices and how they fare with configurations."""

from typing import Any, Final

from etymon.directory.model import Person
from etymon.mdm.model import (
    Command,
    CommandState,
    CommandType,
    Device,
    DeviceState,
    HeldCredential,
    ReportedResult,
    ResultState,
)

TYPE: Final = "#microsoft.graph.managedDevice"

MANAGEMENT_STATE: Final = {
    DeviceState.ENROLLING: "discovered",
    DeviceState.MANAGED: "managed",
    DeviceState.RETIRING: "retirePending",
    DeviceState.WIPING: "wipePending",
    DeviceState.RETIRED: "retireIssued",
    DeviceState.WIPED: "wipeIssued",
}
ACTION_NAME: Final = {
    CommandType.RETIRE: "retire",
    CommandType.WIPE: "factoryReset",
    CommandType.REMOVE_CREDENTIAL: "removeCredential",
}
ACTION_STATE: Final = {
    CommandState.PENDING: "pending",
    CommandState.SUCCEEDED: "done",
    CommandState.FAILED: "failed",
    CommandState.OVERTAKEN: "canceled",
}
STATUS: Final = {
    ResultState.SUCCEEDED: "compliant",
    ResultState.FAILED: "error",
    ResultState.PENDING: "unknown",
    ResultState.NOT_APPLICABLE: "notApplicable",
}


def device(shown: Device, person: Person | None) -> dict[str, Any]:
    """Show a device in a list."""
    identity = shown.identity
    is_managed = shown.state is DeviceState.MANAGED
    mail = person.mail_addresses[0] if person is not None and person.mail_addresses else None
    return {
        "@odata.type": TYPE,
        "id": shown.id,
        "userId": shown.person,
        "userPrincipalName": person.user_principal_name if person else None,
        "userDisplayName": person.display_name if person else None,
        "emailAddress": mail,
        "deviceName": shown.name,
        "managedDeviceName": shown.name,
        "manufacturer": shown.facts.manufacturer,
        "model": shown.facts.model,
        "serialNumber": shown.facts.serial_number,
        "operatingSystem": "AndroidEnterprise",
        "osVersion": shown.facts.os_version,
        "androidSecurityPatchLevel": shown.facts.security_patch,
        "enrolledDateTime": shown.enrolled_at,
        "lastSyncDateTime": shown.last_check_in_at,
        "managementCertificateExpirationDate": identity.not_after if identity else None,
        "enrollmentProfileName": shown.profile_name,
        "managedDeviceOwnerType": "company",
        "deviceEnrollmentType": "androidEnterpriseFullyManaged",
        "managementAgent": "unknown",
        "managementState": MANAGEMENT_STATE[shown.state],
        "deviceRegistrationState": "registered" if is_managed else "revoked",
        "etymonState": shown.state.value,
        "etymonIdentityThumbprint": identity.thumbprint.hex() if identity else None,
    }


def details(commands: list[Command], credentials: list[HeldCredential]) -> dict[str, Any]:
    """Show what is told of one device only."""
    return {
        "deviceActionResults": [
            {
                "actionName": ACTION_NAME[command.type],
                "actionState": ACTION_STATE[command.state],
                "startDateTime": command.created_at,
                "lastUpdatedDateTime": command.finished_at or command.created_at,
            }
            for command in commands
        ],
        "etymonCredentials": [
            {"purpose": one.purpose.value, "thumbprint": one.thumbprint.hex(), "notAfter": one.not_after}
            for one in credentials
        ],
    }


def status(reported: ReportedResult, shown: Device | None, person: Person | None) -> dict[str, Any]:
    """Show how a device fares with a configuration."""
    return {
        "@odata.type": "#microsoft.graph.deviceConfigurationDeviceStatus",
        "id": f"{reported.result.policy}_{reported.device}",
        "deviceDisplayName": shown.name if shown else None,
        "deviceModel": shown.facts.model if shown else None,
        "userName": person.display_name if person else None,
        "userPrincipalName": person.user_principal_name if person else None,
        "status": STATUS[reported.result.state],
        "lastReportedDateTime": reported.reported_at,
        "etymonVersion": reported.result.version,
        "etymonState": reported.result.state.value,
        "etymonDetail": reported.result.detail,
    }
