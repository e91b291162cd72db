# SPDX-License-Identifier: Apache-2.0
"""The key ceremony: hierarchies of their own, begun again after any interruption, and roots that leave."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509

from etymon.audit import trail
from etymon.ca import authorities, ceremony, crl, revocation, store
from etymon.ca.authorities import NewAuthority
from etymon.ca.ceremony import card_issuer, deployment
from etymon.ca.model import RevocationReason, SubjectNames
from etymon.ca.policies import FEDERAL_POLICY_OIDS
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import policies, public_key, to_der
from etymon.pki.keys import KeyDirectory
from etymon.pki.signer import Signer
from etymon.storage.database import Database
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path, hierarchy=())


class Halt(Exception):
    """The machine stops here."""


class Interrupted:
    """Makes keys until it has made so many, and then stops the machine: just after the file was written."""

    def __init__(self, keys: KeyDirectory, after: int) -> None:
        self._keys, self._left = keys, after

    def generate(self, name: str, kind: KeyType) -> Signer:
        signer = self._keys.generate(name, kind)
        self._left -= 1
        if self._left == 0:
            raise Halt
        return signer

    def find(self, name: str) -> Signer | None:
        return self._keys.find(name)


def test_the_hierarchies_have_roots_of_their_own(site: CASite) -> None:
    wanted = (*deployment(ORGANIZATION), *card_issuer(ORGANIZATION))
    made = {found.name: found for found in ceremony.create(site.deps, site.keys, wanted, actor="init")}
    roots = {name for name, found in made.items() if found.parent is None}
    assert roots == {"derived-root", "device-root", "tls-root", "managed-root", "card-root"}
    assert len({to_der(found.certificate) for found in made.values()}) == len(wanted)
    for name in ("derived", "device", "tls", "managed", "card"):
        with site.deps.database.snapshot() as tx:
            lineage = store.lineage(tx, name)
        for below, above in pairwise(lineage):
            below.certificate.verify_directly_issued_by(above.certificate)
        constraints = lineage[0].certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (constraints.ca, constraints.path_length, lineage[-1].parent) == (True, 0, None)
        assert policies(lineage[0].certificate) == frozenset(lineage[0].policies)
    assert made["card"].parent == "card-intermediate"


def test_policies_that_are_one_in_the_federal_family_are_passed_on_once(site: CASite) -> None:
    site.deps = replace(site.deps, policy_oids=FEDERAL_POLICY_OIDS)
    made = ceremony.create(site.deps, site.keys, deployment(ORGANIZATION), actor="init")
    passed_on = {found.name: found.policies for found in made if found.parent is not None}
    arc = "2.16.840.1.101.3.2.1.3"
    assert passed_on == {
        "derived": (f"{arc}.40", f"{arc}.6", f"{arc}.8"),
        **dict.fromkeys(("device", "tls", "managed"), (f"{arc}.8",)),
    }


def test_a_ceremony_is_begun_again_wherever_it_stopped(site: CASite) -> None:
    wanted = deployment(ORGANIZATION)
    for _ in range(12):  # eight authorities and four responders, one key a run
        with pytest.raises(Halt):
            ceremony.create(site.deps, Interrupted(site.keys, 1), wanted, actor="init")
    made = ceremony.create(site.deps, Interrupted(site.keys, 1), wanted, actor="init")
    assert [found.name for found in made] == [new.name for new in wanted]
    for found in made:
        assert site.keys[found.name].public_key == public_key(found.certificate)
        assert crl.refresh(site.deps, found.name).number == 1
    with site.deps.database.snapshot() as tx:
        names = [found.event.name for found in trail.page(tx, limit=200)]
    assert names.count("ca:authority:created") == 8


def test_a_second_ceremony_changes_nothing(site: CASite) -> None:
    first = ceremony.create(site.deps, site.keys, deployment(ORGANIZATION), actor="init")
    keys = set(site.keys)
    other = deployment(SubjectNames(common_name="Other", organization="Somebody Else"))
    again = ceremony.create(site.deps, site.keys, other, actor="init")
    assert [to_der(found.certificate) for found in again] == [to_der(found.certificate) for found in first]
    assert set(site.keys) == keys


def test_a_deployment_works_on_without_its_root_keys(site: CASite, clock: TurnedClock) -> None:
    made = ceremony.create(site.deps, site.keys, deployment(ORGANIZATION), actor="init")
    exported = ceremony.export_root_keys(site.keys, made, Secret(b"kept by two"))
    ceremony.remove_root_keys(site.keys, made)
    assert not {name for name in site.keys if name.endswith("-root")}
    site.issue("device-identity")
    below = replace(deployment(ORGANIZATION)[1], name="derived-2", subject=SubjectNames(common_name="Second"))
    with pytest.raises(Unavailable, match="ca_key_unavailable"):
        authorities.create_issuing(site.deps, site.keys, below, actor="init")
    clock.advance(timedelta(days=1))
    assert crl.refresh(site.deps, "derived-root").number == 1
    assert set(exported) == {"derived-root", "device-root", "tls-root", "managed-root"}


def test_a_root_that_came_back_certifies_and_revokes(site: CASite) -> None:
    made = ceremony.create(site.deps, site.keys, deployment(ORGANIZATION), actor="init")
    second = replace(deployment(ORGANIZATION)[1], name="derived-2", subject=SubjectNames(common_name="Second"))
    authority = authorities.create_issuing(site.deps, site.keys, second, actor="administrator")
    assert authority.parent == "derived-root"
    serial = made[1].certificate.serial_number
    with site.deps.database.transaction() as tx:
        revocation.revoke_serial(
            tx, site.deps, "derived-root", serial, RevocationReason.CESSATION_OF_OPERATION, actor="administrator"
        )
    listed = x509.load_der_x509_crl(crl.refresh(site.deps, "derived-root").der)
    assert [entry.serial_number for entry in listed] == [serial]


def test_an_authority_below_nobody_is_not_made(site: CASite) -> None:
    orphan = NewAuthority("derived", "nowhere", "issuing-ca", ORGANIZATION, KeyType.P256, frozenset())
    with pytest.raises(NotFound):
        authorities.create_issuing(site.deps, site.keys, orphan, actor="init")
    with site.deps.database.snapshot() as tx, pytest.raises(NotFound):
        authorities.load(tx, "derived")


def test_an_rsa_root_of_2048_bits_ends_with_2030(site: CASite) -> None:
    new = NewAuthority("small-root", None, "root-ca", SubjectNames(common_name="Small"), KeyType.RSA2048, frozenset())
    made = authorities.create_root(site.deps, site.keys, new, actor="init")
    made.certificate.verify_directly_issued_by(made.certificate)
    assert made.certificate.not_valid_after_utc.year == 2030
