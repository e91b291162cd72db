# SPDX-License-Identifier: Apache-2.0
"""How a relying party learns that a certificate was revoked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ByCRL:
    """From a file it was given: PEM CRLs of every CA between a client's certificate and the anchor."""

    crls: bytes


@dataclass(frozen=True, slots=True)
class ByOCSP:
    """By asking the responder the certificate names (RFC 5280 §4.2.2.1), or `responder` instead.

    nginx resolves host names by DNS only: where there is none, the URL names an address.
    """

    responder: str | None = None


Revocation = ByCRL | ByOCSP
