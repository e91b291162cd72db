# SPDX-License-Identifier: Apache-2.0
"""How much is measured: the whole, and so little that it only shows that every stage works."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Runs of each measurement, and how large the crowds are."""

    runs: int = 5
    run_seconds: float = 0.4
    """The least that a run lasts, unless what was made for it is used up before."""

    requests: int = 5000
    """Certificate requests made beforehand for an authority."""

    links: int = 500
    """Confirmed links made beforehand for EST."""

    links_of_one_person: int = 50
    """A rule allows a hundred at most."""

    messages: int = 250
    """SCEP messages made beforehand, each with an RSA key of its own, which is slow."""

    devices: int = 10_000
    """Phones whose credentials are rekeyed."""

    certificates: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Steps in which a table of certificates is filled; the list is built at the last."""

    list_builds: int = 3
    cards: int = 1_000_000
    """Cards whose status is swept."""

    listed: int = 100_000
    """Entries of the list that they are looked up in."""


FULL: Final = Sizes()
SMALL: Final = Sizes(
    runs=1,
    run_seconds=0.0,
    requests=8,
    links=4,
    links_of_one_person=2,
    messages=3,
    devices=4,
    certificates=(10, 20),
    list_builds=1,
    cards=20,
    listed=10,
)
