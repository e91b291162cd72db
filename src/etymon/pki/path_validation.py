# SPDX-License-Identifier: Apache-2.0
"""Certification path validation (RFC 5280 §6.1) against a trust entry, with policies and revocation, fail closed.

Paths are built from the entry's own anchors and intermediates; nothing is fetched for them. `path_walk` walks the
path; kind, usage, keys and status are judged here.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, TypeVar

from cryptography import x509

from etymon.kernel.errors import Malformed
from etymon.pki import leaf_checks, path_walk
from etymon.pki.errors import NotTrusted
from etymon.pki.path_building import Effort
from etymon.pki.path_material import Material, Node
from etymon.pki.path_walk import PathParameters, WalkedPath
from etymon.pki.status import StatusEvidence, StatusSource
from etymon.pki.trust_entry import TrustEntry

CLIENT_AUTHENTICATION: Final = "1.3.6.1.5.5.7.3.2"

MOST_READ_ENTRIES: Final = 32

Evidence = TypeVar("Evidence")


@dataclass(frozen=True, slots=True)
class ValidatedPath:
    """A path that was validated: who it names, under which policies, and on what evidence.

    `certificates` run from the leaf to the anchor; `evidence` has one entry for each but the anchor; `policies`
    are the accepted ones the path holds for, in the entry's domain; `identifier` is of the entry's kind.
    """

    certificates: tuple[x509.Certificate, ...]
    policies: frozenset[str]
    entry_name: str
    identifier: str
    evidence: tuple[StatusEvidence, ...]
    validated_at: datetime

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that was presented."""
        return self.certificates[0]


def validate(
    leaf: x509.Certificate,
    entry: TrustEntry,
    *,
    at: datetime,
    status: StatusSource,
    required_eku: str = CLIENT_AUTHENTICATION,
    other_entries: Collection[TrustEntry] = (),
) -> ValidatedPath:
    """Validate a presented certificate at a moment, or raise `NotTrusted` with a code and what to do next.

    A certificate that one of `other_entries` accepts and this one does not is refused as `wrong_certificate_kind`.
    A path whose status says no gives way to the next one, where there is another.
    """

    def judge(path: tuple[Node, ...]) -> tuple[str, tuple[StatusEvidence, ...]]:
        leaf_checks.check_usage(leaf, required_eku)
        leaf_checks.check_key(leaf)
        identifier = leaf_checks.identify(leaf, entry)
        certificates = [node.certificate for node in path]
        return identifier, tuple(status.status(found, issuer, at=at) for found, issuer in pairwise(certificates))

    try:
        walked = _walk(leaf, entry, at, judge)
    except NotTrusted as refused:
        if refused.code in {"untrusted_root", "wrong_policy"} and _is_accepted_elsewhere(leaf, other_entries, at):
            raise NotTrusted(
                "wrong_certificate_kind",
                "This certificate is of another kind than the one asked for here. Choose the right one.",
                entry=entry.name,
            ) from refused
        raise NotTrusted(refused.code, refused.detail, **{**refused.facts, "entry": entry.name}) from refused
    except Malformed as exc:
        raise NotTrusted("path_invalid", exc.detail, entry=entry.name) from exc
    identifier, evidence = walked.evidence
    return ValidatedPath(walked.certificates, walked.policies, entry.name, identifier, evidence, at)


def _walk(
    leaf: x509.Certificate, entry: TrustEntry, at: datetime, judge: Callable[[tuple[Node, ...]], Evidence]
) -> WalkedPath[Evidence]:
    """Return the first path that is valid and that `judge` lets pass, with the entry's own policies alone."""
    walked = path_walk.find(Node(leaf), _material(entry), _parameters(entry), judge, at=at, effort=Effort())
    if not entry.policies:
        return walked
    accepted = walked.policies & entry.policies
    if not accepted:
        raise path_walk.wrong_policy()
    return WalkedPath(walked.nodes, accepted, walked.evidence)


def _parameters(entry: TrustEntry) -> PathParameters:
    asked = bool(entry.policies)
    return PathParameters(entry.policies, explicit_policy=asked, inhibit_any_policy=asked)


def _is_accepted_elsewhere(leaf: x509.Certificate, others: Collection[TrustEntry], at: datetime) -> bool:
    for other in others:
        try:
            _walk(leaf, other, at, lambda _: None)
        except NotTrusted as refused:
            if refused.code in {"expired", "not_yet_valid"}:
                return True
        else:
            return True
    return False


class _ReadEntries(threading.local):
    """Entries this thread read before; no two threads may share what the library read."""

    def __init__(self) -> None:
        self.materials: dict[TrustEntry, Material] = {}


_read_entries: Final = _ReadEntries()


def _material(entry: TrustEntry) -> Material:
    materials = _read_entries.materials
    if entry not in materials:
        if len(materials) >= MOST_READ_ENTRIES:
            materials.clear()
        materials[entry] = Material.of(entry.anchors, entry.intermediates)
    return materials[entry]
