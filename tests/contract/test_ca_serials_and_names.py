# SPDX-License-Identifier: Apache-2.0
"""Serial numbers and names in certificates, and profiles an authority may not issue."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from etymon.ca import content, issuance
from etymon.ca.common_names import CommonNameForm
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotPermitted
from etymon.storage.database import Database
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path)


def test_serial_numbers_are_long_and_different(site: CASite) -> None:
    serials = [content.fresh_serial(site.deps.entropy) for _ in range(200)]
    assert len(set(serials)) == 200
    assert all(64 <= serial.bit_length() <= 127 for serial in serials)


class Scripted:
    """Chance that a test wrote down."""

    def __init__(self, *values: bytes) -> None:
        self._values = list(values)

    def octets(self, count: int) -> bytes:
        value = self._values.pop(0)
        assert len(value) == count
        return value


def test_a_serial_number_that_would_look_short_is_drawn_again() -> None:
    entropy = Scripted(bytes(16), bytes(8) + b"\xff" * 8, b"\xff" * 16)
    assert content.fresh_serial(entropy) == 2**127 - 1


def test_a_profile_that_the_authority_may_not_issue_is_refused_before_anything_is_built(site: CASite) -> None:
    with pytest.raises(NotPermitted), site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, site.request("tls-server", ca="device"))


def test_names_in_a_certificate_keep_their_letters(site: CASite) -> None:
    issued = site.issue(subject=replace(ORGANIZATION, common_name="Zoë Ünal"))
    found = issued.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert [attribute.value for attribute in found] == ["Zoë Ünal"]


def test_a_person_is_called_in_the_forms_that_the_organization_allows(site: CASite) -> None:
    site.deps = replace(site.deps, common_name_forms=frozenset({CommonNameForm.LAST_FIRST_MIDDLE}))
    with pytest.raises(NotPermitted, match="common_name_form"):
        site.issue(subject=replace(ORGANIZATION, common_name="Zoë Ünal"))
    site.issue(subject=replace(ORGANIZATION, common_name="Ünal.Zoë.1234567890"))
    site.issue("device-identity", subject=replace(ORGANIZATION, common_name="a device"))
