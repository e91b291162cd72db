# SPDX-License-Identifier: Apache-2.0
"""Policy `derivedCredential`: which apps may use the derived credential, and whether the user is asked first."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from etymon.kernel.errors import Malformed
from etymon.phone.document import Document
from etymon.phone.profiles.outcome import SUCCEEDED, WAITS_FOR_CREDENTIAL, Outcome
from etymon.phone.state import Policy

TYPE: Final = "derivedCredential"


class Access(Enum):
    """What an app that asks for the credential gets."""

    GRANTED = "granted"
    ASK_USER = "ask user"
    DENIED = "denied"


class _Mode(Enum):
    USER_APPROVAL = "userApproval"
    SPECIFIC_APPS = "specificApps"


@dataclass(frozen=True, slots=True)
class _Settings:
    mode: _Mode
    packages: tuple[str, ...]


def apply(policy: Policy, *, has_credential: bool) -> Outcome:
    """Check the settings; the policy waits while there is nothing to give access to."""
    _settings(policy)
    return SUCCEEDED if has_credential else WAITS_FOR_CREDENTIAL


def decide(policies: Iterable[Policy], package: str) -> Access:
    """Return what an app gets. Without a policy nobody gets anything; an app a policy names is not asked about."""
    settings = [_settings(policy) for policy in policies if policy.type == TYPE]
    if not settings:
        return Access.DENIED
    named = any(entry.mode is _Mode.SPECIFIC_APPS and package in entry.packages for entry in settings)
    return Access.GRANTED if named else Access.ASK_USER


def _settings(policy: Policy) -> _Settings:
    members = Document(policy.settings)
    try:
        mode = _Mode(members.text("certificateAccess"))
    except ValueError as exc:
        raise Malformed("policy_malformed", "The policy's certificateAccess is not known to this phone.") from exc
    return _Settings(mode, members.texts("packages"))
