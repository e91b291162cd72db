# SPDX-License-Identifier: Apache-2.0
"""Which certificate `etymon derivations certificate` takes of a derivation with several, or none."""

from typing import Any

import pytest

from etymon.kernel.errors import NotFound
from etymon.server.command_line.derivations import certificate_for


def credential(certificate: str | None, until: str | None, state: str = "active") -> dict[str, Any]:
    return {"purpose": "signature", "state": state, "certificate": certificate, "notAfterDateTime": until}


OLD = credential("old", "2026-05-01T00:00:00Z")
NEW = credential("new", "2027-05-01T00:00:00Z")
PLANNED = credential(None, None, "planned")


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ([OLD], "old"),
        ([NEW, OLD], "new"),
        ([OLD, PLANNED], "old"),
        ([OLD, {**NEW, "state": "ended"}], "old"),
        ([{**OLD, "state": "ended"}, {**NEW, "state": "ended"}], "new"),
        ([OLD, {**NEW, "purpose": "encryption"}], "old"),
    ],
)
def test_the_one_that_counts_is_taken(credentials: list[dict[str, Any]], expected: str) -> None:
    assert certificate_for({"credentials": credentials}, "signature") == expected


@pytest.mark.parametrize(
    ("credentials", "purpose", "code", "told"),
    [
        ([], "signature", "no_credential", "for: none"),
        ([OLD], "encryption", "no_credential", "for: signature"),
        ([PLANNED], "signature", "not_issued", "not issued yet"),
    ],
)
def test_what_is_not_there_is_refused(credentials: list[dict[str, Any]], purpose: str, code: str, told: str) -> None:
    with pytest.raises(NotFound, match=told) as refused:
        certificate_for({"credentials": credentials}, purpose)
    assert refused.value.code == code
