# SPDX-License-Identifier: Apache-2.0
"""What EST answers to keys that nobody certifies: a code, an event, and nothing kept."""

from pathlib import Path

import pytest

from etymon.issuer.model import Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict
from etymon.storage.database import Database
from etymon.wire import est
from support.ca_site import csr_der
from support.clock import TurnedClock
from support.issuer_site import IssuerSite


def test_the_key_of_the_card_that_was_proved_is_certified_for_no_phone(
    database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> None:
    site = IssuerSite(database, clock, entropy, tmp_path)
    link = site.linked()
    with pytest.raises(Conflict, match="key_of_a_card"):
        link.enroll(Purpose.SIGNATURE, body=est.encode_body(csr_der(site.card.key)))
    refused = site.events("issuer:credential:refused")
    assert [event.facts["code"] for event in refused] == ["key_of_a_card"]
    assert site.credentials(link.begun) == {}
    assert link.enroll(Purpose.SIGNATURE).certificate.serial_number
