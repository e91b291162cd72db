# SPDX-License-Identifier: Apache-2.0
"""How a policy fared on the phone."""

from dataclasses import dataclass
from typing import Final

from etymon.phone.state import ResultState

LONGEST_DETAIL: Final = 500
"""Characters (docs/protocols/check-in.md)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A state and a sentence, as they are reported."""

    state: ResultState
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", self.detail[:LONGEST_DETAIL])


SUCCEEDED: Final = Outcome(ResultState.SUCCEEDED)
WAITS_FOR_CREDENTIAL: Final = Outcome(ResultState.PENDING, "Waits for the derived credential.")
