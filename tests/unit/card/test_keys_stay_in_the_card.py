# SPDX-License-Identifier: Apache-2.0
"""No byte of a private key, PIN, PUK or management key leaves a card, whatever it is asked."""

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.card import state_codec, storage
from etymon.card.card_key import CardKey
from etymon.card.client import PIVClient
from etymon.card.errors import WrongPIN
from etymon.card.external_key import SignatureScheme, sign
from etymon.card.transport import CardTransport
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.wire.apdu import CommandAPDU, encode_command
from etymon.wire.piv import OBJECT_TAGS, Algorithm, KeyReference
from support.card_edge import p256
from support.card_issuer import PIN, CardIssuer, IssuedCard

WINDOW = 8
"""So many bytes in a row of a secret are a leak."""
TRIED = (b"", b"\x7c\x02\x81\x00", b"\x7c\x02\x80\x00", b"\x5c\x01\x9a")


class Recording:
    """A transport that keeps every answer."""

    def __init__(self, inner: CardTransport, answers: list[bytes]) -> None:
        self._inner = inner
        self._answers = answers

    def transmit(self, command: bytes) -> bytes:
        answer = self._inner.transmit(command)
        self._answers.append(answer)
        return answer


def secrets_of(card: IssuedCard) -> Iterator[bytes]:
    """Give everything in a card that must stay there."""
    state = card.applet.state
    yield from (state.pin.value.reveal()[:6], state.puk.value.reveal(), state.management_key.value.reveal())
    for key in state.keys.values():
        if isinstance(key, rsa.RSAPrivateKey):
            numbers = key.private_numbers()
            parts = [numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp]
        else:
            parts = [key.private_numbers().private_value]
        for part in parts:
            yield part.to_bytes((part.bit_length() + 7) // 8, "big")


def windows(secret: bytes) -> Iterator[bytes]:
    """Give every run of bytes of a secret that would be a leak, forwards and backwards."""
    for text in (secret, secret[::-1]):
        for start in range(max(1, len(text) - WINDOW + 1)):
            yield text[start : start + WINDOW]


def leaks(secrets: Iterator[bytes], seen: bytes) -> list[bytes]:
    return [secret for secret in secrets if any(window in seen for window in windows(secret))]


def test_the_search_finds_a_leak() -> None:
    secret = bytes(range(1, 33))
    for seen in (secret[5:13], b"x" + secret[::-1][3:20] + b"y"):
        assert leaks(iter([secret]), seen) == [secret]
    assert not leaks(iter([secret]), secret[5:12])


@pytest.fixture(scope="module")
def answers() -> list[bytes]:
    return []


@pytest.fixture(scope="module")
def card(answers: list[bytes]) -> IssuedCard:
    """A card with every kind of key, whose making was recorded as well."""
    return CardIssuer().card(
        algorithms={
            KeyReference.AUTHENTICATION: Algorithm.RSA_2048,
            KeyReference.SIGNATURE: Algorithm.P384,
            KeyReference.KEY_MANAGEMENT: Algorithm.RSA_3072,
            KeyReference.CARD_AUTHENTICATION: Algorithm.P256,
        },
        wrap=lambda inner: Recording(inner, answers),
    )


def test_no_answer_of_a_whole_life_holds_a_secret(card: IssuedCard, answers: list[bytes]) -> None:
    client = PIVClient(Recording(card.client._transport, answers))  # noqa: SLF001 - the test's own transport
    with pytest.raises(WrongPIN):
        client.verify_pin(Secret("000000"))
    for slot in (KeyReference.AUTHENTICATION, KeyReference.SIGNATURE, KeyReference.CARD_AUTHENTICATION):
        sign(CardKey(client, slot, pin=PIN), b"data", SignatureScheme(hashes.SHA256()))
    client.verify_pin(PIN)
    client.decipher(KeyReference.KEY_MANAGEMENT, Algorithm.RSA_3072, bytes(383) + b"\x02")
    for tag in OBJECT_TAGS:
        try:
            client.read_object(tag)
        except EtymonError:
            continue
    client.authenticate_management(card.management_key)
    for ins, key in itertools.product(range(256), (0x00, 0x80, 0x81, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0xF9)):
        if ins not in {0x20, 0x24, 0x2C}:  # the PIN's commands are not worn out
            commands = [CommandAPDU(0, ins, 0, key, data, 256) for data in TRIED]
            answers.extend(card.applet.process(encode_command(command)) for command in commands)
    assert len(answers) > 9000
    assert not leaks(secrets_of(card), b"|".join(answers))


def test_key_agreement_answers_the_shared_point_alone() -> None:
    card = CardIssuer().card(algorithms={KeyReference.KEY_MANAGEMENT: Algorithm.P256})
    seen: list[bytes] = []
    client = PIVClient(Recording(card.client._transport, seen))  # noqa: SLF001 - the test's own transport
    client.verify_pin(PIN)
    peer = p256().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    client.key_agreement(KeyReference.KEY_MANAGEMENT, Algorithm.P256, peer)
    assert not leaks(secrets_of(card), b"|".join(seen))


def test_the_stored_file_holds_no_secret_in_any_spelling(card: IssuedCard, tmp_path: Path) -> None:
    path = tmp_path / "card"
    with storage.create(path, Secret("passphrase of the card"), card.applet.state) as stored:
        stored.save(card.applet.state)
    raw = path.read_bytes()
    for seen in (raw, base64.b64decode(json.loads(raw)["ciphertext"])):
        assert not leaks(secrets_of(card), seen)
        for secret in (item for item in secrets_of(card) if len(item) > WINDOW):
            assert secret.hex().encode() not in seen.lower()
            assert all(base64.b64encode(secret[shift:])[:-4] not in seen for shift in range(3))
    assert b"PRIVATE KEY" not in raw
    assert b"passphrase of the card" not in raw


def test_a_state_does_not_print_its_secrets(card: IssuedCard) -> None:
    shown = repr(card.applet.state).encode()
    assert not leaks(secrets_of(card), shown)
    assert b"keys" not in shown


def test_the_same_search_finds_every_secret_where_it_is_in_the_clear(card: IssuedCard) -> None:
    clear = json.loads(state_codec.encode(card.applet.state))
    values = [clear["pin"]["value"], clear["puk"]["value"], clear["management_key"]["value"], *clear["keys"].values()]
    found = leaks(secrets_of(card), b"|".join(base64.b64decode(value) for value in values))
    assert len(found) == len(list(secrets_of(card)))
