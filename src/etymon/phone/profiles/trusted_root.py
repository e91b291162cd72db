# SPDX-License-Identifier: Apache-2.0
"""Policy `trustedRoot`: an authority whose servers the phone believes, for the phone itself and as a file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed
from etymon.phone.document import Document
from etymon.phone.profiles.outcome import SUCCEEDED, Outcome
from etymon.phone.state import Policy
from etymon.pki import certificate as certificates

TYPE: Final = "trustedRoot"
FILE: Final = "trusted-root.pem"


def certificate(policy: Policy) -> x509.Certificate:
    """Return the policy's certificate; `Malformed` where it is none, or not an authority's."""
    root = certificates.load(Document(policy.settings).octets("certificate"))
    constraints = certificates.extension(root, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        raise Malformed("not_an_authority", "The certificate is not an authority's.")
    return root


def apply(policy: Policy, directory: Path) -> Outcome:
    """Write the root's file; from then on servers below it are believed."""
    (directory / FILE).write_bytes(certificate(policy).public_bytes(Encoding.PEM))
    return SUCCEEDED


def installed(policies: Iterable[Policy], applied: Path) -> dict[UUID, x509.Certificate]:
    """Return the roots whose files are in place, by policy."""
    return {
        policy.policy: certificate(policy)
        for policy in policies
        if policy.type == TYPE and (applied / str(policy.policy) / FILE).exists()
    }
