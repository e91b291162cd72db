# SPDX-License-Identifier: Apache-2.0
"""Enrollment profiles after a restore: their tokens admit nobody, their networks' passwords are still known."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from etymon.kernel.errors import Conflict, NotFound, NotPermitted
from etymon.kernel.secret import DigestKey, Secret
from etymon.mdm import enrollment, enrollment_profiles, tables
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.enrollment_profile import EnrollmentProfile, NetworkWithoutPassword, ProfileTerms
from etymon.wire.enrollment_qr import SetupNetwork
from support.directory_site import ADMINISTRATOR
from support.mdm_site import FACTS, MDMSite, fresh_csr

NETWORK = SetupNetwork("setup", "WPA", Secret("open sesame"), hidden=True)
NEW_KEY = DigestKey(Secret(bytes(range(1, 33))))


def restored(site: MDMSite) -> Dependencies:
    """Return what the use cases take under another key."""
    with site.database.transaction() as tx:
        enrollment_profiles.begin_again(tx, site.deps.digest_key, NEW_KEY, site.deps.entropy)
        assert enrollment_profiles.begin_again(tx, NEW_KEY, NEW_KEY, site.deps.entropy) == 0
    return replace(site.deps, digest_key=NEW_KEY)


def profiles(site: MDMSite, deps: Dependencies) -> dict[str, EnrollmentProfile]:
    with site.database.snapshot() as tx:
        return {each.terms.display_name: each for each in enrollment_profiles.page(tx, deps, after=None, limit=10)}


def test_tokens_are_gone_and_passwords_are_kept_under_the_new_key(site: MDMSite) -> None:
    open_, behind = site.profile(), site.profile(display_name="Behind", network=NETWORK)
    tokens = [site.token(open_), site.token(behind)]
    kept = stored(site, behind)
    deps = restored(site)
    found = profiles(site, deps)
    assert {name: (each.token, each.terms.network) for name, each in found.items()} == {
        "Headquarters": (None, None),
        "Behind": (None, NETWORK),
    }
    assert stored(site, behind) != kept
    digests = sa.select(tables.enrollment_profiles.c.token_digest)
    with site.database.snapshot() as tx:
        assert set(tx.scalars(digests)) == {None}, "nothing of a token stays"
    for token in tokens:
        with pytest.raises(NotPermitted, match=r"enrollment_token_unknown.*Ask for a new code"):
            enrollment.begin(deps, token, FACTS, source="192.0.2.1")
    with site.database.transaction() as tx:
        given = enrollment_profiles.create_token(tx, deps, behind.id, lifetime=None, actor=ADMINISTRATOR).token
    assert given is not None
    enrollment.begin(deps, given.value, FACTS, source="192.0.2.1")


def test_a_session_begun_before_ends_in_a_refusal(site: MDMSite) -> None:
    begun = site.begin()
    access = site.access(site.directory.person(), begun)
    deps = restored(site)
    with pytest.raises(NotFound, match=r"enrollment_session_unknown.*Start again"):
        site.complete(begun, access, fresh_csr(), deps=deps)


def test_what_opens_under_no_key_has_to_be_given_again(site: MDMSite) -> None:
    profile = site.profile(network=NETWORK)
    site.token(profile)
    site.garble_network_passwords()
    deps = restored(site)
    found = profiles(site, deps)["Headquarters"]
    assert found.terms.network == NetworkWithoutPassword("setup", "WPA", hidden=True)
    with site.database.transaction() as tx:
        with pytest.raises(Conflict, match=r"wifi_password_missing.* setup of the enrollment profile Headquarters"):
            enrollment_profiles.create_token(tx, deps, profile.id, lifetime=None, actor=ADMINISTRATOR)
        again = ProfileTerms("Headquarters", network=NETWORK)
        enrollment_profiles.update(tx, deps, profile.id, again, actor=ADMINISTRATOR)
        assert enrollment_profiles.create_token(tx, deps, profile.id, lifetime=None, actor=ADMINISTRATOR).token


def test_a_site_restored_by_an_older_program_lists_its_profiles(site: MDMSite) -> None:
    """There, a new key came and nothing was wrapped again."""
    profile = site.profile(network=NETWORK)
    token = site.token(profile)
    deps = replace(site.deps, digest_key=NEW_KEY)
    found = profiles(site, deps)["Headquarters"]
    assert found.token is None
    assert found.terms.network == NetworkWithoutPassword("setup", "WPA", hidden=True)
    assert enrollment_profiles.code(deps, found) is None
    with pytest.raises(NotPermitted, match="enrollment_token_unknown"):
        enrollment.begin(deps, token, FACTS, source="192.0.2.1")


def stored(site: MDMSite, profile: EnrollmentProfile) -> bytes:
    query = sa.select(tables.enrollment_profiles.c.network_password).where(
        tables.enrollment_profiles.c.id == profile.id
    )
    with site.database.snapshot() as tx:
        found: bytes = tx.execute(query).scalar_one()
    return found
