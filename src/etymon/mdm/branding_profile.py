# SPDX-License-Identifier: Apache-2.0
"""The organisation's branding as an administrator set it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from etymon.web.branding import Branding


@dataclass(frozen=True, slots=True)
class BrandingProfile:
    """Branding under a name."""

    id: UUID
    profile_name: str
    branding: Branding
    created_at: datetime
    modified_at: datetime
