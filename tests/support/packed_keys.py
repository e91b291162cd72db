# SPDX-License-Identifier: Apache-2.0
"""OpenSSL's word on a PKCS #12 file: how it is encrypted, and which key and certificate are in it."""

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from etymon.pki.certificate import spki
from support import programs


def judge(package: bytes, password: str, folder: Path) -> tuple[bytes, x509.Certificate]:
    """Return the public half of the key, and the certificate, that OpenSSL reads; both are under PBES2 with AES-256."""
    (folder / "key.p12").write_bytes(package)
    opened = _openssl(folder, password, "-info", "-nodes")
    assert opened.returncode == 0, opened.stderr
    told = opened.stderr.replace("\r", "")
    assert told.count("PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256") == 2, told
    assert "MAC: sha256" in told
    key = load_pem_private_key(_part(opened.stdout, "PRIVATE KEY"), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return spki(key.public_key()), x509.load_pem_x509_certificate(_part(opened.stdout, "CERTIFICATE"))


def refuses(package: bytes, password: str, folder: Path) -> bool:
    """Say whether OpenSSL does not open it with this password."""
    (folder / "key.p12").write_bytes(package)
    return "invalid password" in _openssl(folder, password, "-noout").stderr


def _openssl(folder: Path, password: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command: list[str] = [str(programs.required("openssl")), "pkcs12", "-in", "key.p12", "-passin", "stdin", *options]
    return subprocess.run(command, cwd=folder, input=password, capture_output=True, text=True, check=False)


def _part(text: str, name: str) -> bytes:
    begin, end = f"-----BEGIN {name}-----", f"-----END {name}-----"
    return (begin + text.partition(begin)[2].partition(end)[0] + end).encode()
