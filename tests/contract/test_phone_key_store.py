# SPDX-License-Identifier: Apache-2.0
"""What every key store of the phone does, in software and in a PKCS#11 token."""

import base64
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from etymon.card.external_key import Padding, SignatureScheme, sign, usual_scheme
from etymon.kernel.errors import Conflict, Malformed, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.phone.key_store.activation import ActivationState, CredentialDestroyed, WrongActivationSecret
from etymon.phone.key_store.contract import EncryptionPadding, KeyHandle, WrappedKey
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.key_store.private_key import as_decrypting_key
from etymon.phone.key_store.store import KeyStore
from etymon.pki.algorithms import KeyType
from support.card_issuer import Authority, authority
from support.key_packages import KeyGenerator
from support.phone_keys import PIN, opened_key_store, self_signed
from support.programs import required

KINDS = (VaultKind.SOFTWARE, pytest.param(VaultKind.PKCS11, marks=pytest.mark.needs("softhsm2-util")))
WRONG = Secret("not the pin")

Opening = Callable[[], AbstractContextManager[KeyStore]]


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> VaultKind:
    return cast("VaultKind", request.param)


@pytest.fixture
def opening(kind: VaultKind, tmp_path: Path) -> Opening:
    """Opens the same store anew, as a phone that was stopped and starts."""
    return lambda: opened_key_store(tmp_path, kind)


@pytest.fixture
def store(opening: Opening) -> Iterator[KeyStore]:
    with opening() as store:
        yield store


def rsa_public_key(handle: KeyHandle) -> rsa.RSAPublicKey:
    assert isinstance(handle.public_key, rsa.RSAPublicKey)
    return handle.public_key


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("key_type", "scheme", "options"),
    [
        (KeyType.P256, SignatureScheme(hashes.SHA256()), []),
        (KeyType.P256, SignatureScheme(hashes.SHA384()), []),
        (KeyType.P384, SignatureScheme(hashes.SHA384()), []),
        (KeyType.RSA2048, SignatureScheme(hashes.SHA256()), []),
        (
            KeyType.RSA2048,
            SignatureScheme(hashes.SHA256(), Padding.PSS),
            ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"],
        ),
        (KeyType.RSA3072, SignatureScheme(hashes.SHA384()), []),
    ],
    ids=["p256-sha256", "p256-sha384", "p384-sha384", "rsa2048-pkcs1", "rsa2048-pss", "rsa3072-sha384"],
)
def test_openssl_verifies_what_a_handle_signs(
    store: KeyStore, tmp_path: Path, key_type: KeyType, scheme: SignatureScheme, options: list[str]
) -> None:
    handle = store.generate("signing", key_type, requires_activation=False)
    message, signature, public = tmp_path / "message", tmp_path / "signature", tmp_path / "public.pem"
    message.write_bytes(b"what was signed")
    signature.write_bytes(sign(handle, b"what was signed", scheme))
    public.write_bytes(handle.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    digest = f"-{scheme.hash.name}"
    command = ["dgst", digest, "-verify", str(public), "-signature", str(signature), *options, str(message)]
    judged = subprocess.run([required("openssl"), *command], capture_output=True, text=True, check=False)
    assert judged.stdout.strip() == "Verified OK", judged.stderr


def test_a_digest_of_another_length_is_refused(store: KeyStore) -> None:
    handle = store.generate("signing", KeyType.P256, requires_activation=False)
    with pytest.raises(Malformed, match="digest_length"):
        handle.sign_digest(bytes(20), usual_scheme(handle.public_key))


@pytest.mark.parametrize(
    ("chosen", "library"),
    [
        (EncryptionPadding.PKCS1V15, padding.PKCS1v15()),
        (EncryptionPadding.OAEP_SHA256, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)),
    ],
)
def test_an_rsa_handle_decrypts(store: KeyStore, chosen: EncryptionPadding, library: padding.AsymmetricPadding) -> None:
    handle = store.generate("opening", KeyType.RSA2048, requires_activation=False)
    ciphertext = rsa_public_key(handle).encrypt(b"a content key", library)
    assert handle.decrypt(ciphertext, chosen) == b"a content key"


def test_what_was_encrypted_to_another_key_is_refused(store: KeyStore) -> None:
    handle = store.generate("opening", KeyType.RSA2048, requires_activation=False)
    with pytest.raises(Malformed, match="not_decryptable"):
        handle.decrypt(b"\x01" * 256, EncryptionPadding.OAEP_SHA256)


def test_a_handle_that_the_library_takes_for_a_key_only_decrypts(store: KeyStore) -> None:
    taken = as_decrypting_key(store.generate("opening", KeyType.RSA2048, requires_activation=False))
    content = padding.PKCS1v15()
    assert taken.decrypt(taken.public_key().encrypt(b"a content key", content), content) == b"a content key"
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    with pytest.raises(NotPermitted, match="key_stays"):
        taken.decrypt(bytes(256), oaep)
    with pytest.raises(NotPermitted, match="key_stays"):
        taken.sign(b"x", content, hashes.SHA256())
    with pytest.raises(Malformed, match="external_key"):
        taken.private_numbers()
    with pytest.raises(Malformed, match="external_key"):
        taken.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(NotPermitted, match="wrong_key_type"):
        as_decrypting_key(store.generate("signing", KeyType.P256, requires_activation=False))


def test_an_activated_key_works_only_in_a_use_session(opening: Opening) -> None:
    with opening() as store:
        with store.activate(None):
            store.generate("derived", KeyType.P256, requires_activation=True)
            store.choose_activation_secret(PIN)
        handle = store.handle("derived")
        with pytest.raises(NotPermitted, match="activation_required"):
            sign(handle, b"m", usual_scheme(handle.public_key))
        with store.activate(PIN):
            sign(handle, b"m", usual_scheme(handle.public_key))
        with pytest.raises(NotPermitted, match="activation_required"):
            sign(handle, b"m", usual_scheme(handle.public_key))
    with opening() as store:
        with pytest.raises(Conflict, match="activation_secret_set"):
            store.activate(None)
        with store.activate(PIN):
            assert sign(store.handle("derived"), b"m", usual_scheme(handle.public_key))


def test_a_second_use_session_beside_the_first_is_refused(store: KeyStore) -> None:
    with store.activate(None), pytest.raises(Conflict, match="session_open"):
        store.activate(None)


def test_a_wrong_secret_is_counted_and_a_right_one_starts_anew(opening: Opening) -> None:
    with opening() as store:
        with store.activate(None):
            store.choose_activation_secret(PIN)
        with pytest.raises(WrongActivationSecret) as refused:
            store.activate(WRONG)
        assert refused.value.tries_left == 9
    with opening() as store:  # stopping the phone gives no tries back
        with pytest.raises(WrongActivationSecret) as refused:
            store.activate(WRONG)
        assert refused.value.tries_left == 8
        store.activate(PIN).close()
        assert store.activation().tries_left == 10


def test_the_tenth_wrong_secret_destroys_the_activated_keys_and_no_others(opening: Opening) -> None:
    with opening() as store:
        store.generate("identity", KeyType.P256, requires_activation=False)
        with store.activate(None):
            store.generate("derived", KeyType.P256, requires_activation=True)
            store.choose_activation_secret(PIN)
        for _ in range(9):
            with pytest.raises(WrongActivationSecret):
                store.activate(WRONG)
        with pytest.raises(CredentialDestroyed):
            store.activate(WRONG)
        assert store.entry("derived") is None
    with opening() as store:
        assert store.activation().state is ActivationState.DESTROYED
        with pytest.raises(CredentialDestroyed):
            store.activate(PIN)
        assert [entry.alias for entry in store.entries()] == ["identity"]
        assert sign(store.handle("identity"), b"m", SignatureScheme(hashes.SHA256()))
        store.reset_activation()
        with store.activate(None):
            store.generate("derived", KeyType.P256, requires_activation=True)


def test_the_secret_is_changed_with_the_current_one_only(opening: Opening) -> None:
    new = Secret("another secret")
    with opening() as store:
        with store.activate(None):
            store.generate("derived", KeyType.P256, requires_activation=True)
            store.choose_activation_secret(PIN)
        with pytest.raises(WrongActivationSecret):
            store.change_activation_secret(WRONG, new)
        store.change_activation_secret(PIN, new)
        with pytest.raises(WrongActivationSecret):
            store.activate(PIN)
    with opening() as store, store.activate(new):
        assert sign(store.handle("derived"), b"m", SignatureScheme(hashes.SHA256()))


@pytest.mark.parametrize("secret", ["", "12345", "x" * 65])
def test_a_secret_of_the_wrong_length_is_refused(store: KeyStore, secret: str) -> None:
    with store.activate(None), pytest.raises(Malformed, match="activation_secret_length"):
        store.choose_activation_secret(Secret(secret))
    assert store.activation().state is ActivationState.UNSET


def test_an_alias_is_taken_once_and_must_be_a_name(store: KeyStore) -> None:
    store.generate("identity", KeyType.P256, requires_activation=False)
    with pytest.raises(Conflict, match="key_exists"):
        store.generate("identity", KeyType.P256, requires_activation=False)
    with pytest.raises(Malformed, match="alias_malformed"):
        store.generate("../identity", KeyType.P256, requires_activation=False)


def test_a_deleted_key_is_gone(opening: Opening) -> None:
    with opening() as store:
        handle = store.generate("identity", KeyType.P256, requires_activation=False)
        store.delete("identity")
        store.delete("identity")
        with pytest.raises(NotFound, match="key_not_found"):
            sign(handle, b"m", SignatureScheme(hashes.SHA256()))
    with opening() as store:
        assert store.entries() == ()


def test_an_activated_key_is_deleted_without_the_secret(opening: Opening) -> None:
    with opening() as store:
        with store.activate(None):
            for alias in ("first", "second"):
                store.generate(alias, KeyType.P256, requires_activation=True)
            store.choose_activation_secret(PIN)
        store.delete("first")
    with opening() as store:
        with store.activate(PIN):
            assert [entry.alias for entry in store.entries()] == ["second"]
            assert sign(store.handle("second"), b"m", SignatureScheme(hashes.SHA256()))
        store.delete("second")
        with store.activate(PIN):
            assert store.entries() == ()


def test_a_certificate_is_kept_with_its_key_and_refused_for_another(opening: Opening) -> None:
    with opening() as store:
        handle = store.generate("identity", KeyType.P256, requires_activation=False)
        other = store.generate("other", KeyType.P256, requires_activation=False)
        certificate = self_signed(handle)
        store.set_certificate("identity", certificate, [certificate])
        with pytest.raises(Malformed, match="wrong_key"):
            store.set_certificate("other", certificate, [])
        assert other.public_key != handle.public_key
    with opening() as store:
        entry = store.entry("identity")
        assert entry is not None
        assert entry.certificate == certificate
        assert entry.chain == (certificate,)


def test_erasing_leaves_nothing(opening: Opening) -> None:
    with opening() as store:
        store.generate("identity", KeyType.P256, requires_activation=False)
        with store.activate(None):
            store.generate("derived", KeyType.P256, requires_activation=True)
            store.choose_activation_secret(PIN)
        store.erase()
        assert store.entries() == ()
        assert store.activation().state is ActivationState.UNSET
        store.generate("identity", KeyType.P256, requires_activation=False)
    with opening() as store:
        assert [entry.alias for entry in store.entries()] == ["identity"]


@pytest.fixture(scope="module")
def made_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def generator(tmp_path: Path) -> KeyGenerator:
    directory = tmp_path / "generator"
    directory.mkdir()
    return KeyGenerator(directory)


def package(generator: KeyGenerator, envelope: bytes, *, ca: Authority | None = None) -> WrappedKey:
    issuer = (ca or generator.ca).certificate.public_bytes(Encoding.DER)
    return WrappedKey(envelope, (issuer,), datetime.now(UTC))


@pytest.mark.needs("openssl")
def test_a_server_made_key_is_imported_and_opens_what_was_encrypted_to_it(
    opening: Opening, generator: KeyGenerator, made_key: rsa.RSAPrivateKey
) -> None:
    with opening() as store, store.activate(None):
        transport = store.generate("transport", KeyType.RSA2048, requires_activation=True)
        envelope = generator.envelope(rsa_public_key(transport), made_key)
        handle = store.import_wrapped(
            "opening", package(generator, envelope), transport="transport", requires_activation=True
        )
        assert handle.public_key == made_key.public_key()
        store.delete("transport")
        store.choose_activation_secret(PIN)
    ciphertext = made_key.public_key().encrypt(b"a content key", padding.PKCS1v15())
    with opening() as store:
        with pytest.raises(NotPermitted, match="activation_required"):
            store.handle("opening").decrypt(ciphertext, EncryptionPadding.PKCS1V15)
        with store.activate(PIN):
            assert store.handle("opening").decrypt(ciphertext, EncryptionPadding.PKCS1V15) == b"a content key"


@pytest.mark.needs("openssl")
def test_no_byte_of_a_private_key_is_in_the_stores_files(
    opening: Opening, generator: KeyGenerator, made_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    with opening() as store, store.activate(None):
        transport = store.generate("transport", KeyType.RSA2048, requires_activation=True)
        wrapped = package(generator, generator.envelope(rsa_public_key(transport), made_key))
        store.import_wrapped("opening", wrapped, transport="transport", requires_activation=True)
        store.choose_activation_secret(PIN)
    numbers = made_key.private_numbers()
    secrets = [number.to_bytes(256, "big").lstrip(b"\0") for number in (numbers.p, numbers.q, numbers.d, numbers.dmp1)]
    searched = [path.read_bytes() for place in ("keys", "device-secret") for path in _files(tmp_path / place)]
    assert searched
    for content in searched:
        for secret in secrets:
            for form in (secret, secret[::-1], secret.hex().encode(), base64.b64encode(secret)):
                assert form[:24] not in content


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("fault", ["other key", "other authority", "other purpose", "late", "altered", "not CMS"])
def test_a_package_that_is_not_for_this_key_or_not_from_the_issuer_is_refused(
    store: KeyStore, generator: KeyGenerator, made_key: rsa.RSAPrivateKey, fault: str
) -> None:
    transport = store.generate("transport", KeyType.RSA2048, requires_activation=False)
    recipient = rsa_public_key(transport)
    if fault == "other key":
        recipient = made_key.public_key()
    if fault == "other purpose":
        generator.purpose = ExtendedKeyUsageOID.EMAIL_PROTECTION
    if fault == "late":
        generator.lifetime = timedelta(minutes=-1)
    envelope = generator.envelope(recipient, made_key)
    if fault == "altered":
        envelope = envelope[:-1] + bytes([envelope[-1] ^ 1])
    if fault == "not CMS":
        envelope = b"\x30\x03\x02\x01\x00"
    wrapped = package(generator, envelope, ca=authority("Another CA") if fault == "other authority" else None)
    with pytest.raises(Malformed):
        store.import_wrapped("opening", wrapped, transport="transport", requires_activation=False)
    assert store.entry("opening") is None


@pytest.mark.needs("openssl")
def test_a_server_made_key_that_is_too_short_is_refused(store: KeyStore, generator: KeyGenerator) -> None:
    transport = store.generate("transport", KeyType.RSA2048, requires_activation=False)
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too short is what it is about
    wrapped = package(generator, generator.envelope(rsa_public_key(transport), short))
    with pytest.raises(Malformed, match="weak_key"):
        store.import_wrapped("opening", wrapped, transport="transport", requires_activation=False)


def test_the_api_of_a_handle_gives_no_key(store: KeyStore) -> None:
    handle = store.generate("signing", KeyType.P256, requires_activation=False)
    allowed = {"alias", "public_key", "sign_digest", "decrypt"}
    assert {name for name in dir(handle) if not name.startswith("_")} == allowed
    assert isinstance(handle.public_key, ec.EllipticCurvePublicKey)
