# SPDX-License-Identifier: Apache-2.0
"""Keys that are made in a PKCS#11 token and never leave it: signers behind the seam of `pki.keys`, and a cipher.

A key's label is its name, its CKA_ID the SHA-256 of its SubjectPublicKeyInfo, which certificates are found by too.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, cast

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, GCMParams, Mechanism, MechanismFlag, ObjectClass
from pkcs11.types import DecryptMixin, EncryptMixin, PrivateKey, SignMixin
from pkcs11.types import PublicKey as TokenPublicKey
from pkcs11.util.ec import encode_named_curve_parameters

from etymon.kernel.errors import Conflict, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType, PublicKey, SignatureAlgorithm, default_signature_algorithm, key_type
from etymon.pki.certificate import spki
from etymon.pki.keys import BITS, KEY_NAME
from etymon.pki.signer import Signer
from etymon.pki.token import GENERATION_LIMIT_SECONDS, OpenSession, Token
from etymon.wire import der

TAG_BITS: Final = 128
AES_BITS: Final = 256
HIDDEN: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}

_CURVES: Final = {
    KeyType.P256: encode_named_curve_parameters("1.2.840.10045.3.1.7"),
    KeyType.P384: encode_named_curve_parameters("1.3.132.0.34"),
}
_HASHES: Final = {hashes.SHA256.name: "2.16.840.1.101.3.4.2.1", hashes.SHA384.name: "2.16.840.1.101.3.4.2.2"}


class TokenSigner:
    """A key in a token."""

    def __init__(self, token: Token, identifier: bytes, public_key: PublicKey) -> None:
        self._token = token
        self.identifier = identifier
        self.public_key: PublicKey = public_key
        self.algorithm: SignatureAlgorithm = default_signature_algorithm(key_type(public_key))

    def sign(self, tbs: bytes) -> bytes:
        """Return the token's signature over `tbs`; `Unavailable` while the token or the key is not there."""
        algorithm = self.algorithm.hash()
        digest = hashlib.new(algorithm.name, tbs).digest()
        if self.algorithm.is_rsa:
            named = der.sequence(der.object_identifier(_HASHES[algorithm.name]), der.null())
            digest_info = der.sequence(named, der.octet_string(digest))  # RFC 8017 §9.2
            return self._token.use(lambda opened: self._key(opened).sign(digest_info, mechanism=Mechanism.RSA_PKCS))
        pair = self._token.use(lambda opened: self._key(opened).sign(digest, mechanism=Mechanism.ECDSA))
        half = len(pair) // 2
        return encode_dss_signature(int.from_bytes(pair[:half], "big"), int.from_bytes(pair[half:], "big"))

    def _key(self, opened: OpenSession) -> SignMixin:
        return cast("SignMixin", _found(opened, ObjectClass.PRIVATE_KEY, self.identifier))


class TokenKeys(Mapping[str, Signer]):
    """The signing keys of a token by name; as a mapping it finds each once, at its first use."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._known: dict[str, Signer] = {}

    def generate(self, name: str, kind: KeyType) -> Signer:
        """Make a key in the token, sensitive and never extractable; `Conflict` `key_exists` if the name is taken."""
        _require_name(name)
        with self._token.making:
            if self.find(name) is not None:
                raise _exists(name)
            self._token.use(lambda opened: _generate(opened, name, kind), limit_seconds=GENERATION_LIMIT_SECONDS)
            made = self.find(name)
        if made is None:
            raise Unavailable("token_failed", f"The token made the key {name} and does not show it. See to the token.")
        return made

    def find(self, name: str) -> Signer | None:
        """Return the signer of a key; `Unavailable` `token_key_ambiguous` where there are two of a name."""
        _require_name(name)
        if name not in self._known:
            found = self._token.use(lambda opened: _look_up(opened, name))
            if found is None:
                return None
            self._known[name] = TokenSigner(self._token, _identifier(found), found)
        return self._known[name]

    def __getitem__(self, name: str) -> Signer:
        signer = self.find(name)
        if signer is None:
            raise KeyError(name)
        return signer

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._token.use(_names)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class TokenCipher:
    """An AES-256 key in a token that enciphers in GCM there (SP 800-38D)."""

    def __init__(self, token: Token, name: str) -> None:
        _require_name(name)
        self._token = token
        self._name = name

    def exists(self) -> bool:
        """Whether the token has the key."""
        return self._token.use(lambda opened: bool(_labelled(opened, ObjectClass.SECRET_KEY, self._name)))

    def generate(self, identifier: bytes) -> None:
        """Make the key, sensitive and never extractable; `Conflict` `key_exists` if there is one of the name."""
        self._token.use(lambda opened: self._generate(opened, identifier))

    def identifier(self) -> bytes:
        """Return the key's CKA_ID."""
        return self._token.use(lambda opened: cast("bytes", self._key(opened)[Attribute.ID]))

    def encrypt(self, nonce: bytes, plain: Secret[bytes], context: bytes) -> bytes:
        """Return ciphertext and tag, bound to `context`; a nonce is used once."""
        parameters = GCMParams(nonce, context, TAG_BITS)

        def act(opened: OpenSession) -> bytes:
            key = cast("EncryptMixin", self._key(opened))
            ciphertext = key.encrypt(plain.reveal(), mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
            return cast("bytes", ciphertext)

        return self._token.use(act)

    def decrypt(self, nonce: bytes, ciphertext: bytes, context: bytes) -> Secret[bytes] | None:
        """Return what was enciphered, or None for anything else; `Unavailable` while the token is not there."""
        parameters = GCMParams(nonce, context, TAG_BITS)

        def deciphered(key: pkcs11.Key) -> Secret[bytes]:
            plain = cast("DecryptMixin", key).decrypt(
                ciphertext, mechanism=Mechanism.AES_GCM, mechanism_param=parameters
            )
            return Secret(cast("bytes", plain))

        def act(opened: OpenSession) -> Secret[bytes] | None:
            key = self._key(opened)
            try:
                return deciphered(key)
            except pkcs11.PKCS11Error:
                # modules have many answers to a wrong tag: the key still works, or the token is out of order
                cast("EncryptMixin", key).encrypt(b"", mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
            try:
                return deciphered(key)
            except pkcs11.PKCS11Error:
                return None  # again, and the key works: it is the ciphertext

        return self._token.use(act)

    def _generate(self, opened: OpenSession, identifier: bytes) -> None:
        if _labelled(opened, ObjectClass.SECRET_KEY, self._name):
            raise _exists(self._name)
        opened.open.generate_key(
            pkcs11.KeyType.AES,
            AES_BITS,
            id=identifier,
            label=self._name,
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template={**HIDDEN, Attribute.PRIVATE: True},
        )

    def _key(self, opened: OpenSession) -> pkcs11.Key:
        found = _labelled(opened, ObjectClass.SECRET_KEY, self._name)
        if not found:
            raise Unavailable("token_key_missing", f"The token has no key {self._name}. Is it the right token?")
        return _only(found, self._name)


def _generate(opened: OpenSession, name: str, kind: KeyType) -> None:
    """Make a pair. PKCS#11 lets names be given twice: where another process made one meanwhile, ours is taken back."""
    session = opened.open
    if _labelled(opened, ObjectClass.PRIVATE_KEY, name):
        return  # made just before the session was lost
    uses = MechanismFlag.SIGN | MechanismFlag.VERIFY
    if kind in _CURVES:
        parameters = {Attribute.EC_PARAMS: _CURVES[kind]}
        curve = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
        pair = curve.generate_keypair(
            capabilities=uses, private_template={**HIDDEN, Attribute.PRIVATE: True}, label=name, store=True
        )
    else:
        pair = session.generate_keypair(
            pkcs11.KeyType.RSA,
            BITS[kind],
            capabilities=uses,
            private_template={**HIDDEN, Attribute.PRIVATE: True},
            label=name,
            store=True,
        )
    if len(_labelled(opened, ObjectClass.PRIVATE_KEY, name)) > 1:
        for half in pair:
            half.destroy()
        raise _exists(name)


def _look_up(opened: OpenSession, name: str) -> PublicKey | None:
    """Return a key's public half, and give both halves their id if whoever made them did not come to it."""
    private = _labelled(opened, ObjectClass.PRIVATE_KEY, name)
    if not private:
        return None
    key = _only(private, name)
    public = cast("TokenPublicKey", _only(_labelled(opened, ObjectClass.PUBLIC_KEY, name), name))
    if not (key[Attribute.SENSITIVE] and not key[Attribute.EXTRACTABLE] and key[Attribute.LOCAL]):
        raise Unavailable("token_key_not_protected", f"The key {name} was not made in the token, or can leave it.")
    found = _public_key(public)
    for half in (public, key):
        if half[Attribute.ID] != _identifier(found):
            half[Attribute.ID] = _identifier(found)
    return found


def _public_key(key: TokenPublicKey) -> PublicKey:
    if key.key_type is pkcs11.KeyType.RSA:
        exponent, modulus = key[Attribute.PUBLIC_EXPONENT], key[Attribute.MODULUS]
        return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    point = der.only(key[Attribute.EC_POINT], der.OCTET_STRING).content
    curve = ec.SECP256R1() if key[Attribute.EC_PARAMS] == _CURVES[KeyType.P256] else ec.SECP384R1()
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)


def _identifier(public_key: PublicKey) -> bytes:
    return hashlib.sha256(spki(public_key)).digest()


def _found(opened: OpenSession, kind: ObjectClass, identifier: bytes) -> pkcs11.Key:
    if identifier not in opened.found:
        found = list(opened.open.get_objects({Attribute.CLASS: kind, Attribute.ID: identifier}))
        if not found:
            raise pkcs11.NoSuchKey  # another session may see it: this one's token was exchanged
        opened.found[identifier] = cast("PrivateKey", found[0])
    return opened.found[identifier]


def _labelled(opened: OpenSession, kind: ObjectClass, name: str) -> list[pkcs11.Key]:
    return [
        cast("pkcs11.Key", item) for item in opened.open.get_objects({Attribute.CLASS: kind, Attribute.LABEL: name})
    ]


def _names(opened: OpenSession) -> set[str]:
    return {str(item[Attribute.LABEL]) for item in opened.open.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})}


def _only(found: list[pkcs11.Key], name: str) -> pkcs11.Key:
    if len(found) != 1:
        raise Unavailable(
            "token_key_ambiguous", f"The token has {len(found)} objects called {name} where there is one. See to it."
        )
    return found[0]


def _require_name(name: str) -> None:
    if not KEY_NAME.fullmatch(name):
        raise NotFound("key_not_found", "A key's name has lower-case letters, digits and hyphens.")


def _exists(name: str) -> Conflict:
    return Conflict("key_exists", f"There is a key called {name} already.")
