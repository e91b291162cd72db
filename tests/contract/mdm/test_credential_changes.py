# SPDX-License-Identifier: Apache-2.0
"""What the issuer of the same deployment did to a device's credentials, heard of at the device's check-in."""

from etymon.mdm import credential_changes, lifecycle
from etymon.mdm.model import CommandType
from support.directory_site import ADMINISTRATOR
from support.mdm_site import MDMSite, Phone

CERTIFICATE = b"\x07" * 32


def said(site: MDMSite, phone: Phone, *, is_held: bool | None) -> list[str]:
    """Have a device told how things stand; return what it hears of that from the beginning."""
    with site.database.transaction() as tx:
        credential_changes.standing(tx, site.deps, phone.device, is_held=is_held)
    phone.known = 0
    told = site.check_in(phone)
    return [] if told is None else [one.action for one in told.notifications]


def test_the_issuer_says_nothing_to_devices_that_are_not_managed(site: MDMSite) -> None:
    phone, going = (site.phone(site.directory.person(name)) for name in ("alice", "bob"))
    assert site.check_in(going) is not None
    with site.database.transaction() as tx:
        lifecycle.retire(tx, site.deps, going.device, actor=ADMINISTRATOR)
    with site.database.transaction() as tx:
        assert credential_changes.locked(tx, going.thumbprint) is None
        assert credential_changes.locked(tx, b"\x09" * 32) is None
        assert credential_changes.locked(tx, phone.thumbprint) == phone.device
    told = site.check_in(going)
    assert told is not None
    assert [one.type for one in told.commands] == [CommandType.RETIRE]


def test_how_things_stand_now_is_said_whatever_was_said_before(site: MDMSite) -> None:
    phone = site.phone(site.directory.person("alice"))
    assert said(site, phone, is_held=False) == [], "nobody was told of a hold"
    assert said(site, phone, is_held=True) == ["credentialHeld"]
    assert said(site, phone, is_held=True) == ["credentialHeld"], "once"
    assert said(site, phone, is_held=False) == ["credentialRestored"], "what is over is not said any more"
    assert said(site, phone, is_held=False) == ["credentialRestored"]
    assert said(site, phone, is_held=True) == ["credentialHeld"]
    assert said(site, phone, is_held=None) == [], "there is nothing left that could be on hold"


def test_what_ended_is_to_go_from_the_device(site: MDMSite) -> None:
    phone = site.phone(site.directory.person("alice"))
    with site.database.transaction() as tx:
        credential_changes.ended(tx, site.deps, phone.device, [CERTIFICATE])
    told = site.check_in(phone)
    assert told is not None
    assert [one.credential for one in told.commands] == [CERTIFICATE]
