# SPDX-License-Identifier: Apache-2.0
"""The organisation's branding."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.mdm.branding_profile import BrandingProfile
from etymon.mdm.tables import branding_profiles as profiles
from etymon.storage.database import Transaction
from etymon.web.branding import Branding, Logo


def insert(tx: Transaction, profile: BrandingProfile) -> None:
    """Add the profile; the database refuses a second one."""
    tx.execute(
        profiles.insert().values(
            id=profile.id,
            slot=1,
            created_at=profile.created_at,
            modified_at=profile.modified_at,
            **_values(profile),
        )
    )


def update(tx: Transaction, profile: BrandingProfile) -> bool:
    """Save the profile; False where there is none such."""
    saved = tx.execute(
        profiles.update().where(profiles.c.id == profile.id).values(modified_at=profile.modified_at, **_values(profile))
    )
    return saved.rowcount == 1


def delete(tx: Transaction, id_: UUID) -> bool:
    """Remove the profile; False where there is none such."""
    return tx.execute(profiles.delete().where(profiles.c.id == id_)).rowcount == 1


def present(tx: Transaction) -> BrandingProfile | None:
    """Return the profile."""
    row = tx.execute(sa.select(profiles)).one_or_none()
    if row is None:
        return None
    logo = Logo(row.logo_type, row.logo) if row.logo is not None else None
    branding = Branding(row.display_name, row.color, logo, row.support)
    return BrandingProfile(row.id, row.profile_name, branding, row.created_at, row.modified_at)


def _values(profile: BrandingProfile) -> dict[str, Any]:
    branding = profile.branding
    return {
        "profile_name": profile.profile_name,
        "display_name": branding.organization,
        "color": branding.color,
        "logo_type": branding.logo.media_type if branding.logo else None,
        "logo": branding.logo.content if branding.logo else None,
        "support": branding.support,
    }
