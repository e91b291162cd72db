# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import Conflict, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone import record
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.state import (
    ALLOWED,
    Credential,
    Derivation,
    DerivationStep,
    DeviceState,
    Hardware,
    Invitation,
    Management,
    PhoneState,
    Policy,
    PolicyResult,
    Purpose,
    Redemption,
    ResultState,
    moved,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINK = UUID("11111111-2222-4333-8444-555555555555")


def test_every_state_has_its_moves_and_a_retired_phone_is_only_wiped() -> None:
    assert set(ALLOWED) == set(DeviceState)
    assert ALLOWED[DeviceState.RETIRED] == {DeviceState.FACTORY_NEW}


@given(st.lists(st.sampled_from(DeviceState), max_size=20))
def test_only_an_enrollment_that_was_provisioned_from_new_leads_to_enrolled(targets: list[DeviceState]) -> None:
    state, way = DeviceState.FACTORY_NEW, [DeviceState.FACTORY_NEW]
    for target in targets:
        try:
            state = moved(state, target)
        except Conflict:
            assert target not in ALLOWED[state]
            continue
        way.append(state)
    for before, after in pairwise(way):
        assert after is not DeviceState.ENROLLED or before is DeviceState.PROVISIONING
        assert before is not DeviceState.RETIRED or after is DeviceState.FACTORY_NEW


def test_what_a_phone_knows_is_read_back_as_it_was_written() -> None:
    redemption = Redemption("Alice", "a…e@agency.example", "Agency", "012345", NOON, (Purpose.SIGNATURE,))
    state = PhoneState(
        Hardware("SN-1"),
        VaultKind.PKCS11,
        factory_roots=(b"\x00\xff",),
        device=DeviceState.ENROLLED,
        pins={"127.0.0.1": b"\x01"},
        invitation=Invitation("https://h/mdm", Secret("TOKEN"), None),
        management=Management(
            7,
            (Policy(LINK, 3, "wifi", "Corp", {"ssid": "Corp", "hidden": False, "roots": ["a"], "more": {"n": 1}}),),
            (PolicyResult(LINK, 3, ResultState.PENDING, "waits"),),
        ),
        derivation=Derivation(
            DerivationStep.COMPARING,
            LINK,
            Secret(b"\x00\x01"),
            "https://h/issuer",
            b"\x02",
            redemption=redemption,
            requests={"signature": b"\x03"},
            installed=(Purpose.AUTHENTICATION,),
        ),
        credentials=(Credential(Purpose.ENCRYPTION, "derived-encryption-1", retired=True),),
    )
    assert record.decode(PhoneState, record.encode(state)) == state


@pytest.mark.parametrize(
    "octets", [b"", b"[]", b"{}", b'{"hardware": 1}', b'{"hardware": {}, "vault": "cloud"}', b"\xff"]
)
def test_what_cannot_be_read_back_is_a_damaged_phone(octets: bytes) -> None:
    with pytest.raises(Unavailable, match="file_damaged"):
        record.decode(PhoneState, octets)


def test_a_member_that_an_older_phone_wrote_is_dropped() -> None:
    written = b'{"serial_number": "SN-1", "color": "blue"}'
    assert record.decode(Hardware, written) == Hardware("SN-1")
