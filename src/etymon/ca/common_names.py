# SPDX-License-Identifier: Apache-2.0
"""The forms of a person's common name (Common Policy 3.1.1.1).

They are told apart by their shape: what stands in a first name's place is taken for one. A surname may have small
particles before it (`de la`, `van`). A generation suffix or an agency's number may follow, then what the key is for
(` -ENC`), then `(affiliate)` for those who are not employees.
"""

import enum
import re
from collections.abc import Collection
from typing import Final


class CommonNameForm(enum.StrEnum):
    """A form that an organisation allows."""

    NICKNAME_LAST = "nickname-last"
    """Jack Giants"""
    FIRST_INITIAL_LAST = "first-initial-last"
    """John G. Giants, with the point or without it"""
    FIRST_MIDDLE_LAST = "first-middle-last"
    """John Gregory Giants"""
    LAST_FIRST_MIDDLE = "last.first.middle"
    """Giants.John.Gregory, as cards of the Department of Defense have it"""


_LETTER: Final = r"[^\W\d_]"
_WORD: Final = rf"{_LETTER}(?:['’\-]?{_LETTER})*"
_LAST: Final = rf"(?:[a-z]{{1,6}} ){{0,3}}{_WORD}"
_GENERATION: Final = r"(?i:Jr\.?|Sr\.?|II|III|IV|V)"
_AFTER: Final = rf"(?:,? {_GENERATION})?(?: \d{{1,16}})?"
_END: Final = r"(?: -[A-Z]{2,5})?(?: \(affiliate\))?"

_FORMS: Final = {
    CommonNameForm.NICKNAME_LAST: re.compile(rf"{_WORD} {_LAST}{_AFTER}{_END}"),
    CommonNameForm.FIRST_INITIAL_LAST: re.compile(rf"{_WORD} {_LETTER}\.? {_LAST}{_AFTER}{_END}"),
    CommonNameForm.FIRST_MIDDLE_LAST: re.compile(rf"{_WORD}(?: (?![a-z]){_WORD}){{1,3}} {_LAST}{_AFTER}{_END}"),
    CommonNameForm.LAST_FIRST_MIDDLE: re.compile(
        rf"{_WORD}(?: {_WORD}){{0,2}}\.{_WORD}(?:\.{_WORD})?(?:\.{_GENERATION})?(?:\.\d{{1,16}})?{_END}"
    ),
}


def has_form(common_name: str, forms: Collection[CommonNameForm]) -> bool:
    """Say whether a common name has one of the forms; any will do where none is named."""
    return not forms or any(_FORMS[form].fullmatch(common_name) for form in forms)
