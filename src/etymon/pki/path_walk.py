# SPDX-License-Identifier: Apache-2.0
"""The certification path algorithm (RFC 5280 §6.1): one implementation for cards at the door and for auditors.

The library walks each candidate path (signatures, validity, names, constraints, policies); what it leaves out is
checked before, and revocation is judged after, by whoever asks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from asn1crypto import algos, keys
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    NotYetValidError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    NO_REVOCATION,
    AlgorithmUsageConstraint,
    AlgorithmUsagePolicy,
    CertRevTrustPolicy,
    PKIXValidationParams,
)
from pyhanko_certvalidator.policy_graph import PolicyGraphSizeExceeded
from pyhanko_certvalidator.registry import CertificateRegistry, SimpleTrustManager
from pyhanko_certvalidator.validate import async_validate_path

from etymon.kernel.errors import Malformed
from etymon.pki import key_policy, path_checks
from etymon.pki.errors import NotTrusted
from etymon.pki.names import LIBRARY_FAILURES
from etymon.pki.path_building import Effort, PathSearch
from etymon.pki.path_material import Material, Node

ANY_POLICY: Final = "2.5.29.32.0"

MOST_POLICY_NODES: Final = 1000
"""Nodes of the policy graph (RFC 9618); a real path has a few dozen."""

_SIGNATURES: Final = frozenset({"rsassa_pkcs1v15", "rsassa_pss", "ecdsa"})
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
_ANY_POLICY_IN_LIBRARY: Final = "any_policy"

_TELLING: Final = ("revoked_by_crl", "revoked_by_ocsp", "revoked_by_database", "status_unavailable", "wrong_policy")
"""Refusals of a path that is otherwise good: when no path is valid, the first of these says most."""

ENDING: Final = frozenset({"path_too_complex", "took_too_long"})

Evidence = TypeVar("Evidence")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PathParameters:
    """The inputs of RFC 5280 §6.1.1 (c) and (e) to (g); an empty set of policies stands for anyPolicy."""

    policies: frozenset[str] = frozenset()
    explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False


@dataclass(frozen=True, slots=True)
class WalkedPath(Generic[Evidence]):
    """A valid path from leaf to anchor, the policies it holds for, and what the judge of its revocation found.

    `policies` is the user-constrained policy set, in the anchor's domain.
    """

    nodes: tuple[Node, ...]
    policies: frozenset[str]
    evidence: Evidence

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The path's certificates, leaf first."""
        return tuple(node.certificate for node in self.nodes)


def find(
    leaf: Node,
    material: Material,
    parameters: PathParameters,
    judge: Callable[[tuple[Node, ...]], Evidence],
    *,
    at: datetime,
    effort: Effort,
) -> WalkedPath[Evidence]:
    """Return the first path that is valid and that `judge` lets pass; else raise the refusal that says most."""
    search = PathSearch(material, leaf, effort)
    refusals: list[NotTrusted] = []
    try:
        for path in search.paths():
            effort.walk()
            try:
                policies = _walk(path, parameters, at)
                return WalkedPath(path, policies, judge(path))
            except NotTrusted as refused:
                if refused.code in ENDING:
                    raise
                refusals.append(refused)
    except LIBRARY_FAILURES as exc:
        raise NotTrusted("path_invalid", "A certificate of the path cannot be read.") from exc
    raise min(refusals, key=_rank) if refusals else search.refusal()


def wrong_policy() -> NotTrusted:
    """Return the refusal of a path that holds for no accepted policy."""
    return NotTrusted(
        "wrong_policy",
        "This certificate was issued under another policy than the one asked for here. "
        "Choose the authentication certificate of your card.",
    )


def _rank(refusal: NotTrusted) -> int:
    return _TELLING.index(refusal.code) if refusal.code in _TELLING else len(_TELLING)


def _walk(path: tuple[Node, ...], parameters: PathParameters, at: datetime) -> frozenset[str]:
    path_checks.check(path)
    anchor, *below = reversed(path)
    walked = ValidationPath(anchor.anchor, [node.parsed for node in below[:-1]], below[-1].parsed)
    try:
        _drive(async_validate_path(_context(anchor, at), walked, _library_parameters(parameters)))
    except ValidationError as exc:
        raise _refusal(exc) from exc
    except (*LIBRARY_FAILURES, RecursionError) as exc:
        raise NotTrusted("path_invalid", "A certificate of the path cannot be read.") from exc
    found = {str(policy.user_domain_policy_id) for policy in walked.qualified_policies() or ()}
    return frozenset(ANY_POLICY if name == _ANY_POLICY_IN_LIBRARY else name for name in found)


def _library_parameters(parameters: PathParameters) -> PKIXValidationParams:
    accepts_any = not parameters.policies or ANY_POLICY in parameters.policies
    return PKIXValidationParams(
        user_initial_policy_set=frozenset({_ANY_POLICY_IN_LIBRARY}) if accepts_any else parameters.policies,
        initial_explicit_policy=parameters.explicit_policy,
        initial_policy_mapping_inhibit=parameters.inhibit_policy_mapping,
        initial_any_policy_inhibit=parameters.inhibit_any_policy,
        max_policy_graph_nodes=MOST_POLICY_NODES,
    )


def _context(anchor: Node, at: datetime) -> ValidationContext:
    return ValidationContext(
        trust_manager=SimpleTrustManager.build(trust_roots=[anchor.anchor]),
        certificate_registry=CertificateRegistry(),
        moment=at,
        allow_fetching=False,
        revinfo_policy=CertRevTrustPolicy(NO_REVOCATION),
        algorithm_usage_policy=_ALLOWED_ALGORITHMS,
        time_tolerance=timedelta(0),
    )


def _drive(awaitable: Awaitable[Result]) -> Result:
    """Run a coroutine that waits for nothing: without fetching, the library's never do."""
    waiting = awaitable.__await__()
    try:
        next(waiting)
    except StopIteration as finished:
        result: Result = finished.value
        return result
    message = "path validation waited for something, though nothing is fetched"
    raise RuntimeError(message)


def _refusal(exc: ValidationError) -> NotTrusted:
    """Say why a path was refused, in our words."""
    if isinstance(exc, ExpiredError):
        return NotTrusted("expired", "This certificate, or its issuer's, has expired. Renew the credential.")
    if isinstance(exc, NotYetValidError):
        return NotTrusted("not_yet_valid", "This certificate is not valid yet. Check the clock, or try again later.")
    if isinstance(exc, DisallowedAlgorithmError):
        return NotTrusted("weak_key", "A key or signature of this certificate's path is too weak. Ask for a new one.")
    if isinstance(exc.__cause__, PolicyGraphSizeExceeded):
        return NotTrusted(
            "policies_too_complex",
            f"The path's policies and mappings make more than {MOST_POLICY_NODES} nodes. Tell who issued them.",
        )
    if "valid set of policies" in str(exc):
        return wrong_policy()
    return NotTrusted(
        "path_invalid",
        "This certificate does not follow from its issuers. Choose another one, or tell the help desk.",
        reason=str(exc)[:300],
    )


class _AllowedAlgorithms(AlgorithmUsagePolicy):
    """What may sign a certificate of a path: an allow-list (Common Policy profiles v2.2, P-2; V-8)."""

    def digest_algorithm_allowed(
        self, algo: algos.DigestAlgorithm, moment: datetime | None
    ) -> AlgorithmUsageConstraint:
        """Allow SHA-2 from 256 bits."""
        del moment
        return AlgorithmUsageConstraint(algo["algorithm"].native in _HASHES)

    def signature_algorithm_allowed(
        self, algo: algos.SignedDigestAlgorithm, moment: datetime | None, public_key: keys.PublicKeyInfo | None
    ) -> AlgorithmUsageConstraint:
        """Allow RSA and ECDSA with SHA-2 and a key that is strong enough."""
        del moment
        try:
            allowed = algo.signature_algo in _SIGNATURES and algo.hash_algo in _HASHES
            if allowed and public_key is not None:
                key_policy.check_issuer(load_der_public_key(public_key.dump()))
        except (ValueError, UnsupportedAlgorithm, Malformed):
            allowed = False
        return AlgorithmUsageConstraint(allowed)


_ALLOWED_ALGORITHMS: Final = _AllowedAlgorithms()
