# SPDX-License-Identifier: Apache-2.0
"""Keys in a PKCS#11 token: they sign as software keys do, never leave it, and its troubles are told and survived."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, MechanismFlag

from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki import cryptoki
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import spki_sha256
from etymon.pki.cryptoki import TokenChoice
from etymon.pki.signer import checked_signature
from etymon.pki.token import OpenSession
from etymon.pki.token_keys import TokenCipher, TokenKeys
from support.tokens import (
    TestToken,
    Tokens,
)

pytestmark = pytest.mark.needs("softhsm2-util")

TBS = b"to be signed"


@pytest.fixture
def token(tokens: Tokens) -> TestToken:
    return tokens.make()


@pytest.fixture(scope="module")
def filled(tokens: Tokens) -> TestToken:
    """A token with a key of every kind."""
    made = tokens.make()
    keys = TokenKeys(made.open())
    for kind in KeyType:
        keys.generate(kind.value, kind)
    return made


@pytest.mark.parametrize("kind", list(KeyType))
def test_a_key_of_a_token_signs_and_is_found_again(kind: KeyType, filled: TestToken) -> None:
    found = TokenKeys(filled.open())[kind.value]
    assert checked_signature(found, TBS)
    assert found.public_key == TokenKeys(filled.open())[kind.value].public_key


def test_keys_are_listed_by_name_and_no_other_is_found(filled: TestToken) -> None:
    keys = TokenKeys(filled.open())
    assert list(keys) == sorted(kind.value for kind in KeyType)
    assert (len(keys), "other" in keys, keys.find("other")) == (len(KeyType), False, None)
    with pytest.raises(NotFound):
        keys.find("../p256")


@pytest.mark.needs("pkcs11-tool")
def test_a_judge_sees_that_keys_were_made_inside_and_never_can_leave(filled: TestToken) -> None:
    private = {shown["label"]: shown for shown in filled.objects("privkey")}
    assert private.keys() == {kind.value for kind in KeyType}
    for name, shown in private.items():
        assert shown["Access"] == "sensitive, always sensitive, never extractable, local", name
        assert shown["Usage"] == "sign", name
        assert shown["ID"] == spki_sha256(TokenKeys(filled.open())[name].public_key).hex(), name


@pytest.mark.needs("pkcs11-tool", "openssl")
def test_openssl_verifies_what_the_token_signed(filled: TestToken, tmp_path: Path) -> None:
    for kind in (KeyType.RSA3072, KeyType.P384):
        signer = TokenKeys(filled.open())[kind.value]
        for name, octets in (
            ("tbs", TBS),
            ("signature", signer.sign(TBS)),
            ("key", signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        ):
            (tmp_path / name).write_bytes(octets)
        digest = signer.algorithm.hash().name
        judged = ["openssl", "dgst", f"-{digest}", "-verify", "key", "-signature", "signature", "tbs"]
        assert subprocess.check_output(judged, cwd=tmp_path, timeout=60) == b"Verified OK\n"


def test_a_key_is_never_made_twice(token: TestToken) -> None:
    first = TokenKeys(token.open()).generate("derived", KeyType.P256)
    other = TokenKeys(token.open())
    with pytest.raises(Conflict, match="key_exists"):
        other.generate("derived", KeyType.P256)
    assert other["derived"].public_key == first.public_key


def test_of_many_who_make_a_key_at_once_one_has_it(token: TestToken) -> None:
    opened = token.open()

    def make(_: int) -> bool:
        try:
            return bool(TokenKeys(opened).generate("derived", KeyType.P256))
        except Conflict:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(make, range(4))) == 1
    assert checked_signature(TokenKeys(token.open())["derived"], TBS)


def test_a_key_that_was_half_made_gets_its_id_at_the_next_look(token: TestToken) -> None:
    _plant(token, {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True})
    signer = TokenKeys(token.open())["derived"]
    assert checked_signature(signer, TBS)


@pytest.mark.parametrize("weakness", [{Attribute.EXTRACTABLE: True}, {Attribute.SENSITIVE: False}])
def test_a_key_that_could_leave_the_token_is_not_used(token: TestToken, weakness: dict[Attribute, bool]) -> None:
    _plant(token, {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True, **weakness})
    with pytest.raises(Unavailable, match="token_key_not_protected"):
        TokenKeys(token.open()).find("derived")


def test_two_keys_of_a_name_are_not_guessed_at(token: TestToken) -> None:
    for _ in range(2):
        _plant(token, {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True})
    with pytest.raises(Unavailable, match="token_key_ambiguous"):
        TokenKeys(token.open()).find("derived")


def _plant(token: TestToken, template: dict[Attribute, bool]) -> None:
    def act(opened: OpenSession) -> None:
        uses = MechanismFlag.SIGN | MechanismFlag.VERIFY
        opened.open.generate_keypair(
            pkcs11.KeyType.RSA, 2048, capabilities=uses, private_template=template, label="derived", store=True
        )

    token.open().use(act)


def test_a_token_is_chosen_by_label_serial_and_slot(token: TestToken, tokens: Tokens) -> None:
    TokenKeys(token.open()).generate("derived", KeyType.P256)
    tokens.make(token.label)  # another one of the same label
    for choice in (TokenChoice(serial=token.serial), TokenChoice(token.label, token.serial, token.slot)):
        assert "derived" in TokenKeys(token.open(choice=choice))
    for choice, code in (
        (TokenChoice(token.label), "token_ambiguous"),
        (TokenChoice("elsewhere"), "token_not_present"),
        (TokenChoice(token.label, "00"), "token_not_present"),
        (TokenChoice(token.label, slot=99), "token_not_present"),
    ):
        with pytest.raises(Unavailable) as caught:
            TokenKeys(token.open(choice=choice)).find("derived")
        assert caught.value.code == code
    with pytest.raises(Malformed):
        TokenChoice()


def test_what_is_no_module_is_told(tmp_path: Path, token: TestToken) -> None:
    (tmp_path / "text.so").write_text("no module")
    for module in (tmp_path / "text.so", tmp_path / "nothing.so", Path("/lib/x86_64-linux-gnu/libz.so.1")):
        with pytest.raises(Unavailable, match="token_module_unusable"):
            TokenKeys(token.with_module(module).open()).find("derived")


def test_a_process_that_was_forked_signs_and_leaves_the_parents_sessions_alone(token: TestToken) -> None:
    signer = TokenKeys(token.open()).generate("derived", KeyType.P256)
    checked_signature(signer, TBS)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        status = 1
        try:
            status = 0 if checked_signature(signer, TBS) else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert checked_signature(signer, TBS)


def test_a_cipher_key_opens_what_it_enciphered_in_its_context_alone(token: TestToken) -> None:
    cipher = TokenCipher(token.open(), "escrow")
    assert not cipher.exists()
    with pytest.raises(EtymonError, match="token_key_missing"):
        cipher.encrypt(bytes(12), Secret(b"key"), b"context")
    cipher.generate(b"an identifier")
    with pytest.raises(Conflict, match="key_exists"):
        TokenCipher(token.open(), "escrow").generate(b"another")
    again = TokenCipher(token.open(), "escrow")
    assert (again.exists(), again.identifier()) == (True, b"an identifier")
    enciphered = cipher.encrypt(bytes(12), Secret(b"key" * 500), b"context")
    opened = again.decrypt(bytes(12), enciphered, b"context")
    assert opened is not None
    assert opened.reveal() == b"key" * 500
    for nonce, ciphertext, context in (
        (bytes(12), enciphered, b"other"),
        (b"n" * 12, enciphered, b"context"),
        (bytes(12), enciphered[:-1], b"context"),
        (bytes(12), b"", b"context"),
    ):
        assert again.decrypt(nonce, ciphertext, context) is None


@pytest.mark.needs("pkcs11-tool")
def test_a_judge_sees_that_the_cipher_key_never_can_leave(token: TestToken) -> None:
    TokenCipher(token.open(), "escrow").generate(b"an identifier")
    (shown,) = token.objects("secrkey")
    assert shown["Access"] == "sensitive, always sensitive, never extractable, local"
    assert shown["Usage"] == "encrypt, decrypt"


def test_a_module_is_initialised_for_several_threads(tokens: Tokens) -> None:
    """With the library's own way SoftHSM runs without a lock; a thread that collides ends the process."""
    assert cryptoki.library(tokens.module) is cryptoki.library(tokens.module)
    assert not cryptoki.library(tokens.module).initialized
