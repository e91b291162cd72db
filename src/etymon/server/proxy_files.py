# SPDX-License-Identifier: Apache-2.0
"""What a proxy in front of the listeners has to know, as PEM files; no key of the data directory is opened for it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import authorities
from etymon.directory import trust
from etymon.issuer.scep.model import HIERARCHY
from etymon.kernel.files import exchange
from etymon.server import config_file, tls_identity
from etymon.server.deployment import database_url
from etymon.storage.database import Database, Transaction

CLIENT_CAS: Final = "client-cas.pem"
"""Whose certificates certauth and the device listener ask for."""

UPSTREAM_CAS: Final = "upstream-cas.pem"
"""Who vouches for the certificate of the listeners behind the proxy."""


def write(data: Path, directory: Path) -> tuple[Path, ...]:
    """Write both files for the organisation in `data` into `directory`; return those that were other before.

    A file is exchanged whole, and left alone where it is right: whoever watches it sees changes only.
    """
    read = config_file.load(data)
    database = Database(database_url(data, read))
    try:
        with database.snapshot() as tx:
            wanted = {
                directory / CLIENT_CAS: client_cas(tx),
                directory / UPSTREAM_CAS: _pem(tls_identity.proxies_trust(tx, read)),
            }
    finally:
        database.close()
    return tuple(file for file, text in wanted.items() if exchange(file, text.encode("ascii")))


def client_cas(tx: Transaction) -> str:
    """Return the CAs of trust entries and connectors as PEM: what TLS lets through, for the application to judge.

    Doors let every kind of certificate through that the deployment knows, so that one of the wrong kind gets an
    answer that says so. What connectors gave out is trusted nowhere, and renewed at the device listener.
    """
    trusted = (one for entry in trust.entries(tx) for one in (*entry.anchors, *entry.intermediates))
    ours = authorities.issuing(tx, HIERARCHY)
    above = (authorities.load(tx, one.parent) for one in ours if one.parent)
    return _pem((*trusted, *(authority.certificate for authority in (*ours, *above))))


def _pem(certificates: Iterable[x509.Certificate]) -> str:
    """Return each certificate once."""
    return "".join(
        dict.fromkeys(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates)
    )
