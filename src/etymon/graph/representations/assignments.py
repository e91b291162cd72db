# SPDX-License-Identifier: Apache-2.0
"""Assignments of configurations."""

from typing import Annotated, Any, Final

from pydantic import Field

from etymon.graph.representations.body import Body, Text, identifier, required
from etymon.kernel.errors import Malformed
from etymon.mdm.targets import Assignment, Target, TargetKind

TYPES: Final = {
    "microsoft.graph.groupAssignmentTarget": TargetKind.GROUP,
    "microsoft.graph.exclusionGroupAssignmentTarget": TargetKind.EXCLUDED_GROUP,
    "microsoft.graph.allLicensedUsersAssignmentTarget": TargetKind.ALL_USERS,
    "microsoft.graph.allDevicesAssignmentTarget": TargetKind.ALL_DEVICES,
}
SHOWN_TYPES: Final = {kind: type_ for type_, kind in TYPES.items()}


class TargetBody(Body):
    """Whom a configuration is assigned to."""

    type: Text = Field(alias="@odata.type")
    group_id: Text | None = None

    def target(self) -> Target:
        """Return the target; raises Malformed."""
        kind = TYPES.get(self.type.removeprefix("#"))
        if kind is None:
            known = ", ".join(f"#{type_}" for type_ in TYPES)
            raise Malformed("type_not_supported", f"A target's @odata.type is one of {known}.")
        if kind in {TargetKind.ALL_USERS, TargetKind.ALL_DEVICES}:
            return Target(kind)
        return Target(kind, identifier(required(self.group_id, "groupId"), "groupId"))


class AssignmentBody(Body):
    """One line of an assignment."""

    target: TargetBody


class AssignBody(Body):
    """All lines of an assignment."""

    assignments: Annotated[list[AssignmentBody], Field(max_length=200)]


def assignment(shown: Assignment) -> dict[str, Any]:
    """Show one line."""
    target: dict[str, Any] = {"@odata.type": f"#{SHOWN_TYPES[shown.target.kind]}"}
    if shown.target.group is not None:
        target["groupId"] = shown.target.group
    return {"@odata.type": "#microsoft.graph.deviceConfigurationAssignment", "id": shown.id, "target": target}
