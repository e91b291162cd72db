# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token in trouble: lost, unplugged, silent, with a wrong PIN. It is told, survived, and nothing is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from pkcs11 import TokenFlag

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.signer import checked_signature
from etymon.pki.token_keys import TokenCipher, TokenKeys
from etymon.pki.token_workers import WORKERS
from support import patience
from support.tokens import (
    DEVICE_ERROR,
    DEVICE_REMOVED,
    FAULT_SHIM_PROGRAMS,
    SESSION_HANDLE_INVALID,
    TOKEN_NOT_PRESENT,
    USER_NOT_LOGGED_IN,
    Faults,
    TestToken,
    Tokens,
)

pytestmark = pytest.mark.needs("softhsm2-util")

TBS = b"to be signed"
WRONG = Secret("not the pin")
LOST = (SESSION_HANDLE_INVALID, DEVICE_REMOVED, TOKEN_NOT_PRESENT, USER_NOT_LOGGED_IN, DEVICE_ERROR)
GONE = "token_not_present|token_key_missing"  # SoftHSM may show a token whose files are gone, without its keys


@pytest.fixture
def token(tokens: Tokens) -> TestToken:
    return tokens.make()


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_a_refused_pin_is_sent_once(faulty: TestToken, faults: Faults) -> None:
    before = faults.logins
    for token in (faulty.open(WRONG), faulty.open(WRONG)):  # the second is the process started again
        for _ in range(3):
            with pytest.raises(Unavailable, match="token_pin_refused"):
                TokenKeys(token).find("derived")
    assert faults.logins == before + 1
    assert WRONG.reveal() not in faulty.refused.file.read_text()
    TokenKeys(faulty.open()).generate("derived", KeyType.P256)
    assert not faulty.refused.file.exists()


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
@pytest.mark.parametrize("flag", [TokenFlag.USER_PIN_LOCKED, TokenFlag.USER_PIN_FINAL_TRY])
def test_the_last_try_of_a_pin_is_left_to_people(flag: TokenFlag, faulty: TestToken, faults: Faults) -> None:
    before = faults.logins
    with faults.flagged(flag), pytest.raises(Unavailable, match="token_pin_locked"):
        TokenKeys(faulty.open()).find("derived")
    assert faults.logins == before


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
@pytest.mark.parametrize("answer", LOST)
def test_a_session_that_is_lost_is_opened_again(answer: int, faulty: TestToken, faults: Faults) -> None:
    signer = TokenKeys(faulty.open()).generate("derived", KeyType.P256)
    checked_signature(signer, TBS)
    faults.fail(answer, 1)
    assert checked_signature(signer, TBS)
    faults.fail(answer, 2)  # and once more: then it is told
    with pytest.raises(Unavailable, match="token_failed"):
        signer.sign(TBS)
    assert checked_signature(signer, TBS)


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
@pytest.mark.parametrize("kind", [KeyType.RSA2048, KeyType.P384])
def test_a_lost_session_is_survived_by_keys_of_other_kinds(kind: KeyType, faulty: TestToken, faults: Faults) -> None:
    signer = TokenKeys(faulty.open()).generate("derived", kind)
    for answer in LOST:
        faults.fail(answer, 1)
        assert checked_signature(signer, TBS)
        faults.fail(answer, 2)
        with pytest.raises(Unavailable, match="token_failed"):
            signer.sign(TBS)
    with faults.unplugged(faulty.slot), pytest.raises(Unavailable, match="token_not_present"):
        signer.sign(TBS)
    assert checked_signature(signer, TBS)


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_a_lost_session_loses_nothing_that_is_enciphered_and_blames_no_ciphertext(
    faulty: TestToken, faults: Faults
) -> None:
    cipher = TokenCipher(faulty.open(), "escrow")
    cipher.generate(b"an identifier")
    plain = Secret(b"a private key" * 100)
    enciphered = cipher.encrypt(bytes(12), plain, b"context")
    for answer in LOST:
        for times in (1, 2):  # while it is deciphered, and while it is looked whether the key still works
            faults.fail(answer, times)
            assert cipher.decrypt(bytes(12), enciphered, b"context") == plain, (answer, times)
        faults.fail(answer, 1)
        assert cipher.encrypt(bytes(12), plain, b"context") == enciphered
        faults.fail(answer, 4)
        with pytest.raises(Unavailable, match="token_failed"):
            cipher.decrypt(bytes(12), enciphered, b"context")
        faults.fail(answer, 2)
        with pytest.raises(Unavailable, match="token_failed"):
            cipher.encrypt(bytes(12), plain, b"context")
    with faults.unplugged(faulty.slot):
        for ask in (
            lambda: cipher.encrypt(bytes(12), plain, b"context"),
            lambda: cipher.decrypt(bytes(12), enciphered, b"context"),
        ):
            with pytest.raises(Unavailable, match="token_not_present"):
                ask()
    assert cipher.decrypt(bytes(12), enciphered, b"context") == plain


def test_whoever_closes_all_sessions_does_not_stop_the_others(token: TestToken) -> None:
    signer = TokenKeys(token.open()).generate("derived", KeyType.P256)
    for _ in range(3):
        token.close_all_sessions()
        assert checked_signature(signer, TBS)


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_a_token_that_was_taken_away_is_told_and_works_again_when_it_is_back(faulty: TestToken, faults: Faults) -> None:
    signer = TokenKeys(faulty.open()).generate("derived", KeyType.RSA2048)
    with faults.unplugged(faulty.slot):
        for _ in range(3):
            with pytest.raises(Unavailable, match="token_not_present"):
                signer.sign(TBS)
    assert checked_signature(signer, TBS)


def test_a_token_whose_files_are_gone_is_told_whatever_is_asked_of_it(token: TestToken) -> None:
    opened = token.open()
    signer, cipher = TokenKeys(opened).generate("derived", KeyType.P256), TokenCipher(opened, "escrow")
    cipher.generate(b"an identifier")
    enciphered = cipher.encrypt(bytes(12), Secret(b"key"), b"context")
    token.lose()
    for ask in (lambda: signer.sign(TBS), lambda: cipher.decrypt(bytes(12), enciphered, b"context")):
        with pytest.raises(Unavailable, match=GONE):
            ask()


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_a_token_that_is_silent_keeps_nobody_and_works_again_when_it_speaks(faulty: TestToken, faults: Faults) -> None:
    signer = TokenKeys(faulty.open(limit_seconds=0.2)).generate("derived", KeyType.P256)
    with faults.hanging():
        for _ in range(WORKERS):
            with pytest.raises(Unavailable, match="token_silent"):
                signer.sign(TBS)
        before = monotonic()
        for _ in range(20):
            with pytest.raises(Unavailable, match="token_silent"):
                signer.sign(TBS)
        assert monotonic() - before < 0.2, "nobody waits once every session hangs"

    def speaks() -> bool:
        try:
            return bool(checked_signature(signer, TBS))
        except Unavailable:
            return False

    patience.until(speaks, "the token speaks")
    assert threading.active_count() < 100


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_many_threads_sign_at_once_with_a_few_sessions_and_one_login(faulty: TestToken, faults: Faults) -> None:
    before = faults.logins
    signer = TokenKeys(faulty.open()).generate("derived", KeyType.P256)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda number: checked_signature(signer, b"%d" % number), range(200)))
    assert faults.logins == before + 1
    assert faults.initializations == 1


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_whoever_only_looks_is_told_soon_whether_the_token_is_there(faulty: TestToken, faults: Faults) -> None:
    opened = faulty.open(limit_seconds=0.2)
    opened.require_reachable()
    with faults.unplugged(faulty.slot), pytest.raises(Unavailable, match="token_not_present"):
        opened.require_reachable()
    opened.require_reachable()
    with faults.hanging(), pytest.raises(Unavailable, match="token_silent"):
        opened.require_reachable()
