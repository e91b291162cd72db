# SPDX-License-Identifier: Apache-2.0
"""A PIV client: reads a card, shows the PIN, signs, deciphers, and writes as its issuer (SP 800-73-5 part 2).

Commands are short APDUs with chaining and GET RESPONSE, which every card understands.
"""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card import certificates, management_key, public_keys
from etymon.card.errors import (
    CardError,
    CardNotPermitted,
    CardObjectNotFound,
    CardUnavailable,
    PINBlocked,
    WrongPIN,
)
from etymon.card.private_keys import CardPublicKey
from etymon.card.reference_values import pin_block, puk_block
from etymon.card.state import ManagementKey
from etymon.card.transport import CardTransport
from etymon.kernel.entropy import Entropy, SystemEntropy
from etymon.kernel.secret import Secret, same
from etymon.wire import piv_objects, tlv
from etymon.wire.apdu import (
    SHORT_ANSWER_BYTES,
    CommandAPDU,
    Instruction,
    ResponseAPDU,
    StatusWord,
    chain,
    decode_response,
    encode_command,
)
from etymon.wire.piv import (
    APPLICATION_ID,
    CERTIFICATE_TAGS,
    CONTENT,
    UNWRAPPED_TAGS,
    Algorithm,
    KeyReference,
    ObjectTag,
)

ANSWER_LIMIT_BYTES: Final = 65_536

_TEMPLATE: Final = 0x7C
_WITNESS: Final = 0x80
_CHALLENGE: Final = 0x81
_RESPONSE: Final = 0x82
_EXPONENTIATION: Final = 0x85
_TAG_LIST: Final = 0x5C
_TRIES_MASK: Final = 0xFFF0


class PIVClient:
    """Speaks to one card over a transport. Errors carry the card's status word, and the tries left where known."""

    def __init__(self, transport: CardTransport, entropy: Entropy | None = None) -> None:
        self._transport = transport
        self.entropy: Entropy = entropy or SystemEntropy()

    def select(self) -> bytes:
        """Select the PIV application; returns its property template."""
        name = APPLICATION_ID[:9]
        return self._command(CommandAPDU(0, Instruction.SELECT, 0x04, 0, name, SHORT_ANSWER_BYTES))

    def read_object(self, tag: int) -> bytes:
        """Return a data object's content: what stands inside `53`, `7E` or `7F61`."""
        asked = tlv.encode(_TAG_LIST, tag.to_bytes((tag.bit_length() + 7) // 8, "big"))
        answer = self._command(CommandAPDU(0, Instruction.GET_DATA, 0x3F, 0xFF, asked, SHORT_ANSWER_BYTES))
        return tlv.unwrap(answer, tag if tag in UNWRAPPED_TAGS else CONTENT)

    def read_certificate(self, slot: int) -> x509.Certificate:
        """Return the certificate of a key; `CardObjectNotFound` when there is none."""
        content = self.read_object(CERTIFICATE_TAGS[slot])
        if not content:
            raise CardObjectNotFound(
                detail="The card holds no certificate for this key.", status_word=StatusWord.SUCCESS
            )
        return certificates.read(piv_objects.decode_certificate(content))

    def read_chuid(self) -> piv_objects.CHUID:
        """Return the cardholder unique identifier; its signature is not checked here."""
        return piv_objects.decode_chuid(self.read_object(ObjectTag.CHUID))

    def verify_pin(self, pin: Secret[str]) -> None:
        """Show the PIN, once."""
        block = pin_block(pin).reveal()
        self._command(CommandAPDU(0, Instruction.VERIFY, 0, KeyReference.PIN, block))

    def tries_left(self) -> int | None:
        """Return the tries left for the PIN, 0 when blocked; None while the PIN is verified (the card won't say)."""
        answer = self._exchange(CommandAPDU(0, Instruction.VERIFY, 0, KeyReference.PIN))
        if answer.status_word == StatusWord.SUCCESS:
            return None
        if answer.status_word == StatusWord.AUTHENTICATION_METHOD_BLOCKED:
            return 0
        if answer.status_word & _TRIES_MASK == StatusWord.TRIES_REMAINING:
            return answer.status_word & 0xF
        raise _error(answer.status_word)

    def change_pin(self, present: Secret[str], new: Secret[str]) -> None:
        """Replace the PIN."""
        blocks = pin_block(present).reveal() + pin_block(new).reveal()
        self._command(CommandAPDU(0, Instruction.CHANGE_REFERENCE_DATA, 0, KeyReference.PIN, blocks))

    def change_puk(self, present: Secret[str], new: Secret[str]) -> None:
        """Replace the PUK."""
        blocks = puk_block(present).reveal() + puk_block(new).reveal()
        self._command(CommandAPDU(0, Instruction.CHANGE_REFERENCE_DATA, 0, KeyReference.PUK, blocks))

    def reset_retry_counter(self, puk: Secret[str], new_pin: Secret[str]) -> None:
        """Set a new PIN with the PUK."""
        blocks = puk_block(puk).reveal() + pin_block(new_pin).reveal()
        self._command(CommandAPDU(0, Instruction.RESET_RETRY_COUNTER, 0, KeyReference.PIN, blocks))

    def sign(self, slot: int, algorithm: Algorithm, data: bytes) -> bytes:
        """Return the card's signature over a digest (EC; DER) or a padded block as long as the modulus (RSA)."""
        return self._use(slot, algorithm, _CHALLENGE, data)

    def decipher(self, slot: int, algorithm: Algorithm, ciphertext: bytes) -> bytes:
        """Return an RSA ciphertext deciphered, with its padding still on; `host_padding` takes it off."""
        return self._use(slot, algorithm, _CHALLENGE, ciphertext)

    def key_agreement(self, slot: int, algorithm: Algorithm, point: bytes) -> bytes:
        """Return the ECDH shared secret with an uncompressed point."""
        return self._use(slot, algorithm, _EXPONENTIATION, point)

    def authenticate_management(self, key: ManagementKey) -> None:
        """Show the card management key, and see that the card knows it as well."""
        witness = self._authenticate(KeyReference.MANAGEMENT, key.algorithm, {_WITNESS: b""}, _WITNESS)
        challenge = self.entropy.octets(management_key.block_bytes(key))
        if len(witness) != len(challenge):
            raise CardUnavailable("card_witness", "The card's challenge does not fit the management key.")
        asked = {_WITNESS: management_key.decrypt(key, witness), _CHALLENGE: challenge, _RESPONSE: b""}
        answer = self._authenticate(KeyReference.MANAGEMENT, key.algorithm, asked, _RESPONSE)
        if not same(answer, management_key.encrypt(key, challenge)):
            raise CardUnavailable("card_not_genuine", "The card does not know its management key.")

    def generate_key(self, slot: int, algorithm: Algorithm) -> CardPublicKey:
        """Have the card make a key pair; needs the management key."""
        asked = tlv.encode(0xAC, tlv.encode(0x80, bytes([algorithm])))
        instruction = Instruction.GENERATE_ASYMMETRIC_KEY_PAIR
        answer = self._command(CommandAPDU(0, instruction, 0, slot, asked, SHORT_ANSWER_BYTES))
        return public_keys.decode(answer, algorithm)

    def put_object(self, tag: int, content: bytes) -> None:
        """Replace a data object's content; needs the management key."""
        if tag in UNWRAPPED_TAGS:
            data = tlv.encode(tag, content)
        else:
            data = tlv.encode(_TAG_LIST, tag.to_bytes(3, "big")) + tlv.encode(CONTENT, content)
        self._command(CommandAPDU(0, Instruction.PUT_DATA, 0x3F, 0xFF, data))

    def put_certificate(self, slot: int, certificate: x509.Certificate) -> None:
        """Write the certificate of a key."""
        der = certificate.public_bytes(Encoding.DER)
        self.put_object(CERTIFICATE_TAGS[slot], piv_objects.encode_certificate(der))

    def _use(self, slot: int, algorithm: Algorithm, tag: int, data: bytes) -> bytes:
        return self._authenticate(slot, algorithm, {_RESPONSE: b"", tag: data}, _RESPONSE)

    def _authenticate(self, slot: int, algorithm: Algorithm, asked: dict[int, bytes], wanted: int) -> bytes:
        template = tlv.encode(_TEMPLATE, tlv.encode_all(tlv.TLV(tag, value) for tag, value in asked.items()))
        instruction = Instruction.GENERAL_AUTHENTICATE
        answer = self._command(CommandAPDU(0, instruction, algorithm, slot, template, SHORT_ANSWER_BYTES))
        return tlv.unwrap(tlv.unwrap(answer, _TEMPLATE), wanted)

    def _command(self, command: CommandAPDU) -> bytes:
        answer = self._exchange(command)
        if answer.status_word != StatusWord.SUCCESS:
            raise _error(answer.status_word)
        return answer.data

    def _exchange(self, command: CommandAPDU) -> ResponseAPDU:
        *begun, last = chain(command)
        for block in begun:
            answer = self._transmit(block)
            if answer.status_word != StatusWord.SUCCESS:
                return answer
        answer = self._transmit(last)
        data = answer.data
        while answer.status_word & 0xFF00 == StatusWord.BYTES_REMAINING:
            more = answer.status_word & 0xFF or SHORT_ANSWER_BYTES
            answer = self._transmit(CommandAPDU(0, Instruction.GET_RESPONSE, 0, 0, answer_bytes=more))
            data += answer.data
            if len(data) > ANSWER_LIMIT_BYTES or not answer.data:
                raise CardUnavailable("card_answer", "The card's answer does not come to an end.")
        return ResponseAPDU(data, answer.status_word)

    def _transmit(self, command: CommandAPDU) -> ResponseAPDU:
        return decode_response(self._transport.transmit(encode_command(command)))


def _error(status_word: int) -> CardError:
    if status_word & _TRIES_MASK == StatusWord.TRIES_REMAINING:
        left = status_word & 0xF
        tries = "1 try is left" if left == 1 else f"{left} tries are left"
        return WrongPIN(detail=f"The PIN or PUK is wrong; {tries}.", status_word=status_word, tries_left=left)
    if status_word == StatusWord.AUTHENTICATION_METHOD_BLOCKED:
        return PINBlocked(
            detail="No tries are left. Reset the PIN with the PUK.", status_word=status_word, tries_left=0
        )
    if status_word == StatusWord.SECURITY_STATUS_NOT_SATISFIED:
        return CardNotPermitted(detail="Show the PIN or the management key first.", status_word=status_word)
    if status_word in {StatusWord.NOT_FOUND, StatusWord.REFERENCE_NOT_FOUND}:
        return CardObjectNotFound(detail="The card holds no such thing.", status_word=status_word)
    return CardError(detail="The card refused the command.", status_word=status_word)
