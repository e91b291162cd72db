# SPDX-License-Identifier: Apache-2.0
"""What an auditor asks of a certificate: is its path valid, at that moment, by these files and no others."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from etymon.pki import path_walk
from etymon.pki.crl_validation import CRLJudge
from etymon.pki.errors import NotTrusted
from etymon.pki.path_building import Effort
from etymon.pki.path_material import Material, Node
from etymon.pki.path_walk import PathParameters
from etymon.pki.revocation_lists import RevocationLists


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: `policies` are the user-constrained policy set of a valid path, `refusal` why there is none.

    Where any policy was accepted, `policies` are what the path's authorities allow: anyPolicy among them means all.
    """

    policies: frozenset[str]
    refusal: NotTrusted | None = None

    @property
    def valid(self) -> bool:
        """Whether the certificate may be relied on."""
        return self.refusal is None


def verify(
    leaf: x509.Certificate,
    material: Material,
    parameters: PathParameters,
    *,
    at: datetime,
    revocation: RevocationLists | None,
    effort: Callable[[], Effort] = Effort,
) -> Verdict:
    """Judge one certificate; `revocation` None leaves revocation out of it, and no list means not valid."""
    spent = effort()

    def judge(path: tuple[Node, ...]) -> None:
        if revocation is not None:
            CRLJudge(revocation, material, at=at, effort=spent).require_not_revoked(path)
        spent.require_time()

    try:
        walked = path_walk.find(Node(leaf), material, parameters, judge, at=at, effort=spent)
    except NotTrusted as refused:
        return Verdict(frozenset(), refused)
    return Verdict(walked.policies)
