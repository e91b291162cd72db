# SPDX-License-Identifier: Apache-2.0
"""Which site is meant, and which TLS servers are believed to be it."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import authorities
from etymon.kernel.errors import Malformed
from etymon.pki.certificate import load_many
from etymon.server import config_file
from etymon.server.deployment import open_database

TLS_ROOT: Final = "tls-root"


@dataclass(frozen=True, slots=True)
class Site:
    """A site's address, and the anchors of its TLS servers; without anchors, those of the machine."""

    url: str
    anchors: tuple[x509.Certificate, ...]

    def context(self) -> ssl.SSLContext:
        """Return TLS settings that believe this site."""
        if not self.anchors:
            return ssl.create_default_context()
        return ssl.create_default_context(
            cadata="".join(anchor.public_bytes(Encoding.PEM).decode("ascii") for anchor in self.anchors)
        )


def of_data_directory(data: Path) -> Site:
    """Return the site of a data directory on this machine; its keys are not opened."""
    read = config_file.load(data)
    if read.tls_chain_file:
        return Site(read.site_url, tuple(load_many(Path(read.tls_chain_file).read_bytes())[1:]))
    database = open_database(data, read)
    try:
        with database.snapshot() as tx:
            return Site(read.site_url, (authorities.load(tx, TLS_ROOT).certificate,))
    finally:
        database.close()


def named(url: str, anchors_file: Path | None) -> Site:
    """Return a site by its address; raises Malformed unless that is an https origin."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise Malformed("site_address", f"{url} is not a site. Write it like https://HOST:8443.")
    return Site(url.rstrip("/"), anchors(anchors_file) if anchors_file else ())


def anchors(file: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a file; raises Malformed."""
    try:
        return tuple(load_many(file.read_bytes()))
    except OSError as exc:
        raise Malformed("anchors_file", f"{file} cannot be read: {exc.strerror or exc}.") from exc
