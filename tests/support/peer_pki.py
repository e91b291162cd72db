# SPDX-License-Identifier: Apache-2.0
"""A small PKI for the tests of the peers, made without the product: an outside CA with CRLs and an OCSP responder.

Root → issuing CA → clients and mail; a TLS root of its own → servers. All of it is valid now, by the machine's clock,
because the peers judge by that one.
"""

import base64
import http.server
import itertools
import os
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from etymon.kernel.secret import Secret
from etymon.server.demo.peers.credentials import PEMFiles, TokenKey
from support import programs

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

UPN: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
POLICY: Final = ObjectIdentifier("2.999.1.1")
OTHER_POLICY: Final = ObjectIdentifier("2.999.1.2")
EARLIER: Final = timedelta(hours=1)
LIFETIME: Final = timedelta(days=2)
CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)
MAIL: Final = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)


@dataclass(frozen=True)
class Leaf:
    """An end entity: its certificate, its key, and both as files (the certificate followed by its issuing CA)."""

    certificate: x509.Certificate
    key: Key
    files: PEMFiles

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


class Authority:
    """A CA with its revocation list."""

    def __init__(self, name: str, issuer: "Authority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.revoked: dict[int, datetime] = {}
        self.certificate = (
            _builder(name, self.key, issuer or self, issuer.name if issuer else _name(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(_policies(POLICY, OTHER_POLICY), critical=False)
            .sign((issuer or self).key, hashes.SHA256())
        )

    @property
    def name(self) -> x509.Name:
        return self.certificate.subject

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def crl(self) -> bytes:
        """Return the list of all that is revoked now, as PEM."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(now - EARLIER).next_update(now + LIFETIME)
        for serial_number, when in self.revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(when)
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


class PeerPKI:
    """An outside PKI whose files are in `directory`."""

    def __init__(self, directory: Path, organization: str = "Outside") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.root = Authority(f"{organization} Root CA")
        self.issuing = Authority(f"{organization} Issuing CA", self.root)
        self.tls = Authority(f"{organization} TLS CA")
        self._directory = directory
        self._numbers = itertools.count()
        self.server_anchors = directory / "tls-ca.pem"
        self.server_anchors.write_bytes(self.tls.pem)

    @property
    def anchors(self) -> bytes:
        return self.root.pem + self.issuing.pem

    @property
    def crls(self) -> bytes:
        return self.root.crl() + self.issuing.crl()

    def client(
        self,
        upn: str,
        *,
        purposes: Sequence[ObjectIdentifier] = CLIENT,
        policy: ObjectIdentifier = POLICY,
        responder: str | None = None,
        key: Key | None = None,
    ) -> Leaf:
        """Return a client whose certificate names `upn`; an empty one leaves the name out."""
        names = [x509.OtherName(UPN, b"\x0c" + bytes([len(upn)]) + upn.encode())] if upn else []
        return self._leaf(self.issuing, upn or "nobody", names, purposes, policy, responder=responder, key=key)

    def mail(self, address: str, *, key: Key | None = None) -> Leaf:
        """Return the holder of a mail address, for signing or, with an RSA key, for decryption."""
        return self._leaf(self.issuing, address, [x509.RFC822Name(address)], MAIL, POLICY, key=key)

    def server(self, name: str = "localhost", *further: str) -> Leaf:
        names = [x509.DNSName(each) for each in dict.fromkeys((name, *further))]
        return self._leaf(self.tls, name, names, (ExtendedKeyUsageOID.SERVER_AUTH,), POLICY)

    def revoke(self, leaf: Leaf) -> None:
        self.issuing.revoked[leaf.certificate.serial_number] = datetime.now(UTC)

    def _leaf(
        self,
        issuer: Authority,
        name: str,
        names: Sequence[x509.GeneralName],
        purposes: Sequence[ObjectIdentifier],
        policy: ObjectIdentifier,
        *,
        responder: str | None = None,
        key: Key | None = None,
    ) -> Leaf:
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(name, key, issuer, issuer.name)
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(_policies(policy), critical=False)
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if responder:
            access = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder)
            )
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        certificate = builder.sign(issuer.key, hashes.SHA256())
        stem = self._directory / f"leaf{next(self._numbers)}"
        files = PEMFiles(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM) + issuer.pem)
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Leaf(certificate, key, files)


def soft_token(directory: Path, leaf: Leaf) -> TokenKey:
    """Return the leaf's key in a new SoftHSM token, from which it cannot be read."""
    module = next(Path("/usr/lib").glob("**/softhsm/libsofthsm2.so"))
    pin = Secret("5678-token")
    tokens = directory / "tokens"
    tokens.mkdir(parents=True)
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    settings = {"SOFTHSM2_CONF": str(configuration)}
    for arguments in (
        ["--init-token", "--free", "--label", "phone", "--so-pin", "1234"],
        ["--import", str(leaf.files.key), "--token", "phone", "--label", "authentication", "--id", "01"],
    ):
        command = [str(programs.required("softhsm2-util")), *arguments, "--pin", pin.reveal()]
        subprocess.run(command, env={"PATH": os.defpath, **settings}, check=True, capture_output=True)
    leaf.files.key.unlink()
    return TokenKey(leaf.files.certificate, module, "phone", b"\x01", pin, settings)


@contextmanager
def answering(authority: Authority) -> Iterator[str]:
    """Serve OCSP (RFC 6960 appendix A, no nonce) for `authority`, signed by a delegated responder; lend its URL."""
    key = ec.generate_private_key(ec.SECP256R1())
    responder = (
        _builder("OCSP", key, authority, authority.name)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .sign(authority.key, hashes.SHA256())
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(base64.b64decode(urllib.parse.unquote(self.path[1:])))

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, request: bytes) -> None:
            answer = _answer(authority, responder, key, ocsp.load_der_ocsp_request(request))
            self.send_response(200)
            self.send_header("Content-Type", "application/ocsp-response")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def _answer(
    authority: Authority, responder: x509.Certificate, key: ec.EllipticCurvePrivateKey, request: ocsp.OCSPRequest
) -> bytes:
    revoked_at = authority.revoked.get(request.serial_number)
    now = datetime.now(UTC)
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            issuer_name_hash=request.issuer_name_hash,
            issuer_key_hash=request.issuer_key_hash,
            serial_number=request.serial_number,
            algorithm=request.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked_at else ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + EARLIER,
            revocation_time=revoked_at,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked_at else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
        .certificates([responder])
    )
    return response.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _builder(name: str, key: Key, issuer: Authority, issuer_name: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Agency"), x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _policies(*oids: ObjectIdentifier) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in oids])


def _usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
