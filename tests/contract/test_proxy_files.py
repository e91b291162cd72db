# SPDX-License-Identifier: Apache-2.0
"""What a proxy in front of the listeners is told, from a data directory whose keys are not there."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import ceremony
from etymon.directory import trust
from etymon.directory.dependencies import Dependencies
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed, NotFound
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.server import command_line, proxy_files
from etymon.storage import migrations
from etymon.storage.database import Database
from support import declared_pki
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock
from support.declared_pki import CARD_POLICY, Certified
from support.tls_files import certificates_pem

CONFIGURATION = 'organization = "Agency"\nstatus_url = "http://status.agency.test"\n'


class Organization:
    """A data directory with a database and without keys, and where the proxy looks for its files."""

    def __init__(self, directory: Path, clock: TurnedClock) -> None:
        self.data, self.proxy, self.clock = directory / "data", directory / "proxy", clock
        self.data.mkdir()
        self.proxy.mkdir()
        self.configure("")
        self.database = Database(f"sqlite:///{self.data / 'etymon.db'}")
        migrations.upgrade(self.database)
        self.directory = Dependencies(self.database, clock, SystemEntropy(), DigestKey(Secret(bytes(32))))
        self.card, self.other = (declared_pki.root(clock.now(), name) for name in ("Card", "Other"))
        self.issuing = self.card.issue(clock.now(), "Issuing", authority=True)
        self.trust("cards", self.card, self.issuing)

    def configure(self, further: str) -> None:
        (self.data / "config.toml").write_text(CONFIGURATION + further, "utf-8")

    def trust(self, name: str, root: Certified, *intermediates: Certified) -> None:
        entry = TrustEntry(
            name=name,
            kind=TrustKind.CARD,
            anchors=(root.certificate,),
            intermediates=tuple(each.certificate for each in intermediates),
            policies=frozenset({CARD_POLICY}),
            identifier=IdentifierKind.UUID,
        )
        with self.database.transaction() as tx:
            trust.save(tx, self.directory, entry, actor="test")

    def write(self) -> set[str]:
        return {file.name for file in proxy_files.write(self.data, self.proxy)}

    def told(self, name: str) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates((self.proxy / name).read_bytes())


@pytest.fixture
def organization(tmp_path: Path, clock: TurnedClock) -> Iterator[Organization]:
    made = Organization(tmp_path, clock)
    yield made
    made.database.close()


@pytest.fixture
def tls_root(organization: Organization) -> x509.Certificate:
    """The root of the organisation's own TLS servers."""
    wanted = [new for new in ceremony.deployment(ORGANIZATION, KeyType.P256) if new.name == "tls-root"]
    keys = organization.data.parent / "authorities"
    made = CASite(organization.database, organization.clock, SystemEntropy(), keys, hierarchy=wanted)
    return made.authorities["tls-root"].certificate


def test_a_proxy_is_told_each_accepted_ca_once_and_who_is_behind_it(
    organization: Organization, tls_root: x509.Certificate
) -> None:
    organization.trust("more-cards", organization.card, organization.issuing)
    assert organization.write() == {"client-cas.pem", "upstream-cas.pem"}
    accepted = [organization.card.certificate, organization.issuing.certificate]
    assert organization.told("client-cas.pem") == accepted
    assert organization.told("upstream-cas.pem") == [tls_root]
    files = list(organization.proxy.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}, "for a proxy that runs as somebody else"
    assert len(files) == 2, "nothing is left beside them"


def test_a_proxy_lets_through_what_connectors_gave_out(organization: Organization) -> None:
    """It is trusted nowhere, and renewed at the device listener."""
    wanted = [new for new in ceremony.deployment(ORGANIZATION, KeyType.P256) if new.name.startswith(("managed", "tls"))]
    keys = organization.data.parent / "authorities"
    made = CASite(organization.database, organization.clock, SystemEntropy(), keys, hierarchy=wanted).authorities
    organization.write()
    known = {organization.card.certificate, organization.issuing.certificate}
    managed = {made["managed"].certificate, made["managed-root"].certificate}
    assert set(organization.told("client-cas.pem")) == known | managed


@pytest.mark.usefixtures("tls_root")
def test_a_link_that_was_put_there_does_not_choose_what_is_written(organization: Organization) -> None:
    mine = organization.data.parent / "mine"
    mine.write_text("mine")
    for name in (".client-cas.pem.new", "client-cas.pem"):
        (organization.proxy / name).symlink_to(mine)
    organization.write()
    assert mine.read_text() == "mine"
    assert not (organization.proxy / "client-cas.pem").is_symlink()


@pytest.mark.usefixtures("tls_root")
def test_only_what_has_changed_is_written(organization: Organization) -> None:
    organization.write()
    before = {file: file.stat().st_mtime_ns for file in organization.proxy.iterdir()}
    assert organization.write() == set()
    assert {file: file.stat().st_mtime_ns for file in organization.proxy.iterdir()} == before
    organization.trust("others", organization.other)
    assert organization.write() == {"client-cas.pem"}
    assert organization.other.certificate in organization.told("client-cas.pem")
    with organization.database.transaction() as tx:
        trust.remove(tx, organization.directory, "others", actor="test")
    assert organization.write() == {"client-cas.pem"}
    assert organization.other.certificate not in organization.told("client-cas.pem")


def test_a_site_that_shows_the_operators_certificate_is_believed_by_its_chain(organization: Organization) -> None:
    root = declared_pki.root(organization.clock.now(), "TLS")
    chain = organization.data / "chain.pem"
    leaf = root.issue(organization.clock.now(), "etymon.agency.test")
    chain.write_text(certificates_pem([leaf.certificate, root.certificate]))
    organization.configure(f'tls_chain_file = "{chain}"\ntls_key_file = "{organization.data / "key.pem"}"\n')
    organization.write()
    assert organization.told("upstream-cas.pem") == [root.certificate]


def test_a_chain_that_only_the_proxy_shows_says_nothing_of_who_is_behind_it(
    organization: Organization, tls_root: x509.Certificate
) -> None:
    root = declared_pki.root(organization.clock.now(), "TLS")
    (organization.data / "chain.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    organization.configure(f'tls_chain_file = "{organization.data / "chain.pem"}"\nproxies = ["127.0.0.2"]\n')
    organization.write()
    assert organization.told("upstream-cas.pem") == [tls_root]


def test_what_is_no_organisation_or_no_directory_is_told(
    organization: Organization, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Malformed, match="etymon init"):
        proxy_files.write(tmp_path / "nowhere", organization.proxy)
    with pytest.raises(NotFound):
        organization.write()  # no TLS root: the directory is unfinished
    assert not list(organization.proxy.iterdir()), "half of it would pass for all"
    chain = organization.data / "chain.pem"
    chain.write_text(certificates_pem([organization.card.certificate, organization.other.certificate]))
    organization.configure(f'tls_chain_file = "{chain}"\ntls_key_file = "{chain}"\n')
    with pytest.raises(SystemExit) as ended:
        command_line.main(["proxy-files", str(tmp_path / "nowhere"), "--data", str(organization.data)])
    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err
