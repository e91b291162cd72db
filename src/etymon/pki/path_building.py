# SPDX-License-Identifier: Apache-2.0
"""Certification paths from a leaf to an anchor, in bounded effort however the certificates are made.

Authorities that certify each other allow more paths than anybody could try: no name and key comes twice in a path
(RFC 4158 §5.2), only signatures that verify lead on, and every look is counted.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from etymon.pki.errors import NotTrusted
from etymon.pki.path_material import Material, Node

MOST_PATHS: Final = 16
"""Candidate paths that are walked; a bridge with cross-certificates has a few."""

LONGEST_PATH: Final = 10
"""Certificates between leaf and anchor, both included."""

MOST_CANDIDATES: Final = 1000
"""Issuers that are looked at for one validation, over all paths."""

LONGEST_SECONDS: Final = 10.0
"""Time for one validation, its CRLs and their issuers' paths included; nothing is asked of anybody in it."""


class Effort:
    """What one validation may cost; raises `NotTrusted` when it is used up."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = monotonic() + LONGEST_SECONDS
        self._candidates = MOST_CANDIDATES
        self._paths = MOST_PATHS

    def look(self) -> None:
        """Count one candidate."""
        self._candidates -= 1
        if self._candidates < 0:
            raise _too_complex()
        self.require_time()

    def walk(self) -> None:
        """Count one path that is walked."""
        self._paths -= 1
        if self._paths < 0:
            raise _too_complex()
        self.require_time()

    def require_time(self) -> None:
        """Refuse to go on when time is up."""
        if self._monotonic() > self._until:
            raise NotTrusted(
                "took_too_long", "Validation was given up after some seconds. Give fewer certificates and lists."
            )


class PathSearch:
    """The paths from one leaf, best first; when none is left, `refusal` says why there was none."""

    def __init__(self, material: Material, leaf: Node, effort: Effort) -> None:
        self._material, self._leaf, self._effort = material, leaf, effort
        self._another_signed = self._grew_too_long = False

    def paths(self) -> Iterator[tuple[Node, ...]]:
        """Yield paths, leaf first and anchor last."""
        return self._from((self._leaf,))

    def refusal(self) -> NotTrusted:
        """Say why no path was found."""
        if self._another_signed:
            return NotTrusted(
                "path_invalid",
                "This certificate was not signed by the issuer that it names. Choose another one.",
            )
        if self._grew_too_long:
            return NotTrusted(
                "path_too_long", f"No path of at most {LONGEST_PATH} certificates leads to an anchor. Trust one nearer."
            )
        return NotTrusted(
            "untrusted_root",
            "This certificate does not come from an issuer that is trusted here. Choose another certificate.",
        )

    def _from(self, path: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
        for candidate, is_anchor in self._material.issuers(path[-1]):
            self._effort.look()
            if any(candidate.subject == node.subject and candidate.key == node.key for node in path):
                continue
            if not path[-1].is_signed_by(candidate):
                self._another_signed = True
            elif len(path) == LONGEST_PATH:
                self._grew_too_long = True
            elif is_anchor:
                yield (*path, candidate)
            else:
                yield from self._from((*path, candidate))


def _too_complex() -> NotTrusted:
    return NotTrusted(
        "path_too_complex",
        "So many certificates could lead to an anchor that not all were tried. Give the ones of the path alone.",
    )
