# SPDX-License-Identifier: Apache-2.0
"""The Federal Agency Smart Credential Number: 40 characters of four bits and a parity bit in 25 bytes.

Source: Technical Implementation Guidance, Smart Card Enabled Physical Access Control Systems v2.3, §2.1 and
appendix; quoted by SP 800-73-5 part 1 §3.1.2.
"""

from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import DecodeError

ENCODED_BYTES: Final = 25
START: Final = 0xB
FIELD_SEPARATOR: Final = 0xD
END: Final = 0xF

_CHARACTERS: Final = 40
_DIGITS: Final = {
    "agency": 4,
    "system": 4,
    "credential": 6,
    "series": 1,
    "issue": 1,
    "person": 10,
    "category": 1,
    "organization": 4,
    "association": 1,
}


@dataclass(frozen=True, slots=True)
class FASCN:
    """The fields of a FASC-N, each a string of decimal digits of fixed length.

    `series` is the credential series (CS), `issue` the individual credential issue (ICI), `person` the person
    identifier (PI), `category` the organizational category (OC), `organization` the organizational identifier
    (OI) and `association` the person/organization association (POA).
    """

    agency: str
    system: str
    credential: str
    series: str = "0"
    issue: str = "1"
    person: str = "0000000000"
    category: str = "3"
    organization: str = "0000"
    association: str = "1"

    def __post_init__(self) -> None:
        for name, count in _DIGITS.items():
            value: str = getattr(self, name)
            if len(value) != count or not (value.isascii() and value.isdigit()):
                raise DecodeError("fascn_field", f"The FASC-N field {name} has {count} decimal digits.")

    @property
    def identifier(self) -> str:
        """The 14 digits that tell cards apart: agency, system and credential."""
        return self.agency + self.system + self.credential

    def __str__(self) -> str:
        return "-".join(str(getattr(self, name)) for name in _DIGITS)


def non_federal(person: str = "0000000000") -> FASCN:
    """Return the FASC-N of a card from outside the government: all nines; the UUID tells cards apart (PIV-I)."""
    return FASCN("9999", "9999", "999999", person=person)


def encode(fascn: FASCN) -> bytes:
    """Return the 25 bytes of a FASC-N, with parity bits and longitudinal redundancy character."""
    separated = [fascn.agency, fascn.system, fascn.credential, fascn.series, fascn.issue]
    characters = [START]
    for field in separated:
        characters += [*map(int, field), FIELD_SEPARATOR]
    characters += map(int, fascn.person + fascn.category + fascn.organization + fascn.association)
    characters.append(END)
    characters.append(_redundancy(characters))
    bits = 0
    for character in characters:
        bits = bits << 5 | _with_parity(character)
    return bits.to_bytes(ENCODED_BYTES, "big")


def decode(data: bytes) -> FASCN:
    """Read 25 bytes; parity, redundancy, separators and digits must all be right."""
    if len(data) != ENCODED_BYTES:
        raise DecodeError("fascn_length", f"A FASC-N has {ENCODED_BYTES} bytes, not {len(data)}.")
    bits = int.from_bytes(data, "big")
    groups = [bits >> 5 * (_CHARACTERS - 1 - index) & 0x1F for index in range(_CHARACTERS)]
    characters = [_reversed(group >> 1) for group in groups]
    if any(_with_parity(character) != group for character, group in zip(characters, groups, strict=True)):
        raise DecodeError("fascn_parity", "A character of the FASC-N has the wrong parity.")
    if characters[-1] != _redundancy(characters[:-1]):
        raise DecodeError("fascn_redundancy", "The FASC-N's redundancy character does not fit.")
    text = "".join(f"{character:X}" for character in characters[:-1])
    fields: dict[str, str] = {}
    position = 1
    for name, count in _DIGITS.items():
        fields[name] = text[position : position + count]
        position += count + (name in {"agency", "system", "credential", "series", "issue"})
    if text != _sentinels(fields):
        raise DecodeError("fascn_layout", "The FASC-N's sentinels and separators are not in their places.")
    return FASCN(**fields)


def _sentinels(fields: dict[str, str]) -> str:
    head = "".join(f"{fields[name]}D" for name in ("agency", "system", "credential", "series", "issue"))
    tail = fields["person"] + fields["category"] + fields["organization"] + fields["association"]
    return f"B{head}{tail}F"


def _redundancy(characters: list[int]) -> int:
    total = 0
    for character in characters:
        total ^= character
    return total


def _reversed(nibble: int) -> int:
    return int(f"{nibble:04b}"[::-1], 2)


def _with_parity(character: int) -> int:
    """Return five bits: the four of the character, least significant first, and a bit that makes them odd."""
    nibble = _reversed(character)
    return nibble << 1 | (1 - nibble.bit_count() % 2)
