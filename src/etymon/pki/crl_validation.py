# SPDX-License-Identifier: Apache-2.0
"""Revocation by CRLs that were given as files (RFC 5280 §6.3): scopes, reasons, deltas, and other signers' paths.

The validation library judges CRLs too, but takes a list for genuine without looking at its signature while the path
of that list's own signer is judged, and takes any hash algorithm. It is not asked.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from cryptography import x509

from etymon.pki import certificate as readers
from etymon.pki import crl_scope, path_walk
from etymon.pki.errors import NotTrusted
from etymon.pki.path_building import Effort
from etymon.pki.path_material import Material, Node
from etymon.pki.path_walk import PathParameters
from etymon.pki.revocation_data import CLOCK_TOLERANCE, may_sign_lists
from etymon.pki.revocation_lists import RevocationList, RevocationLists


class CRLJudge:
    """Judges paths by given lists at one moment; signers of lists are found among the given certificates."""

    def __init__(self, lists: RevocationLists, material: Material, *, at: datetime, effort: Effort) -> None:
        self._lists, self._material, self._at, self._effort = lists, material, at, effort
        self._signers: dict[tuple[bytes, bytes, bytes, frozenset[bytes]], Node | None] = {}

    def require_not_revoked(self, path: tuple[Node, ...]) -> None:
        """Raise `NotTrusted` unless usable lists say so of every certificate of the path but the anchor."""
        self._judge(path, frozenset())

    def _judge(self, path: tuple[Node, ...], asked: frozenset[bytes]) -> None:
        for node, issuer in reversed(list(pairwise(path))):
            self._judge_one(node, issuer, path[-1], asked)

    def _judge_one(self, node: Node, issuer: Node, anchor: Node, asked: frozenset[bytes]) -> None:
        """Ask that the lists together cover every reason; one list is enough to say no."""
        covered = set[x509.ReasonFlags]()
        superseded = set[tuple[bytes, bytes]]()
        for found, reasons in self._candidates(node):
            signer = self._signer(found, issuer, anchor, asked | {node.der})
            if signer is None or (signer.key, found.scope_octets) in superseded:
                continue
            self._require_not_listed(node, found, signer)
            covered |= reasons
            superseded.add((signer.key, found.scope_octets))
        if covered != crl_scope.ALL_REASONS:
            raise _status_unavailable(node.certificate)

    def _candidates(self, node: Node) -> Iterator[tuple[RevocationList, frozenset[x509.ReasonFlags]]]:
        """Yield the current lists that speak for a certificate, each once, with all reasons they do so for."""
        points = crl_scope.points(node.extensions, node.certificate.issuer)
        names = {node.issuer}.union(*(point.crl_issuers for point in points))
        for name in names:
            for found in self._lists.complete.get(name, ()):
                self._effort.require_time()
                if not found.is_current(self._at, CLOCK_TOLERANCE) or not found.is_usable:  # looks at every entry
                    continue
                reasons = frozenset[x509.ReasonFlags]().union(
                    *(
                        crl_scope.covered(
                            point,
                            found.scope,
                            crl_issuer=name,
                            certificate_issuer=node.issuer,
                            is_authority=bool(node.parsed.ca),
                        )
                        for point in points
                    )
                )
                if reasons:
                    yield found, reasons

    def _require_not_listed(self, node: Node, found: RevocationList, signer: Node) -> None:
        """Look into the newest delta that fits, then into the complete list (§5.2.4)."""
        reason = None
        delta = self._delta(found, signer)
        if delta is not None:
            reason = delta.reason(node.certificate.serial_number, node.issuer)
            self._effort.require_time()
        if reason is None:
            reason = found.reason(node.certificate.serial_number, node.issuer)
            self._effort.require_time()
        if reason is not None and reason is not x509.ReasonFlags.remove_from_crl:
            raise NotTrusted(
                "revoked_by_crl",
                "This certificate was revoked. Ask for a new one where you got it.",
                reason=reason.value,
            )

    def _delta(self, complete: RevocationList, signer: Node) -> RevocationList | None:
        for delta in self._lists.delta.get(complete.issuer, ()):
            if (
                delta.number is not None
                and delta.base_number is not None
                and complete.number is not None
                and delta.base_number <= complete.number < delta.number
                and delta.scope_octets == complete.scope_octets
                and delta.is_current(self._at, CLOCK_TOLERANCE)
                and delta.is_usable
                and self._is_signed_by(delta, signer)
            ):
                return delta
        return None

    def _signer(self, found: RevocationList, issuer: Node, anchor: Node, asked: frozenset[bytes]) -> Node | None:
        """Return who signed a list: the certificate's issuer itself, or another of the list's issuer's name.

        The other one needs a valid path to the same anchor (§6.3.3 (f)), its own status included. `asked` are the
        certificates whose status is being found out: a list may speak for its own signer.
        """
        key = (found.der, issuer.der, anchor.der, asked)
        if key not in self._signers:
            self._signers[key] = self._find_signer(found, issuer, anchor, asked)
        return self._signers[key]

    def _find_signer(self, found: RevocationList, issuer: Node, anchor: Node, asked: frozenset[bytes]) -> Node | None:
        if found.issuer == issuer.subject and self._signed(found, issuer):
            return issuer
        for candidate in self._material.named(found.issuer):
            self._effort.look()
            if self._signed(found, candidate) and self._is_trusted(candidate, anchor, asked):
                return candidate
        return None

    def _is_trusted(self, signer: Node, anchor: Node, asked: frozenset[bytes]) -> bool:
        if signer.der in asked or (signer.subject, signer.key) == (anchor.subject, anchor.key):
            return True

        def judge(path: tuple[Node, ...]) -> None:
            if path[-1].der != anchor.der:
                raise NotTrusted("untrusted_root", "A CRL comes from another anchor than the certificate.")
            self._judge(path, asked)

        try:
            path_walk.find(signer, self._material, PathParameters(), judge, at=self._at, effort=self._effort)
        except NotTrusted as refused:
            if refused.code in path_walk.ENDING:
                raise
            return False
        return True

    def _signed(self, found: RevocationList, signer: Node) -> bool:
        """Whether a certificate's key signed a list and may (§6.3.3 (f) and (g))."""
        return may_sign_lists(signer.certificate) and self._is_signed_by(found, signer)

    def _is_signed_by(self, found: RevocationList, signer: Node) -> bool:
        """Whether a certificate's key signed a list, which is hashed as a whole."""
        genuine = found.is_signed_by(signer.certificate, signer.key)
        self._effort.require_time()
        return genuine


def _status_unavailable(certificate: x509.Certificate) -> NotTrusted:
    """Return the refusal that names the certificate, and the list that is wanted."""
    address = next(_addresses(certificate), None)
    wanted = certificate.issuer.rfc4514_string() + (f" ({address})" if address else "")
    return NotTrusted(
        "status_unavailable",
        f"No usable CRL says whether {certificate.subject.rfc4514_string()} was revoked. "
        f"Give the current CRL of its issuer, {wanted}.",
    )


def _addresses(certificate: x509.Certificate) -> Iterator[str]:
    """Yield where a certificate says that its issuer's list is."""
    found = readers.extension(certificate, x509.CRLDistributionPoints)
    for point in found.value if found else ():
        yield from (name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier))
