# SPDX-License-Identifier: Apache-2.0
"""The TLS server's own certificate: from the files an operator names, or from the deployment's TLS CA.

Behind proxies that keep their key to themselves, people and phones are shown the operator's chain (`pin`, `anchors`),
and the proxies one of ours (`proxies_trust`).

One of our own is made anew, with a new key, each time a site starts and before its year is over. The key is nowhere but
in the memory of the process that made it.
"""

import ipaddress
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from etymon.ca import authorities, issuance
from etymon.ca.model import AlternativeNames, IssuanceRequest, SubjectNames
from etymon.kernel.entropy import random_token
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.pki import key_policy, keys
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import load_many
from etymon.pki.csr import hold
from etymon.pki.pin import spki_pin
from etymon.server.deployment import Deployment
from etymon.server.settings import Settings
from etymon.storage.database import Transaction
from etymon.web.listeners import Identity, IssuedIdentity, ServerIdentity

RSA_BITS_AFTER_2030: Final = 3072

RENEWED_AFTER: Final = timedelta(days=240)
"""A certificate of ours lives a year and is replaced by a running site after this."""


def identity(deployment: Deployment) -> Identity:
    """Return the certificate the listeners show; raise Malformed where the operator's files cannot be used."""
    read = deployment.settings
    if read.tls_key_file:
        return _of_files(read.tls_chain_file, read.tls_key_file)
    return _issued(deployment)


def files_version(read: Settings) -> tuple[int, ...]:
    """Return what changes when the operator's files do: empty without any, or while one is being replaced."""
    files = [Path(name) for name in (read.tls_chain_file, read.tls_key_file) if read.tls_key_file]
    try:
        return tuple(file.stat().st_mtime_ns for file in files)
    except OSError:
        return ()


def pin(deployment: Deployment) -> str:
    """Return what phones pin: the key of the CA that issued the server's certificate, base64url SHA-256."""
    read = deployment.settings
    if not read.tls_chain_file:
        with deployment.database.snapshot() as tx:
            return spki_pin(authorities.load(tx, "tls").certificate)
    chain = load_many(Path(read.tls_chain_file).read_bytes())
    if len(chain) < 2:
        raise Malformed(
            "tls_chain_incomplete", "tls_chain_file holds the server's certificate and its CAs, leaf first."
        )
    return spki_pin(chain[1])


def anchors(deployment: Deployment) -> tuple[x509.Certificate, ...]:
    """Return what people, phones and this deployment itself trust as its server."""
    with deployment.database.snapshot() as tx:
        return anchors_of(tx, deployment.settings.tls_chain_file)


def proxies_trust(tx: Transaction, read: Settings) -> tuple[x509.Certificate, ...]:
    """Return what a proxy trusts as the server behind it: it need not be what the proxy itself shows."""
    return anchors_of(tx, read.tls_chain_file if read.tls_key_file else "")


def anchors_of(tx: Transaction, chain_file: str) -> tuple[x509.Certificate, ...]:
    """Return the CAs of a chain, or the deployment's own TLS root where no file is named."""
    if chain_file:
        return tuple(load_many(Path(chain_file).read_bytes())[1:])
    return (authorities.load(tx, "tls-root").certificate,)


def _of_files(chain_file: str, key_file: str) -> ServerIdentity:
    for setting, file in (("tls_chain_file", chain_file), ("tls_key_file", key_file)):
        try:
            Path(file).read_bytes()
        except OSError as exc:
            raise Malformed("tls_file_unreadable", f"{setting}: {file} cannot be read: {exc.strerror}.") from exc
    found = ServerIdentity(chain_file, key_file)
    try:
        found.present(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    except OSError as exc:
        raise Malformed(
            "tls_files_unusable",
            f"tls_chain_file, tls_key_file: {chain_file} and {key_file} must be a PEM chain, the server's certificate "
            "first, and the key of that certificate without a password.",
        ) from exc
    _require_strong(load_many(Path(chain_file).read_bytes())[0])
    return found


def _require_strong(certificate: x509.Certificate) -> None:
    """Raise `tls_key_weak` for a server's key below RSA of 2048 bits, of 3072 after 2030, or P-256 (CP 6.1.5)."""
    try:
        key = key_policy.check_issuer(certificate.public_key())
        lasts = certificate.not_valid_after_utc > key_policy.RSA_2048_ENDS
        if isinstance(key, rsa.RSAPublicKey) and lasts and key.key_size < RSA_BITS_AFTER_2030:
            raise key_policy.short_key_after_2030()
    except (Malformed, UnsupportedAlgorithm) as exc:
        raise Malformed(
            "tls_key_weak",
            "tls_chain_file: the server's key must be RSA of 2048 bits at least, of 3072 where its certificate lives "
            "beyond 2030, or on P-256, P-384 or P-521.",
        ) from exc


def _issued(deployment: Deployment) -> IssuedIdentity:
    read, entropy = deployment.settings, deployment.entropy
    key = keys.generate(KeyType.P256)
    request = IssuanceRequest(
        ca="tls",
        profile="tls-server",
        request_key=f"tls-server:{random_token(entropy, bits=96)}",
        key=hold(key.public_key()),
        subject=SubjectNames(common_name=read.host[:64], organization=read.organization),
        alternative=_names(read.host, *(urlsplit(url).hostname or "" for url in (read.site_url, read.certauth_url))),
        authorized_by="server",
    )
    made = issuance.issue(deployment.ca, request)
    chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in (made.certificate, *made.chain))
    return IssuedIdentity(chain, Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())))


def _names(*hosts: str) -> AlternativeNames:
    """Return each host once; a listener at an address is `localhost` as well."""
    dns, ip = [], []
    for host in dict.fromkeys(hosts):
        try:
            ip.append(ipaddress.ip_address(host))
        except ValueError:
            dns.append(host)
    return AlternativeNames(dns=tuple(dns) or ("localhost",), ip=tuple(ip))
