# SPDX-License-Identifier: Apache-2.0
"""Who may give a role, and who may touch an account that holds one (CP 5.2.1, 5.2.4).

Administrators and Officers keep each other in check, so neither may make, open or take over the other's account: who
could bind a card of their own to an Officer's account would be both.

An Officer appoints other Officers and whoever recovers keys, and an Administrator, whom no Officer can make, confirms
it. Nobody else opens an Officer's account, or one person could be two Officers. While somebody holds a role in key
recovery nobody at all does: one card could otherwise stand for three people in turn (KRP 5.2.4).
Nor does anybody open an Auditor's, whose role an Officer gives alone: it would open anybody's account to the Officer.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from etymon.directory.errors import account_closed, auditors_account_closed, officers_account_closed
from etymon.directory.model import RECOVERY_ROLES, SEPARATED_ROLES, Role
from etymon.kernel.errors import NotPermitted

GIVEN_BY: Final[Mapping[Role, Role]] = {
    Role.ADMINISTRATOR: Role.ADMINISTRATOR,
    Role.OPERATOR: Role.ADMINISTRATOR,
    Role.OFFICER: Role.OFFICER,
    Role.AUDITOR: Role.OFFICER,
    Role.KEY_RECOVERY_AGENT: Role.OFFICER,
    Role.KEY_RECOVERY_OFFICIAL: Role.OFFICER,
}
"""Role to the role whose holders give and take it."""

CONFIRMED_BY: Final = Role.ADMINISTRATOR
"""Whose holders confirm what an Officer gives: another Officer could be the first one's making."""


def role_needed(allowed: AbstractSet[Role]) -> NotPermitted:
    """Whoever acts holds none of these roles."""
    names = " or ".join(sorted(role.value for role in allowed))
    givers = " or an ".join(sorted({GIVEN_BY[role].value.capitalize() for role in allowed}))
    return NotPermitted("role_missing", f"This needs the role {names}. An {givers} gives it.")


def require_may_give(caller: AbstractSet[Role], changed: AbstractSet[Role]) -> None:
    """Refuse the giving or taking of roles that are not the caller's to give: NotPermitted `separated_roles`."""
    for role in sorted(changed, key=lambda role: role.value):
        if GIVEN_BY[role] not in caller:
            raise NotPermitted(
                "separated_roles", f"Only an {GIVEN_BY[role].value} gives or takes the role {role.value}."
            )


def require_may_open(caller: AbstractSet[Role], held: AbstractSet[Role], *, own: bool) -> None:
    """Refuse cards, codes and new names for an account that holds roles the caller may not give.

    An account without a separated role is the Administrators'. An Officer's is that Officer's alone, who is no other
    Officer by a second card; an Auditor's, and one with a role in key recovery, is nobody's until the role is
    withdrawn. `own` says that it is the caller's. Raises NotPermitted `recovery_role_held`, `auditor_role_held`,
    `separated_roles`, `officer_role_held`.
    """
    if held & RECOVERY_ROLES:
        raise account_closed()
    if Role.AUDITOR in held:
        raise auditors_account_closed()
    for role in sorted(held & SEPARATED_ROLES or {Role.ADMINISTRATOR}, key=lambda role: role.value):
        if GIVEN_BY[role] not in caller:
            keeper = GIVEN_BY[role].value
            raise NotPermitted("separated_roles", f"This account's cards and names are changed by an {keeper} only.")
    if Role.OFFICER in held and not own:
        raise officers_account_closed()
