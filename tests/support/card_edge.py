# SPDX-License-Identifier: Apache-2.0
"""A bare card on the bench: APDUs as hex, keys put in from the host side, and what was persisted."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec

from etymon.card.applet import PIVApplet
from etymon.card.management_key import encrypt
from etymon.card.private_keys import CardPrivateKey
from etymon.card.state import CardState, ManagementKey, manufacture
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.wire.piv import Algorithm

PIN_BLOCK = "313432353336FFFF"
NEW_PIN_BLOCK = "3938373635343332"
WRONG_PIN_BLOCK = "303030303030FFFF"
PUK_BLOCK = "3837363534333231"
WRONG_PUK_BLOCK = "3030303030303030"
VERIFY = "00200080 08" + PIN_BLOCK
WRONG_VERIFY = "00200080 08" + WRONG_PIN_BLOCK
STATUS = "00200080"
MANAGEMENT_KEY = bytes(range(32))


@dataclass(slots=True)
class Bench:
    """A card under power and the states it persisted, the oldest first."""

    applet: PIVApplet
    persisted: list[CardState] = field(default_factory=list)

    def send(self, *parts: str | bytes) -> str:
        """Send one command, given as hex and bytes; returns data and status word in capital hex."""
        command = b"".join(part if isinstance(part, bytes) else bytes.fromhex(part) for part in parts)
        return self.applet.process(command).hex().upper()

    def authenticate_management(self) -> None:
        """Show the management key by the single challenge and response."""
        challenge = bytes.fromhex(self.send("00870C9B047C02810000"))[4:-2]
        answer = encrypt(self.applet.state.management_key, challenge)
        assert self.send("00870C9B147C128210", answer) == "9000"


def bench(
    keys: dict[int, CardPrivateKey] | None = None,
    *,
    tries: int = 3,
    management_key: ManagementKey | None = None,
    objects: dict[int, bytes] | None = None,
) -> Bench:
    """Return a card with PIN 142536 and PUK 87654321."""
    state = manufacture(
        pin=Secret("142536"),
        puk=Secret("87654321"),
        entropy=SystemEntropy(),
        tries=tries,
        management_key=management_key or ManagementKey(Algorithm.AES_256, Secret(MANAGEMENT_KEY)),
    )
    for reference, key in (keys or {}).items():
        state = state.with_key(reference, key)
    for tag, content in (objects or {}).items():
        state = state.with_object(tag, content)
    persisted: list[CardState] = []
    return Bench(PIVApplet(state, persisted.append, SystemEntropy()), persisted)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())
