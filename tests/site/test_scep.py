# SPDX-License-Identifier: Apache-2.0
"""SCEP on a whole site: its worker makes the registration authority, relying parties are told of what ends."""

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp

from etymon.directory import people
from etymon.directory.model import TerminationReason
from etymon.issuer.scep import registration_authority
from support import scep_client
from support.enrolled_endpoint import connect, enroll
from support.registration_keys import rsa_key
from support.whole_site import TEST, WholeSite


def status(site: WholeSite, certificate: x509.Certificate) -> ocsp.OCSPCertStatus:
    with site.deployment.database.snapshot() as tx:
        authority = registration_authority.lineage(tx, "managed")[0]
    question = ocsp.OCSPRequestBuilder().add_certificate(certificate, authority, hashes.SHA256()).build()
    with httpx.Client(trust_env=False) as client:
        answer = client.post(
            f"{site.status_url}/ocsp/managed",
            content=question.public_bytes(scep_client.DER),
            headers={"Content-Type": "application/ocsp-request"},
        )
    return ocsp.load_der_ocsp_response(answer.content).certificate_status


def test_a_device_enrolls_and_with_the_account_its_certificate_ends(own_site: WholeSite) -> None:
    own_site.card_for("scepter")
    connect(own_site)
    certificate = enroll(own_site, "scepter", rsa_key(500))
    assert status(own_site, certificate) is ocsp.OCSPCertStatus.GOOD
    with own_site.deployment.database.transaction() as tx:
        person = own_site.person("scepter").id
        people.end_account(tx, own_site.wiring.directory, person, reason=TerminationReason.SEPARATION, actor=TEST)
    own_site.settle()
    assert status(own_site, certificate) is ocsp.OCSPCertStatus.REVOKED
    kept = own_site.deployment.keyring
    (authority,) = own_site.rows("issuer_scep_registration_authorities")
    key = kept.private_key(str(authority["key_name"]))
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 3072
