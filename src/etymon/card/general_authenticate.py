# SPDX-License-Identifier: Apache-2.0
"""GENERAL AUTHENTICATE: signing, deciphering, key agreement and the card management key.

Source: SP 800-73-5 part 2 §3.2.4 and appendix A; key use conditions of part 1 table 4.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.card import management_key
from etymon.card.private_keys import (
    CardPrivateKey,
    FaultDetected,
    algorithm_of,
    ecdh,
    ecdsa_sign,
    rsa_private_operation,
)
from etymon.card.session import CardSession, ChallengeKind, CommandRefused, PendingChallenge
from etymon.kernel.errors import DecodeError, Malformed
from etymon.kernel.secret import same
from etymon.wire import tlv
from etymon.wire.apdu import CommandAPDU, StatusWord
from etymon.wire.piv import RETIRED_KEY_MANAGEMENT, Algorithm, KeyReference

TEMPLATE: Final = 0x7C
WITNESS: Final = 0x80
CHALLENGE: Final = 0x81
RESPONSE: Final = 0x82
EXPONENTIATION: Final = 0x85

_RANDOM_BYTES: Final = 8


def general_authenticate(session: CardSession, command: CommandAPDU) -> bytes:
    """Use the key that P2 names in the way the template asks for."""
    just_verified, session.pin_just_verified = session.pin_just_verified, False
    pending, session.pending_challenge = session.pending_challenge, None
    if command.p2 == KeyReference.MANAGEMENT:
        return _management(session, command, pending)
    key = session.state.keys.get(command.p2)
    if key is None or command.p1 != algorithm_of(key):
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    _require_pin(session, command.p2, just_verified=just_verified)
    try:
        answer = _use(session, command.p2, key, _template(command.data))
    except Malformed as exc:
        raise CommandRefused(StatusWord.INCORRECT_DATA) from exc
    except FaultDetected as exc:
        raise CommandRefused(StatusWord.NO_PRECISE_DIAGNOSIS) from exc
    return _answer(RESPONSE, answer)


def _require_pin(session: CardSession, reference: int, *, just_verified: bool) -> None:
    if reference == KeyReference.CARD_AUTHENTICATION:
        return
    satisfied = just_verified if reference == KeyReference.SIGNATURE else session.pin_verified
    if not satisfied:
        raise CommandRefused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)


def _use(session: CardSession, reference: int, key: CardPrivateKey, asked: Mapping[int, bytes]) -> bytes:
    decrypts = reference == KeyReference.KEY_MANAGEMENT or reference in RETIRED_KEY_MANAGEMENT
    if asked.get(RESPONSE) != b"":
        raise Malformed("template", "The template asks for no response.")
    if asked.keys() == {RESPONSE, EXPONENTIATION} and decrypts and not isinstance(key, rsa.RSAPrivateKey):
        return ecdh(key, asked[EXPONENTIATION])
    if asked.keys() != {RESPONSE, CHALLENGE}:
        raise Malformed("template", "The template asks for what this key does not do.")
    if isinstance(key, rsa.RSAPrivateKey):
        return rsa_private_operation(key, asked[CHALLENGE], session.entropy)
    if reference in RETIRED_KEY_MANAGEMENT:
        raise Malformed("template", "A retired key management key does not sign.")
    # 9D signs too: its certificate request proves possession with it.
    return ecdsa_sign(key, asked[CHALLENGE])


def _management(session: CardSession, command: CommandAPDU, pending: PendingChallenge | None) -> bytes:
    key = session.state.management_key
    try:
        asked = _template(command.data)
    except DecodeError as exc:
        raise CommandRefused(StatusWord.INCORRECT_DATA) from exc
    if command.p1 == Algorithm.TRIPLE_DES_DEFAULT and asked == {CHALLENGE: b""}:
        # Middleware asks for random numbers this way whatever the key's algorithm is; the answer authenticates
        # nobody unless the key is 3DES.
        value = session.entropy.octets(_RANDOM_BYTES)
        if key.algorithm is Algorithm.TRIPLE_DES:
            session.pending_challenge = PendingChallenge(ChallengeKind.CHALLENGE, value)
        return _answer(CHALLENGE, value)
    named = Algorithm.TRIPLE_DES if command.p1 == Algorithm.TRIPLE_DES_DEFAULT else command.p1
    if named != key.algorithm:
        raise CommandRefused(StatusWord.INCORRECT_PARAMETERS)
    if asked == {CHALLENGE: b""}:
        value = _fresh(session, ChallengeKind.CHALLENGE)
        return _answer(CHALLENGE, value)
    if asked == {WITNESS: b""}:
        value = _fresh(session, ChallengeKind.WITNESS)
        return _answer(WITNESS, management_key.encrypt(key, value))
    if asked.keys() == {RESPONSE}:
        _authenticate(session, pending, ChallengeKind.CHALLENGE, asked[RESPONSE])
        return b""
    if asked.keys() - {RESPONSE} == {WITNESS, CHALLENGE} and not asked.get(RESPONSE):
        if len(asked[CHALLENGE]) != management_key.block_bytes(key):
            raise CommandRefused(StatusWord.INCORRECT_DATA)
        _authenticate(session, pending, ChallengeKind.WITNESS, asked[WITNESS])
        return _answer(RESPONSE, management_key.encrypt(key, asked[CHALLENGE]))
    raise CommandRefused(StatusWord.INCORRECT_DATA)


def _authenticate(session: CardSession, pending: PendingChallenge | None, kind: ChallengeKind, answer: bytes) -> None:
    session.management_authenticated = False
    if pending is None or pending.kind is not kind:
        raise CommandRefused(StatusWord.CONDITIONS_NOT_SATISFIED)
    key = session.state.management_key
    expected = management_key.encrypt(key, pending.value) if kind is ChallengeKind.CHALLENGE else pending.value
    if not same(expected, answer):
        raise CommandRefused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)
    session.management_authenticated = True


def _fresh(session: CardSession, kind: ChallengeKind) -> bytes:
    value = session.entropy.octets(management_key.block_bytes(session.state.management_key))
    session.pending_challenge = PendingChallenge(kind, value)
    return value


def _answer(tag: int, value: bytes) -> bytes:
    return tlv.encode(TEMPLATE, tlv.encode(tag, value))


def _template(data: bytes) -> dict[int, bytes]:
    """Read a dynamic authentication template; each tag stands once, in any order."""
    found: dict[int, bytes] = {}
    for item in tlv.decode_all(tlv.unwrap(data, TEMPLATE)):
        if item.tag in found:
            raise DecodeError("template", "A tag of the template stands twice.")
        found[item.tag] = item.value
    return found
