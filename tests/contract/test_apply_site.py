# SPDX-License-Identifier: Apache-2.0
"""Which site a command means, and whom it believes to be it."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import ceremony
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed, NotFound
from etymon.pki.algorithms import KeyType
from etymon.server.apply import site_trust
from etymon.storage import migrations
from etymon.storage.database import Database
from support import declared_pki
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock

CONFIGURATION = """
organization = "Test Agency"
host = "etymon.agency.test"
site_port = 9443
status_url = "http://status.agency.test"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(CONFIGURATION, "utf-8")
    return tmp_path


def test_a_data_directory_names_its_site_and_tls_root_without_its_keys(data: Path, clock: TurnedClock) -> None:
    database = Database(f"sqlite:///{data / 'etymon.db'}")
    migrations.upgrade(database)
    wanted = [new for new in ceremony.deployment(ORGANIZATION, KeyType.P256) if new.name == "tls-root"]
    made = CASite(database, clock, SystemEntropy(), data / "authorities", hierarchy=wanted)
    database.close()
    site = site_trust.of_data_directory(data)
    assert site.url == "https://etymon.agency.test:9443"
    assert site.anchors == (made.authorities["tls-root"].certificate,)
    (known,) = site.context().get_ca_certs(binary_form=True)
    assert known == made.authorities["tls-root"].certificate.public_bytes(Encoding.DER)


def test_a_site_with_a_certificate_from_elsewhere_is_believed_by_that_chain(data: Path, clock: TurnedClock) -> None:
    root = declared_pki.root(clock.now())
    leaf = root.issue(clock.now(), "etymon.agency.test")
    chain = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (leaf, root))
    (data / "chain.pem").write_bytes(chain)
    files = f'tls_chain_file = "{data / "chain.pem"}"\ntls_key_file = "{data / "key.pem"}"\n'
    (data / "config.toml").write_text(CONFIGURATION + files, "utf-8")
    assert site_trust.of_data_directory(data).anchors == (root.certificate,)


def test_a_directory_that_is_no_organisations_is_told(tmp_path: Path, data: Path) -> None:
    with pytest.raises(Malformed, match="etymon init"):
        site_trust.of_data_directory(tmp_path / "nowhere")
    migrations.upgrade(Database(f"sqlite:///{data / 'etymon.db'}"))
    with pytest.raises(NotFound):
        site_trust.of_data_directory(data)


def test_a_named_site_is_believed_by_the_machines_anchors_or_by_those_named(tmp_path: Path, clock: TurnedClock) -> None:
    assert site_trust.named("https://site.test:8443/", None).url == "https://site.test:8443"
    assert isinstance(site_trust.named("https://site.test", None).context(), ssl.SSLContext)
    root = declared_pki.root(clock.now())
    (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    assert site_trust.named("https://site.test", tmp_path / "root.pem").anchors == (root.certificate,)
    with pytest.raises(Malformed, match="cannot be read"):
        site_trust.named("https://site.test", tmp_path / "nowhere.pem")


@pytest.mark.parametrize("address", ["site.test", "http://site.test", "https://", "https://site.test/graph"])
def test_what_is_no_site_is_refused(address: str) -> None:
    with pytest.raises(Malformed, match="Write it like"):
        site_trust.named(address, None)
