# SPDX-License-Identifier: Apache-2.0
"""Where a ceremony learns whether cards are revoked: from their issuers, or from lists that were brought."""

from collections.abc import Callable, Sequence
from pathlib import Path

from etymon.kernel.entropy import Entropy
from etymon.pki.status import CRLCache, HTTPStatusSource, StatusSource
from etymon.pki.status_hosts import USUAL, StatusHosts
from etymon.pki.trust_entry import TrustEntry
from etymon.server.key_ceremony import listed_status


def source(lists: Sequence[Path], entropy: Entropy) -> Callable[[TrustEntry], StatusSource]:
    """Return who says whether a card is revoked; with lists, nobody is asked over the network."""
    if lists:
        listed = listed_status.read(lists)
        return lambda _: listed
    hosts, cache = StatusHosts(USUAL), CRLCache()
    return lambda entry: HTTPStatusSource(entry.status_hosts, hosts, entropy, cache)
