# SPDX-License-Identifier: Apache-2.0
"""Leniencies: what deployed authorities do against the standard, taken by its name and never otherwise."""

import enum
from collections.abc import Iterable

from etymon.kernel.errors import Malformed


class Leniency(enum.Enum):
    """One departure from a standard that is accepted where it was named."""

    ECDSA_NULL_PARAMETERS = "ecdsa-null-parameters"
    """An anchor's ECDSA algorithm has a NULL (RFC 5758 §3.2 wants none), as DoD Root CA 5 has. Anchors only."""


def parse(names: Iterable[str]) -> frozenset[Leniency]:
    """Return the leniencies of these names; raises `Malformed` `leniency_unknown`."""
    try:
        return frozenset(map(Leniency, names))
    except ValueError as exc:
        known = ", ".join(leniency.value for leniency in Leniency)
        raise Malformed("leniency_unknown", f"A leniency is not known. Known is: {known}.") from exc
