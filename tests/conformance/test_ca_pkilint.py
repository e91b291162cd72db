# SPDX-License-Identifier: Apache-2.0
"""pkilint judges certificates, CRLs and OCSP answers by RFC 5280, RFC 6960 and RFC 5019.

Two of its alarms are false, and kept out by name:

* `pkix.invalid_uri_syntax` for `urn:uuid:…` and `tag:…`: it knows URIs with an authority part only; FIPS 201-3 §4.2.2.1
  asks for the URN of RFC 4122 §3, and RFC 4151 makes the tag a URI.
* Its decoder takes the first arcs of 2.999 (X.660's arc for examples, two octets long) for out of range. The
  certificates here therefore assert policies below the enterprise number for examples (RFC 5612).
"""

import functools
import io
import json
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from pkilint.bin import lint_crl, lint_ocsp_response, lint_pkix_cert, lint_pkix_signer_signee_cert_chain

from etymon.ca import ceremony, crl, revocation
from etymon.ca import ocsp as responding
from etymon.ca.model import AlternativeNames, RevocationReason
from etymon.ca.policies import PolicyFamily, policy_oids
from etymon.ca.profiles import profile_named
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.algorithms import KeyType, key_type
from etymon.pki.certificate import policies, public_key
from support.ca_site import (
    ORGANIZATION,
    CASite,
    authority_of,
    every_kind,
    names_for,
    pem,
    proven_key,
    rsa_key,
    subscriber_profiles,
)
from support.clock import TurnedClock
from support.databases import SQLiteDatabases

pytestmark = [  # pkilint leaves the files it reads to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

FALSE_ALARM = re.compile(r'[A-Z]+ pkix\.invalid_uri_syntax: .*"(urn:uuid:[0-9a-f-]{36}|tag:[^"]+)".*')
EXAMPLE_ENTERPRISE = "1.3.6.1.4.1.32473"
FAMILIES = {family: policy_oids(family, f"{EXAMPLE_ENTERPRISE}.1", {}) for family in PolicyFamily}
ISSUED = [
    *((PolicyFamily.OWN, profile) for profile in subscriber_profiles()),
    *((PolicyFamily.FEDERAL, profile) for profile in subscriber_profiles()),
    *((PolicyFamily.PIV_I, profile) for profile in subscriber_profiles() if profile.startswith("piv-i-")),
]
"""The other policies of the family PIV-I are the organisation's own."""


@pytest.fixture(scope="module")
def sites(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CASite]:
    """Return how sites are had: one of each family of policies, and one whose authorities have keys of another type."""

    @functools.cache
    def made(family: PolicyFamily, key_type: KeyType | None = None) -> CASite:
        return CASite(
            sqlite_databases.migrated(),
            TurnedClock(),
            SystemEntropy(),
            tmp_path_factory.mktemp("authorities"),
            status_url="http://status.agency.example",
            policy_oids=FAMILIES[family],
            hierarchy=every_kind(KeyType.P384) if key_type is None else ceremony.deployment(ORGANIZATION, key_type)[:2],
        )

    return made


@pytest.fixture(scope="module")
def site(sites: Callable[..., CASite]) -> CASite:
    return sites(PolicyFamily.OWN)


def linted(main: Callable[[Sequence[str]], Any], *arguments: str | Path) -> list[str]:
    """Return what a linter of pkilint finds, from notices upward, without the false alarm above."""
    return [told for told in all_found(main, *arguments) if not FALSE_ALARM.fullmatch(told)]


def all_found(main: Callable[[Sequence[str]], Any], *arguments: str | Path) -> list[str]:
    output = io.StringIO()
    with redirect_stdout(output):
        main(["lint", "--severity", "NOTICE", "--format", "JSON", *map(str, arguments)])
    return [
        f"{finding['severity']} {finding['code']}: {finding.get('message')}"
        for result in json.loads(output.getvalue())["results"]
        for finding in result["finding_descriptions"]
    ]


def file_of(directory: Path, certificate: x509.Certificate) -> Path:
    path = directory / f"{certificate.serial_number}.pem"
    path.write_bytes(pem(certificate))
    return path


def public_names(profile: str) -> AlternativeNames:
    """Return the alternative names for a profile, without those that only this machine knows."""
    names = names_for(profile)
    return replace(names, dns=("site.agency.example",)) if names.dns else names


def lint_list(site: CASite, authority: str, directory: Path) -> list[str]:
    path = directory / f"{authority}.crl"
    path.write_bytes(crl.refresh(site.deps, authority).der)
    return linted(lint_crl.main, "--type", "CRL", "--profile", "PKIX", "--document-format", "DER", path)


@pytest.mark.parametrize(("family", "profile"), ISSUED)
def test_every_profile_is_clean(
    family: PolicyFamily, profile: str, sites: Callable[..., CASite], tmp_path: Path
) -> None:
    issued = sites(family).issue(profile, alternative=public_names(profile))
    assert policies(issued.certificate) == {FAMILIES[family][profile_named(profile).policy or ""]}
    leaf, issuer = file_of(tmp_path, issued.certificate), file_of(tmp_path, issued.chain[0])
    assert linted(lint_pkix_cert.main, leaf) == []
    assert linted(lint_pkix_signer_signee_cert_chain.main, issuer, leaf) == []


@pytest.mark.parametrize(
    ("profile", "kind"),
    [("derived-piv-authentication", KeyType.RSA2048), ("derived-key-management", KeyType.RSA3072)],
)
def test_what_an_rsa_key_signs_for_an_rsa_key_is_clean(
    profile: str, kind: KeyType, sites: Callable[..., CASite], tmp_path: Path
) -> None:
    site = sites(PolicyFamily.FEDERAL, KeyType.RSA3072)
    issued = site.issue(profile, key=proven_key(rsa_key(kind)))
    assert issued.certificate.signature_algorithm_oid == x509.SignatureAlgorithmOID.RSA_WITH_SHA256
    assert key_type(public_key(issued.certificate)) is kind
    leaf, issuer = file_of(tmp_path, issued.certificate), file_of(tmp_path, issued.chain[0])
    assert linted(lint_pkix_cert.main, leaf) == []
    assert linted(lint_pkix_cert.main, issuer) == []
    assert linted(lint_pkix_signer_signee_cert_chain.main, issuer, leaf) == []
    assert lint_list(site, "derived", tmp_path) == []


@pytest.mark.parametrize(
    ("profile", "scheme"), [("derived-piv-authentication", "urn:uuid:"), ("managed-endpoint", "tag:")]
)
def test_the_false_alarm_is_that_one_finding_and_no_more(
    profile: str, scheme: str, site: CASite, tmp_path: Path
) -> None:
    leaf = file_of(tmp_path, site.issue(profile, alternative=public_names(profile)).certificate)
    (alarm,) = all_found(lint_pkix_cert.main, leaf)
    assert (found := FALSE_ALARM.fullmatch(alarm)) is not None
    assert found[1].startswith(scheme)


def test_every_authority_is_clean(site: CASite, tmp_path: Path) -> None:
    for authority in site.authorities.values():
        own = file_of(tmp_path, authority.certificate)
        assert linted(lint_pkix_cert.main, own) == []
        if authority.parent is not None:
            parent = file_of(tmp_path, site.authorities[authority.parent].certificate)
            assert linted(lint_pkix_signer_signee_cert_chain.main, parent, own) == []


@pytest.mark.parametrize("reason", [None, *RevocationReason])
def test_every_list_is_clean(reason: RevocationReason | None, site: CASite, tmp_path: Path) -> None:
    issued = site.issue("device-identity")
    if reason is not None:
        with site.deps.database.transaction() as tx:
            revocation.revoke(tx, site.deps, issued.id, reason, actor="officer")
    assert lint_list(site, "device", tmp_path) == []


@pytest.mark.parametrize("profile", ["derived-piv-authentication", "piv-authentication"])
@pytest.mark.parametrize("state", ["good", "revoked", "unknown"])
def test_every_answer_is_clean(profile: str, state: str, site: CASite, tmp_path: Path) -> None:
    issued = site.issue(profile)
    if state == "revoked":
        with site.deps.database.transaction() as tx:
            revocation.revoke(tx, site.deps, issued.id, RevocationReason.KEY_COMPROMISE, actor="officer")
    asked = issued.certificate if state != "unknown" else issued.chain[0]
    request = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(asked, issued.chain[0], hashes.SHA256())
        .add_extension(x509.OCSPNonce(bytes(range(32))), critical=False)
        .build()
    )
    encoded = request.public_bytes(serialization.Encoding.DER)
    path = tmp_path / "answer.der"
    path.write_bytes(responding.answer(site.deps, authority_of(profile), encoded).der)
    response = ocsp.load_der_ocsp_response(path.read_bytes())
    assert response.certificate_status.name.lower() == state
    assert linted(lint_ocsp_response.main, "--document-format", "DER", path) == []


def test_the_responders_own_certificate_is_clean(site: CASite, tmp_path: Path) -> None:
    issued = site.issue()
    request = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hashes.SHA1()).build()  # noqa: S303 - what most clients send
    answered = responding.answer(site.deps, "derived", request.public_bytes(serialization.Encoding.DER)).der
    (certificate,) = ocsp.load_der_ocsp_response(answered).certificates
    assert linted(lint_pkix_cert.main, file_of(tmp_path, certificate)) == []
