# SPDX-License-Identifier: Apache-2.0
"""SCEP on a whole site: its worker makes the registration authority, relying parties are told of what ends."""

from datetime import timedelta

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from etymon.directory import people
from etymon.directory.model import TerminationReason
from etymon.issuer.scep import challenges, connectors, registration_authority
from etymon.issuer.scep.model import ChallengeSource, Connector, Holder
from etymon.issuer.store import clients
from etymon.server.wiring import ENDPOINT_MANAGER_CLIENT
from support import scep_client
from support.registration_keys import rsa_key
from support.scep_client import Message
from support.whole_site import TEST, WholeSite

CONNECTOR = "fleet"


def connect(site: WholeSite) -> None:
    deps = site.wiring.issuer
    officer = site.person("otto").id
    wanted = Connector(
        name=CONNECTOR,
        source=ChallengeSource.MANAGEMENT,
        lifetime=timedelta(days=90),
        created_by=officer,
        created_at=site.clock.now(),
        client=ENDPOINT_MANAGER_CLIENT,
    )
    with site.deployment.database.transaction() as tx:
        connectors.save(tx, deps, wanted, officer=officer)
    site.settle()


def challenge_for(site: WholeSite, person: str) -> str:
    deps = site.wiring.issuer
    with site.deployment.database.snapshot() as tx:
        client = clients.find(tx, ENDPOINT_MANAGER_CLIENT)
    assert client is not None
    secret, _ = challenges.ask(deps, client, CONNECTOR, Holder(site.person(person).id, None), source="192.0.2.1")
    return secret.reveal()


def enroll(site: WholeSite, person: str, key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = site.person(person).display_name
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    url = f"{site.status_url}/scep/{CONNECTOR}"
    with httpx.Client(trust_env=False) as client:
        listed = client.get(url, params={"operation": "GetCACert"}).raise_for_status().content
        registrar = x509.load_der_x509_certificate(scep_client.certificates_of(listed)[0])
        content = scep_client.request(key, subject, challenge_for(site, person))
        message = Message(key, scep_client.self_signed(key, name), [registrar], content)
        answer = client.post(f"{url}?operation=PKIOperation", content=message.encode()).raise_for_status().content
    reply = scep_client.decode(answer, key)
    assert reply.status == "success", reply
    return reply.certificate


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
