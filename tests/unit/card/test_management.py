# SPDX-License-Identifier: Apache-2.0
"""The card management key, and what it opens: PUT DATA and GENERATE."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.card.client import PIVClient
from etymon.card.data_objects import MEMORY_BYTES, OBJECT_LIMIT_BYTES
from etymon.card.errors import CardError, CardNotPermitted, CardUnavailable
from etymon.card.management_key import decrypt, encrypt
from etymon.card.state import ManagementKey
from etymon.card.transport import LocalTransport
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.wire import tlv
from etymon.wire.piv import Algorithm, ObjectTag
from support.card_edge import STATUS, VERIFY, Bench, bench, p256

PUT_PRINTED = "00DB3FFF 09 5C035FC109 5302FE00"
GENERATE = "0047009A 05 AC03800111 00"
CHALLENGE = "00870C9B 04 7C028100 00"
WITNESS = "00870C9B 04 7C028000 00"

KEYS = [
    ManagementKey(Algorithm.AES_128, Secret(bytes(range(16)))),
    ManagementKey(Algorithm.AES_192, Secret(bytes(range(24)))),
    ManagementKey(Algorithm.AES_256, Secret(bytes(range(32)))),
    ManagementKey(Algorithm.TRIPLE_DES, Secret(bytes(range(24)))),
]


@pytest.fixture
def card() -> Bench:
    return bench({0x9A: p256()})


def _challenge(card: Bench, command: str = CHALLENGE) -> bytes:
    answer = card.send(command)
    assert answer.endswith("9000")
    return bytes.fromhex(answer)[4:-2]


@pytest.mark.parametrize("key", KEYS)
def test_both_sides_know_the_key_by_mutual_authentication(key: ManagementKey) -> None:
    card = bench(management_key=key)
    client = PIVClient(LocalTransport(card.applet))
    client.authenticate_management(key)
    client.put_object(ObjectTag.PRINTED_INFORMATION, bytes.fromhex("FE00"))


@pytest.mark.parametrize("key", KEYS)
def test_a_challenge_is_answered_encrypted(key: ManagementKey) -> None:
    card = bench(management_key=key)
    head = f"0087{key.algorithm:02X}9B"
    challenge = _challenge(card, head + "04 7C028100 00")
    answer = encrypt(key, challenge)
    template = tlv.encode(0x7C, tlv.encode(0x82, answer))
    assert len(challenge) == (8 if key.algorithm is Algorithm.TRIPLE_DES else 16)
    assert card.send(head, bytes([len(template)]), template) == "9000"
    assert card.send(PUT_PRINTED) == "9000"


def test_lengths_of_the_mutual_exchange(card: Bench) -> None:
    key = card.applet.state.management_key
    answer = card.send(WITNESS)
    assert answer[:8] == "7C128010"
    witness = decrypt(key, bytes.fromhex(answer)[4:-2])
    response = card.send("00870C9B 28 7C26 8010", witness, "8110", bytes(16), "8200 00")
    assert response == "7C128210" + encrypt(key, bytes(16)).hex().upper() + "9000"


def test_the_two_numbers_of_a_mutual_exchange_may_come_without_the_empty_response(card: Bench) -> None:
    witness = decrypt(card.applet.state.management_key, _challenge(card, WITNESS))
    assert card.send("00870C9B 26 7C24 8010", witness, "8110", bytes(16), "00").endswith("9000")


def test_a_wrong_answer_ends_what_was_there_and_the_pin_stays(card: Bench) -> None:
    card.authenticate_management()
    card.send(VERIFY)
    _challenge(card)
    assert card.send("00870C9B 14 7C12 8210", bytes(16)) == "6982"
    assert card.send(PUT_PRINTED) == "6982"
    assert card.send(STATUS) == "9000"


def test_a_wrong_witness_is_refused(card: Bench) -> None:
    card.authenticate_management()
    _challenge(card, WITNESS)
    assert card.send("00870C9B 28 7C26 8010", bytes(16), "8110", bytes(16), "8200 00") == "6982"
    assert card.send(PUT_PRINTED) == "6982"


@pytest.mark.parametrize("between", [STATUS, "00CB3FFF035C017E00", "00FD000000", "80000000", "0087119A 02 7C00"])
def test_a_challenge_is_good_for_the_next_command_alone(card: Bench, between: str) -> None:
    answer = encrypt(card.applet.state.management_key, _challenge(card))
    card.send(between)
    assert card.send("00870C9B 14 7C12 8210", answer) == "6985"
    assert card.send(PUT_PRINTED) == "6982"


def test_a_challenge_is_good_once(card: Bench) -> None:
    answer = encrypt(card.applet.state.management_key, _challenge(card))
    assert card.send("00870C9B 14 7C12 8210", answer) == "9000"
    assert card.send("00870C9B 14 7C12 8210", answer) == "6985"


def test_a_challenge_is_no_witness_and_a_witness_no_challenge(card: Bench) -> None:
    # The plain challenge sent back as a witness would authenticate whoever can read.
    challenge = _challenge(card)
    assert card.send("00870C9B 28 7C26 8010", challenge, "8110", bytes(16), "8200 00") == "6985"
    encrypted = _challenge(card, WITNESS)
    assert card.send("00870C9B 14 7C12 8210", encrypted) == "6985"
    assert card.send(PUT_PRINTED) == "6982"


def test_a_reset_ends_it(card: Bench) -> None:
    card.authenticate_management()
    card.applet.reset()
    assert card.send(PUT_PRINTED) == "6982"
    answer = encrypt(card.applet.state.management_key, _challenge(card))
    card.applet.reset()
    assert card.send("00870C9B 14 7C12 8210", answer) == "6985"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("0087089B 04 7C028100 00", "6A86"),  # another algorithm
        ("0087039B 04 7C028100 00", "6A86"),
        ("0087009B 04 7C028000 00", "6A86"),
        ("00870C9B 02 7C00", "6A80"),
        ("00870C9B 04 7C028300", "6A80"),
        ("00870C9B", "6A80"),
        ("00870C9B 16 7C14 8110" + "00" * 16 + "8200", "6A80"),  # the card does not encrypt for others
        ("00870C9B 18 7C16 8010" + "00" * 16 + "8102 0000", "6A80"),  # a challenge of the wrong length
        ("00870C9B 14 7C12 8210" + "00" * 16, "6985"),  # an answer to nothing
    ],
)
def test_what_is_no_step_of_the_exchange_is_refused(card: Bench, command: str, answer: str) -> None:
    assert card.send(command) == answer


def test_random_numbers_are_given_by_the_default_algorithm_and_authenticate_nobody(card: Bench) -> None:
    # OpenSC asks this way, whatever the key is.
    first, second = card.send("0087009B 04 7C028100 00"), card.send("0087009B 04 7C028100 00")
    assert (first[:8], first[-4:], len(first)) == ("7C0A8108", "9000", 28)
    assert first != second
    assert card.send("00870C9B 14 7C12 8210", bytes(16)) == "6985"


def test_the_default_algorithm_is_triple_des() -> None:
    key = KEYS[3]
    card = bench(management_key=key)
    challenge = _challenge(card, "0087009B 04 7C028100 00")
    assert card.send("0087009B 0C 7C0A 8208", encrypt(key, challenge)) == "9000"
    assert card.send(PUT_PRINTED) == "9000"


@pytest.mark.parametrize("algorithm", [Algorithm.TRIPLE_DES_DEFAULT, Algorithm.P256, Algorithm.AES_128])
def test_a_management_key_fits_its_algorithm(algorithm: Algorithm) -> None:
    with pytest.raises(Malformed):
        ManagementKey(algorithm, Secret(bytes(32)))


def test_the_client_notices_a_card_that_does_not_know_the_key(card: Bench) -> None:
    wrong = ManagementKey(Algorithm.AES_256, Secret(bytes(32)))
    client = PIVClient(LocalTransport(card.applet))
    with pytest.raises(CardNotPermitted) as refused:
        client.authenticate_management(wrong)
    assert refused.value.status_word == 0x6982

    class Impostor:
        """Takes any witness, and knows no key."""

        def transmit(self, command: bytes) -> bytes:
            tag = 0x80 if len(command) < 12 else 0x82
            return tlv.encode(0x7C, tlv.encode(tag, bytes(16))) + b"\x90\x00"

    with pytest.raises(CardUnavailable, match="card_not_genuine"):
        PIVClient(Impostor()).authenticate_management(wrong)


def test_the_client_refuses_a_challenge_of_another_cipher() -> None:
    card = bench(management_key=KEYS[3])

    class Renamed:
        """Passes the command on as if it named 3DES."""

        def transmit(self, command: bytes) -> bytes:
            return card.applet.process(command[:2] + b"\x03" + command[3:])

    with pytest.raises(CardUnavailable, match="card_witness"):
        PIVClient(Renamed()).authenticate_management(KEYS[2])


def test_an_object_is_replaced_whole_and_emptied(card: Bench) -> None:
    card.authenticate_management()
    assert card.send("00DB3FFF 0B 5C035FC107 5304F000FE00") == "9000"
    assert card.send("00CB3FFF 05 5C035FC107 00") == "5304F000FE009000"
    assert card.send("00DB3FFF 07 5C035FC107 5300") == "9000"
    assert card.send("00CB3FFF 05 5C035FC107 00") == "53009000"
    assert card.persisted[-1].objects[ObjectTag.CARD_CAPABILITY_CONTAINER] == b""


def test_discovery_is_written_in_its_own_tag(card: Bench) -> None:
    card.authenticate_management()
    assert card.send("00DB3FFF 14 7E124F0BA0000003080000100001005F2F024000") == "9000"
    assert card.send("00CB3FFF 03 5C017E 00") == "7E124F0BA0000003080000100001005F2F0240009000"
    assert card.send("00DB3FFF 05 7F6102 0000") == "9000"
    assert card.send("00CB3FFF 04 5C027F61 00") == "7F61020000" + "9000"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("5C035FC1FF 5300", "6A81"),  # no such object
        ("5C035FC124 5300", "6A81"),
        ("5C017E 5300", "6A81"),  # discovery has its own tag
        ("5C035FC102", "6A80"),
        ("5C035FC102 5400", "6A80"),
        ("5300 5C035FC102", "6A80"),
        ("5C035FC102 5300 5300", "6A80"),
        ("5C035FC102 5303 00", "6A80"),
        ("", "6A80"),
    ],
)
def test_what_is_no_object_is_not_written(card: Bench, data: str, answer: str) -> None:
    card.authenticate_management()
    before = list(card.persisted)
    body = bytes.fromhex(data)
    assert card.send("00DB3FFF", bytes([len(body)]) if body else b"", body) == answer
    assert card.persisted == before


@pytest.mark.parametrize("command", [PUT_PRINTED, "00DB3FFF 02 7E00", GENERATE, "0047009A 03 AC0080"])
def test_writing_and_generating_want_the_management_key(card: Bench, command: str) -> None:
    card.send(VERIFY)
    assert card.send(command) == "6982"
    assert len(card.persisted) == 2  # the PIN's counter, twice


def test_wrong_parameters_are_refused(card: Bench) -> None:
    card.authenticate_management()
    assert card.send("00DB0000 09 5C035FC109 5302FE00") == "6A86"
    assert card.send("0047019A 05 AC03800111 00") == "6A86"


def test_the_largest_object_fits_and_memory_ends(card: Bench) -> None:
    card.authenticate_management()
    client = PIVClient(LocalTransport(card.applet))
    face = bytes(12_710)
    client.put_object(ObjectTag.FACIAL_IMAGE, face)
    client.verify_pin(Secret("142536"))
    assert client.read_object(ObjectTag.FACIAL_IMAGE) == face
    with pytest.raises(CardError, match="card_refused") as too_large:
        client.put_object(ObjectTag.FACIAL_IMAGE, bytes(OBJECT_LIMIT_BYTES + 1))
    assert too_large.value.status_word == 0x6A84
    tags = [0x5FC10D + index for index in range(MEMORY_BYTES // OBJECT_LIMIT_BYTES)]
    for tag in tags[:-1]:
        client.put_object(tag, bytes(OBJECT_LIMIT_BYTES))
    with pytest.raises(CardError) as full:
        client.put_object(tags[-1], bytes(OBJECT_LIMIT_BYTES))
    assert full.value.status_word == 0x6A84


@pytest.mark.parametrize(
    "tag", [0x5FC103, 0x5FC108, 0x5FC121, 0x5FC109, 0x5FC123], ids=["finger", "face", "iris", "printed", "pairing"]
)
def test_personal_data_is_read_with_the_pin_alone(tag: int) -> None:
    card = bench(objects={tag: b"\xfe\x00"})
    read = f"00CB3FFF 05 5C03{tag:06X} 00"
    assert card.send(read) == "6982"
    card.send(VERIFY)
    assert card.send(read) == "5302FE009000"


@pytest.mark.parametrize("slot", [0x9A, 0x9C, 0x9D, 0x9E])
def test_a_generated_key_replaces_the_old_one_and_only_its_public_half_comes_out(slot: int) -> None:
    card = bench({slot: p256()})
    before = card.applet.state.keys[slot]
    card.authenticate_management()
    answer = card.send(f"004700{slot:02X} 05 AC03800111 00")
    assert answer[:12] == "7F4943864104"
    held = card.persisted[-1].keys[slot]
    assert isinstance(held, ec.EllipticCurvePrivateKey)
    numbers = held.public_key().public_numbers()
    assert answer[12:-4] == f"{numbers.x:064X}{numbers.y:064X}"
    assert held is not before


@pytest.mark.parametrize(
    ("algorithm", "head", "bits"), [("07", "7F4982010981820100", 2048), ("05", "7F4982018981820180", 3072)]
)
def test_rsa_keys_are_generated(card: Bench, algorithm: str, head: str, bits: int) -> None:
    card.authenticate_management()
    answer = card.send(f"0047009A 000005 AC038001{algorithm} 0000")
    held = card.applet.state.keys[0x9A]
    assert isinstance(held, rsa.RSAPrivateKey)
    assert held.key_size == bits
    assert answer == f"{head}{held.public_key().public_numbers().n:X}82030100019000"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("0047009B 05 AC03800111 00", "6A86"),
        ("00470004 05 AC03800127 00", "6A86"),
        ("00470082 05 AC03800111 00", "6A86"),  # retired keys are imported
        ("004700F9 05 AC03800111 00", "6A86"),
        ("0047009A 05 AC03800106 00", "6A80"),  # RSA-1024
        ("0047009A 05 AC0380010C 00", "6A80"),
        ("0047009A 05 AC03800199 00", "6A80"),
        ("0047009A 02 AC00 00", "6A80"),
        ("0047009A 03 800111 00", "6A80"),
        ("0047009A 08 AC068001118201 00 00", "6A80"),
        ("0047009A 08 AC06800107810103 00", "6A80"),  # exponent 3
        ("0047009A", "6A80"),
    ],
)
def test_other_keys_are_not_generated(card: Bench, command: str, answer: str) -> None:
    card.authenticate_management()
    before = card.applet.state.keys[0x9A]
    assert card.send(command) == answer
    assert card.applet.state.keys[0x9A] is before


def test_the_usual_exponent_may_be_named(card: Bench) -> None:
    card.authenticate_management()
    assert card.send("0047009A 0A AC08800111 8103010001 00").endswith("9000")
