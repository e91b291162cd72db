# SPDX-License-Identifier: Apache-2.0
"""EST enrollment over TLS: a handshake with the device identity, a request, a certificate; and its cryptography alone.

Phone and issuer are in one process here, so that the phone's part is counted too. `limit.est_cryptography.<key>` is
what both spend on keys: the handshake, the signatures that are verified and made. The share of an enrollment that is
cryptography is one by `ratio`.
"""

import base64
import ssl
from collections.abc import Iterator

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_der_x509_certificate, load_der_x509_csr

from bench.measure import Bench
from bench.place import Place
from bench.sizes import Sizes
from etymon.issuer.model import Purpose
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import to_der
from etymon.wire import est, link_qr
from support.ca_site import csr_der
from support.clock import TurnedClock
from support.issuer_listeners import RunningIssuer
from support.issuer_phone import Phone
from support.issuer_site import IssuerSite, Link


def measure(name: str, kind: KeyType, bench: Bench, place: Place) -> None:
    """Measure with one kind of authority key."""
    with place.migrated() as database:
        site = IssuerSite(database, TurnedClock(), SystemEntropy(), place.directory, kind)
        site.save_rule(
            most_derivations=bench.sizes.links_of_one_person, purposes=(Purpose.AUTHENTICATION, Purpose.SIGNATURE)
        )
        with RunningIssuer(site, place.directory).running() as running:
            _measure(bench, name, running)


def _measure(bench: Bench, name: str, running: RunningIssuer) -> None:
    site, phone = running.site, running.site.phone()
    if phone.device is None or phone.device_key is None:
        message = "the phone has no device identity"
        raise RuntimeError(message)
    context = running.showing("bench", phone.device, phone.device_key)
    links = list(_links(site, phone, bench.sizes))
    url = f"{site.deps.device_url}/.well-known/est/signature/simpleenroll"
    requests = [_request(link) for link in links]

    def enroll() -> None:
        body, headers = requests.pop()
        with httpx.Client(verify=context, trust_env=False) as client:
            client.post(url, content=body, headers=headers).raise_for_status()

    alone, limit = _Cryptography(running, context, phone, requests[0][0]), f"limit.est_cryptography.{name}"
    bench.measure(limit, alone.spend)
    bench.measure(f"est_enroll.{name}", enroll, limit=limit, made=len(requests), further=bench.share_of(limit))


def _links(site: IssuerSite, phone: Phone, sizes: Sizes) -> Iterator[Link]:
    """Make confirmed links; only so many devices of one person may have credentials at a time."""
    for number in range(sizes.links):
        if number and number % sizes.links_of_one_person == 0:
            site.alice = site.person(f"alice{number}")
            site.join(site.alice)
            site.card = site.bound_card(site.alice)
        yield site.linked(phone)


def _request(link: Link) -> tuple[bytes, dict[str, str]]:
    body = est.encode_body(csr_der(ec.generate_private_key(ec.SECP256R1())))
    proof = link.phone.sign(link_qr.request_message(Purpose.SIGNATURE.value, body))
    headers = {
        "Authorization": f"Bearer {link.authorized.authorization.reveal()}",
        "Link-Proof": base64.b64encode(proof).decode(),
        "Content-Type": est.PKCS10,
    }
    return body, headers


class _Cryptography:
    """What one enrollment needs of it: handshake of both sides, device path, request, link proof, the signature."""

    def __init__(self, running: RunningIssuer, client: ssl.SSLContext, phone: Phone, body: bytes) -> None:
        self._client, self._phone = client, phone
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(running.identity.chain_file, running.identity.key_file)
        self._server.verify_mode = ssl.CERT_OPTIONAL
        authorities = running.site.ca.authorities
        self._server.load_verify_locations(cadata=to_der(authorities["device-root"].certificate))
        self._server.load_verify_locations(cadata=to_der(authorities["device"].certificate))
        self._server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._request = load_der_x509_csr(est.decode_body(body))
        self._device_path = [authorities["device"].certificate, authorities["device-root"].certificate]
        self._authority = authorities["derived"].certificate
        self._signer = running.site.ca.deps.signers["derived"]
        self._issued = running.site.ca.issue("derived-digital-signature").certificate
        self._proof = phone.sign(b"message")

    def spend(self) -> None:
        """Do all of it once."""
        self._handshake()
        device = self._phone.device
        if device is None or not self._request.is_signature_valid:
            message = "what was made for this does not verify"
            raise RuntimeError(message)
        for certificate, issuer in zip((device, self._device_path[0]), self._device_path, strict=True):
            certificate.verify_directly_issued_by(issuer)
        public_key = self._phone.key.public_key()
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(self._proof, b"message", ec.ECDSA(hashes.SHA256()))
        self._signer.sign(self._issued.tbs_certificate_bytes)
        load_der_x509_certificate(to_der(self._issued)).verify_directly_issued_by(self._authority)

    def _handshake(self) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self._server.wrap_bio(to_server, to_client, server_side=True)
        client = self._client.wrap_bio(to_client, to_server, server_hostname="localhost")
        sides, done = (client, server), 0
        while done < len(sides) * 2:
            for side in sides:
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                done += 1
