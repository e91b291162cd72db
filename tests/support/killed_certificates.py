# SPDX-License-Identifier: Apache-2.0
"""What OpenSSL says of the certificates that were made while the server was killed."""

import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key

from etymon.wire import der
from support.programs import required
from support.tls_files import PrivateKey, key_pem


def key_opened_by_openssl(enveloped: bytes, transport_key: PrivateKey, directory: Path) -> PublicKeyTypes:
    """Return the public half of a server-made key after OpenSSL has deciphered its envelope (est.md)."""
    private = directory / f"{uuid.uuid4().hex}.key"
    private.write_bytes(key_pem(transport_key))
    command = [str(required("openssl")), "cms", "-binary", "-inform", "DER"]
    try:
        deciphering = [*command, "-decrypt", "-inkey", str(private)]
        signed = subprocess.run(deciphering, input=enveloped, capture_output=True, check=True).stdout
    finally:
        private.unlink()
    reading = [*command, "-verify", "-noverify"]  # whose signature it is, the tests of the key package judge
    package = subprocess.run(reading, input=signed, capture_output=True, check=True).stdout
    (key,) = der.elements(der.only(package, der.SEQUENCE).content)
    return load_der_private_key(key.encoded, password=None).public_key()


def refused_by_openssl(
    chain: Sequence[x509.Certificate],
    revocations: bytes,
    made: Sequence[x509.Certificate],
    directory: Path,
    *,
    at: float,
) -> set[int]:
    """Return the serial numbers of which OpenSSL says, at a time, that they are revoked; the others it finds good."""
    issuing, root = (directory / name for name in ("issuing.pem", "root.pem"))
    for file, certificate in zip((issuing, root), chain, strict=True):
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
    listed = directory / "list.pem"
    listed.write_bytes(x509.load_der_x509_crl(revocations).public_bytes(Encoding.PEM))
    leaves = {str(directory / f"{each.serial_number:x}.pem"): each for each in made}
    for name, certificate in leaves.items():
        Path(name).write_bytes(certificate.public_bytes(Encoding.PEM))
    options = [
        "-attime",
        str(int(at)),
        "-crl_check",
        "-CAfile",
        str(root),
        "-untrusted",
        str(issuing),
        "-CRLfile",
        str(listed),
    ]
    done = subprocess.run(
        [str(required("openssl")), "verify", *options, *leaves], capture_output=True, text=True, check=False
    )
    good = {name for name in leaves if f"{name}: OK" in done.stdout.splitlines()}
    revoked = {name for name in leaves if f"error {name}: verification failed" in done.stderr.splitlines()}
    assert good | revoked == set(leaves), done.stderr
    assert done.stderr.count("error 23 at 0 depth lookup: certificate revoked") == len(revoked)
    return {leaves[name].serial_number for name in revoked}
