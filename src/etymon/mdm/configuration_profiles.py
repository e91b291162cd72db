# SPDX-License-Identifier: Apache-2.0
"""Configuration profiles and whom they are assigned to. Every change here reaches devices at their next check-in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from etymon.directory import groups
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.mdm import desired_state
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.model import LONGEST_NAME, ReportedResult, is_text
from etymon.mdm.settings import ConfigurationProfile, ProfileSettings, ProfileType, WiFi, type_of
from etymon.mdm.store import configuration as store
from etymon.mdm.targets import Assignment, Target
from etymon.storage.database import Transaction

LONGEST_DESCRIPTION: Final = 1000
MOST_TARGETS: Final = 200


@dataclass(frozen=True, slots=True)
class ProfileContent:
    """What an administrator writes."""

    display_name: str
    settings: ProfileSettings
    description: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.display_name) <= LONGEST_NAME or not self.display_name.isprintable():
            raise Malformed("malformed_profile", f"A profile has a name of at most {LONGEST_NAME} characters.")
        if len(self.description) > LONGEST_DESCRIPTION or not is_text(self.description):
            raise Malformed("malformed_profile", f"A description is text of at most {LONGEST_DESCRIPTION} characters.")


def create(tx: Transaction, deps: Dependencies, content: ProfileContent, *, actor: str) -> ConfigurationProfile:
    """Add a profile; it reaches nobody before it is assigned."""
    _require_roots(tx, content.settings)
    now = deps.clock.now()
    profile = ConfigurationProfile(
        id=random_id(deps.entropy),
        display_name=content.display_name,
        description=content.description,
        settings=content.settings,
        version=1,
        created_at=now,
        modified_at=now,
    )
    store.insert(tx, profile)
    _record(tx, deps, "created", profile.id, actor=actor, type=type_of(content.settings).value)
    return profile


def update(
    tx: Transaction, deps: Dependencies, id_: UUID, content: ProfileContent, *, actor: str
) -> ConfigurationProfile:
    """Change a profile; its type stays. Its version rises, and devices get it again."""
    before = get(tx, id_)
    if type_of(before.settings) is not type_of(content.settings):
        raise Malformed("profile_type_stays", "A profile's type cannot be changed. Make another profile.")
    _require_roots(tx, content.settings)
    profile = replace(
        before,
        display_name=content.display_name,
        description=content.description,
        settings=content.settings,
        version=before.version + 1,
        modified_at=deps.clock.now(),
    )
    if not store.update(tx, profile, expected_version=before.version):
        raise Conflict("profile_changed", "The profile was changed by somebody else at the same time. Try again.")
    desired_state.changed(tx)
    _record(tx, deps, "changed", id_, actor=actor, version=profile.version)
    return profile


def delete(tx: Transaction, deps: Dependencies, id_: UUID, *, actor: str) -> None:
    """Remove a profile from the organisation and, at their next check-in, from devices."""
    if store.is_referred_to(tx, id_):
        raise Conflict("profile_referred_to", "Another profile refers to this trusted root. Change that one first.")
    if not store.delete(tx, id_):
        raise _not_found()
    desired_state.changed(tx)
    _record(tx, deps, "deleted", id_, actor=actor)


def get(tx: Transaction, id_: UUID) -> ConfigurationProfile:
    """Return a profile; raises NotFound."""
    profile = store.find(tx, id_)
    if profile is None:
        raise _not_found()
    return profile


def page(tx: Transaction, *, after: UUID | None, limit: int) -> list[ConfigurationProfile]:
    """Return profiles in the order of their ids."""
    return store.page(tx, after=after, limit=limit)


def assign(
    tx: Transaction, deps: Dependencies, id_: UUID, targets: Sequence[Target], *, actor: str
) -> list[Assignment]:
    """Assign a profile to exactly these targets; an exclusion wins over every inclusion."""
    get(tx, id_)
    if len(targets) > MOST_TARGETS:
        raise Malformed("malformed_target", f"A profile has at most {MOST_TARGETS} targets.")
    distinct = list(dict.fromkeys(targets))
    _require_groups(tx, distinct)
    lines = [Assignment(random_id(deps.entropy), id_, target) for target in distinct]
    store.replace_assignments(tx, id_, lines)
    desired_state.changed(tx)
    told = ",".join(sorted(f"{target.kind.value}:{target.group or ''}" for target in distinct))
    _record(tx, deps, "assigned", id_, actor=actor, targets=told[:1000], target_count=len(distinct))
    return lines


def add_assignment(tx: Transaction, deps: Dependencies, id_: UUID, target: Target, *, actor: str) -> Assignment:
    """Assign a profile to one more target; the one it has already is returned."""
    present = assignments(tx, id_)
    known = next((line for line in present if line.target == target), None)
    if known is not None:
        return known
    added = assign(tx, deps, id_, [*(line.target for line in present), target], actor=actor)
    return next(line for line in added if line.target == target)


def remove_assignment(tx: Transaction, deps: Dependencies, id_: UUID, assignment: UUID, *, actor: str) -> None:
    """Take one target from a profile."""
    if not store.delete_assignment(tx, id_, assignment):
        raise NotFound("assignment_not_found", "There is no such assignment.")
    desired_state.changed(tx)
    _record(tx, deps, "unassigned", id_, actor=actor, assignment=str(assignment))


def assignments(tx: Transaction, id_: UUID) -> list[Assignment]:
    """Return the targets of a profile; raises NotFound."""
    get(tx, id_)
    return store.assignments_of(tx, [id_])


def assignments_of_many(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, list[Assignment]]:
    """Return the targets of several profiles."""
    found: dict[UUID, list[Assignment]] = {id_: [] for id_ in ids}
    for line in store.assignments_of(tx, ids):
        found[line.profile].append(line)
    return found


def results(tx: Transaction, id_: UUID, *, after: UUID | None, limit: int) -> list[ReportedResult]:
    """Return how devices fare with a profile, in the order of the devices' ids."""
    get(tx, id_)
    return store.page_of_results(tx, id_, after=after, limit=limit)


def _require_roots(tx: Transaction, settings: ProfileSettings) -> None:
    if not isinstance(settings, WiFi):
        return
    types = store.types_of(tx, settings.trusted_roots)
    if any(types.get(root) is not ProfileType.TRUSTED_ROOT for root in settings.trusted_roots):
        raise Malformed("trusted_root_not_found", "A network refers to a trusted root that is not there.")


def _require_groups(tx: Transaction, targets: Sequence[Target]) -> None:
    for target in targets:
        if target.group is not None and groups.find(tx, target.group) is None:
            raise Malformed("group_not_found", "An assignment names a group that is not there.")


def _record(tx: Transaction, deps: Dependencies, verb: str, id_: UUID, *, actor: str, **facts: Any) -> None:
    record(tx, deps, f"configuration_profile:{verb}", actor=actor, subject=f"profile:{id_}", **facts)


def _not_found() -> NotFound:
    return NotFound("profile_not_found", "There is no such configuration profile.")
