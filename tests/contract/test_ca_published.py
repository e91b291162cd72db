# SPDX-License-Identifier: Apache-2.0
"""What the status listener gives anybody: authorities' certificates, and never a subscriber's (FIPS 201-3, 5.2.1)."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from etymon.ca.ceremony import card_issuer, deployment
from etymon.kernel.entropy import Entropy
from etymon.pki.certificate import to_der
from support.ca_site import ORGANIZATION, CASite
from support.ca_status import status_listener
from support.clock import TurnedClock
from support.databases import SQLiteDatabases

PROFILES = ("derived-piv-authentication", "piv-authentication")


@pytest.fixture
def site(sqlite_databases: SQLiteDatabases, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> Iterator[CASite]:
    """On one engine: what is served does not depend on it."""
    derived = [new for new in deployment(ORGANIZATION) if new.name.startswith("derived")]
    database = sqlite_databases.migrated()
    yield CASite(database, clock, entropy, tmp_path, hierarchy=(*derived, *card_issuer(ORGANIZATION)))
    database.close()


def test_no_subscribers_certificate_is_published(site: CASite) -> None:
    issued = [site.issue(profile) for profile in PROFILES]
    authorities = {to_der(found.certificate) for found in site.authorities.values()}
    with status_listener() as listener, httpx.Client() as client:
        listener.serve(site.deps)
        for name in site.authorities:
            for ending in (".p7c", "-issued.p7c"):
                served = client.get(f"{listener.url}/certificates/{name}{ending}")
                found = pkcs7.load_der_pkcs7_certificates(served.content) if len(served.content) > 60 else []
                assert {to_der(each) for each in found} <= authorities
        for each in issued:
            serial = f"{each.certificate.serial_number:x}"
            for known in (serial, str(each.id), _common_name(each.certificate.subject.rfc4514_string())):
                for ending in (".cer", ".p7c", "-issued.p7c"):
                    assert client.get(f"{listener.url}/certificates/{known}{ending}").status_code == 404


def _common_name(subject: str) -> str:
    found = re.search(r"CN=([^,]+)", subject)
    return found[1] if found else "nobody"
