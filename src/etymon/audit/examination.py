# SPDX-License-Identifier: Apache-2.0
"""Going through a trail in order and writing down everything that is not as it was sealed and signed."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature

from etymon.audit import chain
from etymon.audit.model import ChainHead, Checkpoint, SealedEvent
from etymon.pki.algorithms import PublicKey, default_signature_algorithm, key_type
from etymon.pki.signer import verify

FINDINGS_LIMIT: Final = 1000
"""A report stops naming findings after this many."""


class Fault(enum.Enum):
    """What is wrong at a place of the trail."""

    ALTERED = "altered"
    """The event, its place or its digest is not what was sealed."""
    MISSING = "missing"
    """The event of a place in the chain is gone."""
    GAP = "gap"
    """Places in the chain are gone."""
    UNREADABLE = "unreadable"
    """A row holds what was never written there."""
    ADRIFT = "adrift"
    """An event is neither in the chain nor waiting for it, or waits and is gone."""
    CHECKPOINT_FORGED = "checkpoint_forged"
    """A checkpoint is not signed by a known key."""
    CHECKPOINT_GAP = "checkpoint_gap"
    """A checkpoint does not follow the one before it."""
    CHECKPOINT_MISMATCH = "checkpoint_mismatch"
    """The chain is not the one that was signed."""
    TRUNCATED = "truncated"
    """The chain ends before the last known checkpoint."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, at a place in the chain where it has one."""

    fault: Fault
    sequence: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification saw. The events after `signed_sequence` are chained, and not signed yet."""

    events: int
    checkpoints: int
    signed_sequence: int
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Whether there is no finding."""
        return not self.findings


@dataclass(slots=True)
class Examination:
    """Takes events and checkpoints in the order of the chain; a checkpoint comes after the last event it covers."""

    keys: Mapping[bytes, PublicKey]
    """Keys that may have signed, by the SHA-256 of their SubjectPublicKeyInfo."""
    head: ChainHead = chain.START
    last: Checkpoint | None = None
    events: int = 0
    checkpoints: int = 0
    findings: list[Finding] = field(default_factory=list)

    def start(self, head: ChainHead, checkpoint: Checkpoint | None) -> None:
        """Begin an export: the first one where it says, each further one where the one before has ended."""
        if self.events + self.checkpoints == 0:
            if checkpoint is not None:
                self._check_signature(checkpoint)
            self.head, self.last = head, checkpoint
        elif checkpoint != self.last or head != self.head:
            self.find(Fault.GAP, head.sequence + 1, f"an export that does not go on at place {self.head.sequence}")
            self.head, self.last = head, checkpoint

    def event(self, sealed: SealedEvent) -> None:
        """Look at the next event of the chain."""
        self.events += 1
        follows = sealed.sequence == self.head.sequence + 1
        if not follows:
            self.find(Fault.GAP, sealed.sequence, f"follows place {self.head.sequence}")
        if sealed.recorded is None:
            self.find(Fault.MISSING, sealed.sequence, "its event is gone")
        elif follows and chain.event_digest(self.head, sealed.recorded) != sealed.digest:
            self.find(Fault.ALTERED, sealed.sequence, f"event {sealed.recorded.id} does not have its digest")
        self.head = ChainHead(sealed.sequence, sealed.digest)

    def unreadable(self, sequence: int) -> None:
        """Pass over a place whose row cannot be read; what follows it cannot be checked against it."""
        self.events += 1
        self.find(Fault.UNREADABLE, sequence, "its row cannot be read")
        self.head = ChainHead(sequence, b"")

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Look at the next checkpoint."""
        self.checkpoints += 1
        self._check_signature(checkpoint)
        number, previous = (
            (0, chain.START.digest) if self.last is None else (self.last.number, chain.checkpoint_digest(self.last))
        )
        if checkpoint.number != number + 1 or checkpoint.previous != previous:
            self.find(Fault.CHECKPOINT_GAP, checkpoint.sequence, f"number {checkpoint.number} follows number {number}")
        self.expect(checkpoint)
        self.last = checkpoint

    def expect(self, checkpoint: Checkpoint) -> None:
        """Hold the chain, as far as it was read, against what a checkpoint says."""
        if self.head.sequence < checkpoint.sequence:
            self.find(Fault.TRUNCATED, checkpoint.sequence, f"the chain was signed, and ends at {self.head.sequence}")
        elif self.head != ChainHead(checkpoint.sequence, checkpoint.digest):
            self.find(Fault.CHECKPOINT_MISMATCH, checkpoint.sequence, "the chain is not the one that was signed")

    def find(self, fault: Fault, sequence: int | None, detail: str) -> None:
        """Write a fault down."""
        if len(self.findings) < FINDINGS_LIMIT:
            self.findings.append(Finding(fault, sequence, detail))

    def report(self) -> Report:
        """Return what was seen."""
        signed = 0 if self.last is None else self.last.sequence
        return Report(self.events, self.checkpoints, signed, tuple(self.findings))

    def _check_signature(self, checkpoint: Checkpoint) -> None:
        key = self.keys.get(checkpoint.key_id)
        if key is None:
            self.find(Fault.CHECKPOINT_FORGED, checkpoint.sequence, "signed by an unknown key")
            return
        algorithm = default_signature_algorithm(key_type(key))
        try:
            verify(key, algorithm, checkpoint.signature, chain.checkpoint_tbs(checkpoint))
        except InvalidSignature:
            self.find(Fault.CHECKPOINT_FORGED, checkpoint.sequence, "its signature does not verify")
