# SPDX-License-Identifier: Apache-2.0
"""Outside programs that tests run as judges, and what to install where one is missing."""

import os
import shutil
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "certtool": "gnutls-bin",
    "certutil": "libnss3-tools",
    "chromium": "chromium",
    "curl": "curl",
    "eapol_test": "eapoltest",
    "freeradius": "freeradius",
    "gnutls-cli": "gnutls-bin",
    "haproxy": "haproxy",
    "hostapd": "hostapd",
    "initdb": "postgresql",
    "ip": "iproute2",
    "modutil": "libnss3-tools",
    "nginx": "nginx",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "ocsptool": "gnutls-bin",
    "opensc-tool": "opensc",
    "pcscd": "pcscd",
    "pg_dump": "postgresql",
    "pg_restore": "postgresql",
    "pkcs11-tool": "opensc",
    "pkcs11-register": "opensc",
    "pkcs15-tool": "opensc",
    "piv-tool": "opensc",
    "postgres": "postgresql",
    "pki": "strongswan-pki",
    "prlimit": "util-linux",
    "scep-submit": "certmonger",
    "setpriv": "util-linux",
    "softhsm2-util": "softhsm2",
    "unshare": "util-linux",
    "vpcd-config": "vsmartcard-vpcd",
    "wpa_supplicant": "wpasupplicant",
    "yubico-piv-tool": "yubico-piv-tool",
}
"""Program to Debian package, where somebody has to be told."""

DIRECTORIES: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/certmonger")
"""Searched after PATH: service programs live here, and an ordinary user's PATH leaves them out."""


def find(program: str) -> Path | None:
    """Return where `program` is, or None; of several PostgreSQL versions the newest."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    places = (os.environ.get("PATH", os.defpath), *map(str, versions), *DIRECTORIES)
    found = shutil.which(program, path=os.pathsep.join(places))
    return Path(found) if found else None


def package_of(program: str) -> str:
    """Return the name of the package that brings `program`."""
    return PACKAGES.get(program, program)


def required(program: str) -> Path:
    """Return where `program` is; the test that asks has said `@pytest.mark.needs(program)`."""
    path = find(program)
    if path is None:
        raise FileNotFoundError(program)
    return path
