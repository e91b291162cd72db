# SPDX-License-Identifier: Apache-2.0
"""How the organisation shows itself on phones: a name, a colour, a logo."""

from uuid import UUID

from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, NotFound
from etymon.mdm.branding_profile import BrandingProfile
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.store import branding as store
from etymon.storage.database import Transaction
from etymon.web.branding import Branding


def current(tx: Transaction, deps: Dependencies) -> Branding:
    """Return the branding an administrator set, or the deployment's own."""
    profile = store.present(tx)
    return profile.branding if profile else deps.branding


def find(tx: Transaction) -> BrandingProfile | None:
    """Return the profile an administrator made; there is at most one."""
    return store.present(tx)


def get(tx: Transaction, id_: UUID) -> BrandingProfile:
    """Return the profile; raises NotFound."""
    profile = store.present(tx)
    if profile is None or profile.id != id_:
        raise _not_found()
    return profile


def create(
    tx: Transaction, deps: Dependencies, profile_name: str, branding: Branding, *, actor: str
) -> BrandingProfile:
    """Set the organisation's branding; raises Conflict `branding_exists` where there is one."""
    if store.present(tx) is not None:
        raise Conflict("branding_exists", "The organisation has its branding. Change that one.")
    now = deps.clock.now()
    profile = BrandingProfile(random_id(deps.entropy), profile_name, branding, now, now)
    store.insert(tx, profile)
    record(tx, deps, "branding:created", actor=actor, subject=profile.id, organization=branding.organization)
    return profile


def update(
    tx: Transaction, deps: Dependencies, id_: UUID, profile_name: str, branding: Branding, *, actor: str
) -> BrandingProfile:
    """Change the organisation's branding."""
    before = get(tx, id_)
    profile = BrandingProfile(id_, profile_name, branding, before.created_at, deps.clock.now())
    store.update(tx, profile)
    record(tx, deps, "branding:changed", actor=actor, subject=id_, organization=branding.organization)
    return profile


def delete(tx: Transaction, deps: Dependencies, id_: UUID, *, actor: str) -> None:
    """Remove the organisation's branding; the deployment's own is shown again."""
    if not store.delete(tx, id_):
        raise _not_found()
    record(tx, deps, "branding:deleted", actor=actor, subject=id_)


def _not_found() -> NotFound:
    return NotFound("branding_not_found", "There is no such branding profile.")
