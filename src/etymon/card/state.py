# SPDX-License-Identifier: Apache-2.0
"""What a card keeps when its power is off: keys, data objects, reference data and their counters.

A state is a value. The card makes a changed copy, has it persisted, and only then acts on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from etymon.card.private_keys import CardPrivateKey, algorithm_of
from etymon.card.reference_values import pin_block, puk_block
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.wire.piv import RETIRED_KEY_MANAGEMENT, Algorithm, KeyReference, ObjectTag
from etymon.wire.piv_objects import CARD_CAPABILITY_CONTAINER, Discovery, encode_discovery

TRIES_LIMIT: Final = 10
"""Most consecutive wrong tries a card may allow (SP 800-73-5 part 2 §2.4.3, FIPS 201-3 §4.3.1)."""

DEFAULT_TRIES: Final = 3

MANAGEMENT_KEY_BYTES: Final[Mapping[Algorithm, int]] = {
    Algorithm.TRIPLE_DES: 24,
    Algorithm.AES_128: 16,
    Algorithm.AES_192: 24,
    Algorithm.AES_256: 32,
}
GENERATED_KEYS: Final = frozenset(
    {
        KeyReference.AUTHENTICATION,
        KeyReference.SIGNATURE,
        KeyReference.KEY_MANAGEMENT,
        KeyReference.CARD_AUTHENTICATION,
    }
)
"""Keys that GENERATE ASYMMETRIC KEY PAIR makes."""

KEY_REFERENCES: Final = GENERATED_KEYS | frozenset(RETIRED_KEY_MANAGEMENT)


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """A PIN or PUK: eight bytes and the tries that remain of the most that are allowed."""

    value: Secret[bytes]
    remaining: int
    maximum: int = DEFAULT_TRIES

    def __post_init__(self) -> None:
        if not 1 <= self.maximum <= TRIES_LIMIT or not 0 <= self.remaining <= self.maximum:
            raise Malformed("card_tries", f"A card allows one to {TRIES_LIMIT} tries.")

    def after_a_try(self) -> Self:
        """Return it with one try less."""
        return replace(self, remaining=self.remaining - 1)

    def restored(self) -> Self:
        """Return it with all tries."""
        return replace(self, remaining=self.maximum)

    def changed(self, value: bytes) -> Self:
        """Return it with another value and all tries."""
        return replace(self, value=Secret(value), remaining=self.maximum)


@dataclass(frozen=True, slots=True)
class ManagementKey:
    """The symmetric key of the card issuer, 9B."""

    algorithm: Algorithm
    value: Secret[bytes]

    def __post_init__(self) -> None:
        if MANAGEMENT_KEY_BYTES.get(self.algorithm) != len(self.value.reveal()):
            raise Malformed("management_key", "The management key's length does not fit its algorithm.")


@dataclass(frozen=True, slots=True)
class CardState:
    """Everything a card remembers."""

    pin: ReferenceData
    puk: ReferenceData
    management_key: ManagementKey
    keys: Mapping[int, CardPrivateKey] = field(default_factory=dict, repr=False)
    """Private keys by key reference."""
    objects: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """Contents of the data objects by tag: what stands inside `53`, `7E` or `7F61`."""

    def with_key(self, reference: int, key: CardPrivateKey) -> Self:
        """Return the state with a key put in place (host side; the card edge has no import).

        Retired key management keys and escrowed encryption keys come this way.
        """
        if reference not in KEY_REFERENCES:
            raise Malformed("card_key_reference", "A card has no such key.")
        algorithm_of(key)
        return replace(self, keys={**self.keys, reference: key})

    def with_object(self, tag: int, content: bytes) -> Self:
        """Return the state with a data object replaced."""
        return replace(self, objects={**self.objects, tag: content})


def manufacture(
    *,
    pin: Secret[str],
    puk: Secret[str],
    entropy: Entropy,
    management_key: ManagementKey | None = None,
    tries: int = DEFAULT_TRIES,
) -> CardState:
    """Return a card without keys or certificates; its management key is a random AES-256 key unless one is given."""
    fresh = ManagementKey(Algorithm.AES_256, Secret(entropy.octets(32)))
    return CardState(
        pin=ReferenceData(pin_block(pin), tries, tries),
        puk=ReferenceData(puk_block(puk), tries, tries),
        management_key=management_key or fresh,
        objects={
            ObjectTag.CARD_CAPABILITY_CONTAINER: CARD_CAPABILITY_CONTAINER,
            ObjectTag.DISCOVERY: encode_discovery(Discovery()),
        },
    )
