# SPDX-License-Identifier: Apache-2.0
"""What the issuer tells of a phone's credentials: how they stand now, in whatever order the jobs are done."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.issuer import phones_told
from etymon.pki.certificate import thumbprint
from etymon.storage.jobs import jobs
from support.issuer_hold import HoldablePhone, hold_site
from support.issuer_site import IssuerSite


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has people of its own."""
    yield from hold_site(request, tmp_path_factory.mktemp("told"))


def device_of(phone: HoldablePhone) -> bytes:
    identity = phone.link.phone.device
    assert identity is not None
    return thumbprint(identity)


def is_held(phone: HoldablePhone) -> bool | None:
    with phone.site.database.snapshot() as tx:
        return phones_told.is_held(tx, device_of(phone))


def ordered(phone: HoldablePhone) -> list[list[str]]:
    """Return what is to go from a phone, by job, oldest first."""
    device = device_of(phone).hex()
    with phone.site.database.snapshot() as tx:
        found = tx.execute(
            sa.select(jobs.c.payload).where(jobs.c.kind == phones_told.TELL).order_by(jobs.c.enqueued_at)
        ).scalars()
        return [payload["ended"] for payload in found if payload["device"] == device]


def test_each_change_leaves_a_job_and_only_an_end_takes_something_away(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    assert is_held(phone) is False
    phone.hold()
    assert is_held(phone) is True
    phone.restore()
    assert is_held(phone) is False
    assert ordered(phone) == [[], [], []], "it was set up, held, restored"
    phone.end()
    assert is_held(phone) is None
    assert [[thumbprint(phone.first).hex()]] == [each for each in ordered(phone) if each]


def test_what_a_phone_got_last_decides(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold()
    site.linked(
        replace(phone.link.phone, bodies={}, key=ec.generate_private_key(ec.SECP256R1())), phone.person.card
    ).enroll()
    assert is_held(phone) is False
    phone.end()
    assert is_held(phone) is False
