# SPDX-License-Identifier: Apache-2.0
"""Signing, deciphering and key agreement over APDUs, and when the card refuses them."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.card.private_keys import CardPrivateKey, FaultDetected, rsa_private_operation
from etymon.kernel.entropy import SystemEntropy
from etymon.wire import tlv
from etymon.wire.apdu import CommandAPDU, chain, encode_command
from support.card_edge import NEW_PIN_BLOCK, PIN_BLOCK, PUK_BLOCK, STATUS, VERIFY, Bench, bench, p256, p384

DIGEST = hashlib.sha256(b"message").digest()
SIGN_9A = "0087119A 26 7C24 8200 8120" + DIGEST.hex() + "00"
SIGN_9C = "0087119C 26 7C24 8200 8120" + DIGEST.hex() + "00"
SIGN_9E = "0087119E 26 7C24 8200 8120" + DIGEST.hex() + "00"
GET_DISCOVERY = "00CB3FFF035C017E00"


@pytest.fixture(scope="module")
def curve_key() -> ec.EllipticCurvePrivateKey:
    return p256()


@pytest.fixture
def card(curve_key: ec.EllipticCurvePrivateKey) -> Bench:
    keys: dict[int, CardPrivateKey] = dict.fromkeys((0x9A, 0x9C, 0x9D, 0x9E, 0x82), curve_key)
    return bench(keys)


def _response(answer: str) -> bytes:
    assert answer.endswith("9000")
    return tlv.unwrap(tlv.unwrap(bytes.fromhex(answer)[:-2], 0x7C), 0x82)


def test_p256_signs_a_digest_in_one_command(card: Bench, curve_key: ec.EllipticCurvePrivateKey) -> None:
    card.send(VERIFY)
    signature = _response(card.send(SIGN_9A))
    curve_key.public_key().verify(signature, DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))


def test_p384_signs_a_digest_in_one_command() -> None:
    key = p384()
    card = bench({0x9E: key})
    digest = hashlib.sha384(b"message").digest()
    signature = _response(card.send("0087149E 36 7C34 8200 8130", digest, "00"))
    key.public_key().verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA384())))


@pytest.mark.parametrize("size", [1, 20, 31, 33, 64])
def test_a_digest_of_another_length_is_fitted_as_ecdsa_does(
    card: Bench, curve_key: ec.EllipticCurvePrivateKey, size: int
) -> None:
    digest = hashlib.sha512(b"message").digest()[:size]
    template = tlv.encode(0x7C, b"\x82\x00" + tlv.encode(0x81, digest))
    signature = _response(card.send("0087119E", bytes([len(template)]), template, "00"))
    fitted = digest[:32].rjust(32, b"\x00")
    curve_key.public_key().verify(signature, fitted, ec.ECDSA(Prehashed(hashes.SHA256())))


def _whole(card: Bench, algorithm: int, reference: int, tag: int, data: bytes) -> str:
    template = tlv.encode(0x7C, b"\x82\x00" + tlv.encode(tag, data))
    answer = b""
    for block in chain(CommandAPDU(0, 0x87, algorithm, reference, template, 256)):
        answer = bytes.fromhex(card.send(encode_command(block)))
    whole = answer[:-2]
    while answer[-2] == 0x61:
        answer = bytes.fromhex(card.send("00C00000", answer[-1:]))
        whole += answer[:-2]
    return (whole + answer[-2:]).hex().upper()


def test_rsa_2048_goes_by_a_chain_and_comes_back_in_two_parts(rsa_2048: rsa.RSAPrivateKey) -> None:
    card = bench({0x9A: rsa_2048})
    card.send(VERIFY)
    info = bytes.fromhex("3031300d060960864801650304020105000420") + DIGEST
    block = b"\x00\x01" + b"\xff" * (256 - len(info) - 3) + b"\x00" + info
    body = bytes.fromhex("7C82010682008182 0100") + block
    assert card.send("1087079A FF", body[:255]) == "9000"
    first = card.send("0087079A 0B", body[255:], "00")
    assert first[-4:] == "6108"
    assert first[:16] == "7C82010482820100"
    rest = card.send("00C00000 08")
    assert rest[-4:] == "9000"
    signature = bytes.fromhex(first[16:-4] + rest[:-4])
    rsa_2048.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


def test_rsa_3072_goes_by_an_extended_command(rsa_3072: rsa.RSAPrivateKey) -> None:
    card = bench({0x9A: rsa_3072})
    card.send(VERIFY)
    body = bytes.fromhex("7C82018682008182 0180") + b"\x00" + bytes(range(256)) + bytes(127)
    answer = card.send("0087059A 00018A", body, "0000")
    assert answer[:16] == "7C82018482820180"
    raised = pow(int(answer[16:-4], 16), 65537, rsa_3072.public_key().public_numbers().n)
    assert raised.to_bytes(384, "big") == body[10:]


@pytest.mark.parametrize("reference", [0x9D, 0x82, 0x95])
def test_rsa_deciphers_with_the_padding_still_on(rsa_2048: rsa.RSAPrivateKey, reference: int) -> None:
    card = bench({reference: rsa_2048})
    card.send(VERIFY)
    ciphertext = rsa_2048.public_key().encrypt(b"content key", padding.PKCS1v15())
    block = _response(_whole(card, 0x07, reference, 0x81, ciphertext))
    assert block[:2] == b"\x00\x02"
    assert block.endswith(b"\x00content key")


@pytest.mark.parametrize("change", ["one byte less", "one byte more", "not below the modulus"])
def test_a_block_that_does_not_fit_the_modulus_is_refused(rsa_2048: rsa.RSAPrivateKey, change: str) -> None:
    card = bench({0x9D: rsa_2048})
    card.send(VERIFY)
    block = rsa_2048.public_key().public_numbers().n.to_bytes(256, "big")
    blocks = {"one byte less": block[1:], "one byte more": b"\x00" + block, "not below the modulus": block}
    assert _whole(card, 0x07, 0x9D, 0x81, blocks[change]) == "6A80"


@pytest.mark.parametrize(("algorithm", "curve"), [(0x11, ec.SECP256R1()), (0x14, ec.SECP384R1())])
@pytest.mark.parametrize("reference", [0x9D, 0x82])
def test_key_agreement_gives_the_x_coordinate(algorithm: int, curve: ec.EllipticCurve, reference: int) -> None:
    own, peer = ec.generate_private_key(curve), ec.generate_private_key(curve)
    card = bench({reference: own})
    card.send(VERIFY)
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = _response(_whole(card, algorithm, reference, 0x85, point))
    assert shared == peer.exchange(ec.ECDH(), own.public_key())


@pytest.mark.parametrize("change", ["off the curve", "compressed", "cut off", "of another curve", "infinity"])
def test_a_point_that_is_not_on_the_curve_is_refused(card: Bench, change: str) -> None:
    card.send(VERIFY)
    peer = p256().public_key()
    point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    points = {
        "off the curve": point[:-1] + bytes([point[-1] ^ 1]),
        "compressed": peer.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        "cut off": point[:-1],
        "of another curve": p384().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "infinity": b"\x00",
    }
    assert _whole(card, 0x11, 0x9D, 0x85, points[change]) == "6A80"


@pytest.mark.parametrize("reference", [0x9A, 0x9C, 0x9D, 0x82])
def test_a_key_wants_the_pin(card: Bench, reference: int) -> None:
    assert _whole(card, 0x11, reference, 0x81, DIGEST) == "6982"


def test_the_card_authentication_key_wants_nothing(card: Bench) -> None:
    assert _response(card.send(SIGN_9E))


def test_one_pin_is_good_for_many_uses_of_the_authentication_key(card: Bench) -> None:
    card.send(VERIFY)
    assert [card.send(SIGN_9A)[-4:] for _ in range(3)] == ["9000"] * 3


def test_one_pin_is_good_for_one_use_of_the_signature_key(card: Bench) -> None:
    card.send(VERIFY)
    assert card.send(SIGN_9C)[-4:] == "9000"
    assert card.send(SIGN_9C) == "6982"
    assert card.send(SIGN_9A)[-4:] == "9000"  # the session's PIN is still there
    card.send(VERIFY)
    assert card.send(SIGN_9C)[-4:] == "9000"


@pytest.mark.parametrize(
    "between",
    [
        STATUS,
        GET_DISCOVERY,
        SIGN_9A,
        SIGN_9E,
        "00A4040005A000000308",
        "00FD000000",
        "0020FF80",
        "002C0080 10" + PUK_BLOCK + PIN_BLOCK,
        "00240080 10" + PIN_BLOCK + NEW_PIN_BLOCK,
        "0087119C 02 7C00",  # a failed attempt is an attempt
        "0087149C 02 7C00",  # so is one with the wrong algorithm
        "80000000",
    ],
)
def test_any_other_command_ends_the_signature_keys_pin(card: Bench, between: str) -> None:
    card.send(VERIFY)
    card.send(between)
    assert card.send(SIGN_9C) == "6982"


def test_the_signature_key_signs_by_a_chain(rsa_2048: rsa.RSAPrivateKey) -> None:
    card = bench({0x9C: rsa_2048})
    card.send(VERIFY)
    assert _whole(card, 0x07, 0x9C, 0x81, bytes(255) + b"\x02").endswith("9000")
    assert _whole(card, 0x07, 0x9C, 0x81, bytes(255) + b"\x02") == "6982"


def test_a_reset_ends_the_pin_for_all_keys(card: Bench) -> None:
    card.send(VERIFY)
    card.applet.reset()
    assert card.send(SIGN_9A) == "6982"
    assert card.send(SIGN_9C) == "6982"


@pytest.mark.parametrize(
    "command",
    [
        "0087149A 26 7C2482008120" + DIGEST.hex(),  # P-384 on a P-256 key
        "0087079A 26 7C2482008120" + DIGEST.hex(),
        "0087009A 26 7C2482008120" + DIGEST.hex(),
        "00871183 26 7C2482008120" + DIGEST.hex(),  # an empty slot
        "00871104 26 7C2482008120" + DIGEST.hex(),
        "008711F9 26 7C2482008120" + DIGEST.hex(),
        "00871180 26 7C2482008120" + DIGEST.hex(),
    ],
)
def test_another_algorithm_or_key_is_refused(card: Bench, command: str) -> None:
    card.send(VERIFY)
    assert card.send(command) == "6A86"


@pytest.mark.parametrize(
    "template",
    [
        "",
        "7C00",
        "7C028200",
        "7C028100",  # no response asked for
        "7C048200 8100",  # nothing to sign
        "7C058200 8101 00 00",  # bytes behind
        "7C078201 00 8102 0000",  # a response that is not empty
        "7C0A8200 8102 0000 8502 0000",
        "7C098200 8200 8103 000000",  # a tag twice
        "7D068200 8102 0000",
        "7C068200 8002 0000",
        "7C068200 8402 0000",
    ],
)
def test_a_malformed_template_is_refused(card: Bench, template: str) -> None:
    card.send(VERIFY)
    data = bytes.fromhex(template)
    assert card.send("0087119A", bytes([len(data)]) if data else b"", data) == "6A80"


@pytest.mark.parametrize("reference", [0x9A, 0x9C, 0x9E])
def test_signing_keys_agree_on_nothing(card: Bench, reference: int) -> None:
    card.send(VERIFY)
    point = p256().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert _whole(card, 0x11, reference, 0x85, point) == "6A80"


def test_rsa_keys_agree_on_nothing(rsa_2048: rsa.RSAPrivateKey) -> None:
    card = bench({0x9D: rsa_2048})
    card.send(VERIFY)
    assert _whole(card, 0x07, 0x9D, 0x85, bytes(256)) == "6A80"


def test_the_key_management_key_signs_its_request_and_a_retired_one_does_not(card: Bench) -> None:
    card.send(VERIFY)
    assert _whole(card, 0x11, 0x9D, 0x81, DIGEST).endswith("9000")
    assert _whole(card, 0x11, 0x82, 0x81, DIGEST) == "6A80"


def test_the_private_operation_is_right_for_every_kind_of_block(rsa_2048: rsa.RSAPrivateKey) -> None:
    numbers = rsa_2048.private_numbers()
    modulus = numbers.public_numbers.n
    for value in (0, 1, 2, numbers.p, numbers.q, modulus - 1, modulus // 3):
        found = rsa_private_operation(rsa_2048, value.to_bytes(256, "big"), SystemEntropy())
        assert int.from_bytes(found, "big") == pow(value, numbers.d, modulus)


class FixedEntropy:
    """Gives what it was told to, then random bytes."""

    def __init__(self, *values: bytes) -> None:
        self._values = list(values)
        self.drawn = 0

    def octets(self, count: int) -> bytes:
        self.drawn += 1
        return self._values.pop(0).rjust(count, b"\x00") if self._values else SystemEntropy().octets(count)


def test_every_operation_is_blinded_and_a_useless_blinding_is_drawn_again(rsa_2048: rsa.RSAPrivateKey) -> None:
    prime = rsa_2048.private_numbers().p
    entropy = FixedEntropy(b"\x00", b"\x01", prime.to_bytes(128, "big"))
    rsa_private_operation(rsa_2048, bytes(255) + b"\x05", entropy)
    assert entropy.drawn == 4


class FaultyKey:
    """An RSA key whose second prime's exponent went wrong in memory: the classic fault on the CRT."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        right = self._key.private_numbers()
        return rsa.RSAPrivateNumbers(
            right.p, right.q, right.d, right.dmp1, right.dmq1 ^ 2, right.iqmp, right.public_numbers
        )


def test_a_fault_is_noticed_before_anything_is_answered(rsa_2048: rsa.RSAPrivateKey) -> None:
    faulty = FaultyKey(rsa_2048)
    with pytest.raises(FaultDetected):
        rsa_private_operation(faulty, bytes(255) + b"\x05", SystemEntropy())  # type: ignore[arg-type] # broken on purpose
