# SPDX-License-Identifier: Apache-2.0
"""Reading certificates that a card or a server presents: whole, or not at all."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from etymon.kernel.errors import DecodeError


def read(der: bytes) -> x509.Certificate:
    """Return the certificate; raises `DecodeError` when it, its names, its extensions or its key cannot be read.

    The library parses those parts late, so they are looked at here once.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key())
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, UnsupportedAlgorithm) as exc:
        raise DecodeError("certificate", "The certificate cannot be read.") from exc
    return certificate
