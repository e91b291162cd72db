# SPDX-License-Identifier: Apache-2.0
"""What the issuer of the same deployment did to a device's credentials, heard of at the device's check-in."""

from etymon.mdm import credential_changes, lifecycle
from etymon.mdm.model import CommandType
from support.directory_site import ADMINISTRATOR
from support.mdm_site import MDMSite


def test_what_the_issuer_did_is_heard_of_by_managed_devices_alone(site: MDMSite) -> None:
    phone, going = (site.phone(site.directory.person(name)) for name in ("alice", "bob"))
    assert site.check_in(going) is not None
    with site.database.transaction() as tx:
        lifecycle.retire(tx, site.deps, going.device, actor=ADMINISTRATOR)
    thumbprint = b"\x07" * 32
    with site.database.transaction() as tx:
        for identity in (going.thumbprint, b"\x09" * 32):
            assert credential_changes.held(tx, site.deps, identity) is None
            assert credential_changes.restored(tx, site.deps, identity) is None
            assert credential_changes.ended(tx, site.deps, identity, [thumbprint]) is None
        assert credential_changes.held(tx, site.deps, phone.thumbprint) == phone.device
    told = site.check_in(phone)
    assert told is not None
    assert [one.action for one in told.notifications] == ["credentialHeld"]
    with site.database.transaction() as tx:
        assert credential_changes.restored(tx, site.deps, phone.thumbprint) == phone.device
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert [one.action for one in told.notifications] == ["credentialRestored"], "what is over is not said any more"
    with site.database.transaction() as tx:
        assert credential_changes.ended(tx, site.deps, phone.thumbprint, [thumbprint]) == phone.device
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert (told.notifications, [one.credential for one in told.commands]) == ((), [thumbprint])
    told = site.check_in(going)
    assert told is not None
    assert [one.type for one in told.commands] == [CommandType.RETIRE]
