# SPDX-License-Identifier: Apache-2.0
"""The page about the life cycle has the states and moves of the model, and no other."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from etymon.issuer.model import CREDENTIAL_MOVES, DERIVATION_MOVES
from etymon.issuer.request import REQUEST_MOVES

PAGE = Path(__file__).parents[2] / "docs" / "life-cycle.md"


@pytest.mark.parametrize(
    ("heading", "moves"),
    [("Request", REQUEST_MOVES), ("Derivation", DERIVATION_MOVES), ("Certificate", CREDENTIAL_MOVES)],
)
def test_the_tables_are_those_of_the_model(heading: str, moves: Mapping[str, frozenset[str]]) -> None:
    section = PAGE.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    written = {
        state: set() if leads_to == "-" else set(leads_to.split(", "))
        for state, leads_to in re.findall(r"^\| (\w+) \| ([\w, -]+) \|", section, re.MULTILINE)
        if state != "state"
    }
    assert written == {str(state): set(map(str, leads_to)) for state, leads_to in moves.items()}
