# SPDX-License-Identifier: Apache-2.0
"""Devices of another endpoint manager that enroll by SCEP at a whole site."""

from datetime import timedelta

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from etymon.issuer.scep import challenges, connectors
from etymon.issuer.scep.model import ChallengeSource, Connector, Holder
from etymon.issuer.store import clients
from etymon.server.wiring import ENDPOINT_MANAGER_CLIENT
from support import scep_client
from support.scep_client import Message
from support.whole_site import WholeSite

CONNECTOR = "fleet"


def connect(site: WholeSite) -> None:
    """Have an officer put a connector in force."""
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
