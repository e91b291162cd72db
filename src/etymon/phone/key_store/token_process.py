# SPDX-License-Identifier: Apache-2.0
"""The process in which a PKCS#11 module runs: one JSON request a line on its input, one answer a line on its output.

SoftHSM takes its configuration from the environment once, when it is initialised. A process of its own gives each phone
its own tokens, and keeps what passes through memory while a server-made key is imported away from the agent.
"""

import ctypes
import sys
from collections.abc import Callable, Mapping
from typing import Final, cast

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, TokenFlag
from pkcs11.types import DecryptMixin, PrivateKey, Session, SignMixin, Token
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters

from etymon.card.host_padding import remove_oaep
from etymon.kernel.errors import EtymonError, Malformed, NotFound, Unavailable
from etymon.phone import document
from etymon.phone.document import Document
from etymon.phone.key_store.contract import EncryptionPadding, WrappedKey
from etymon.phone.key_store.server_generated import open_package
from etymon.pki.certificate import spki
from etymon.wire import der

LABEL_BYTES: Final = 32
"""A token's label is as long as this, filled with blanks (PKCS#11 v2.40 §5.5)."""

OK: Final = 0

_CURVES: Final = {"p256": "1.2.840.10045.3.1.7", "p384": "1.3.132.0.34"}
_HIDDEN: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
_KEY_CLASSES: Final = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY, ObjectClass.CERTIFICATE)
_HASHES: Final = {
    "sha256": (Mechanism.SHA256, MGF.SHA256, "2.16.840.1.101.3.4.2.1"),
    "sha384": (Mechanism.SHA384, MGF.SHA384, "2.16.840.1.101.3.4.2.2"),
    "sha512": (Mechanism.SHA512, MGF.SHA512, "2.16.840.1.101.3.4.2.3"),
}

Answer = Mapping[str, object]


class TokenService:
    """Answers requests with one PKCS#11 module. Tokens are named by label, keys by id."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._library = pkcs11.lib(module)
        self._sessions: dict[str, Session] = {}
        self._answers: Final[Mapping[str, Callable[[Document], Answer]]] = {
            "unlock": self._unlock,
            "lock": self._lock,
            "generate": self._generate,
            "import": self._import,
            "sign": self._sign,
            "decrypt": self._decrypt,
            "certify": self._certify,
            "destroy": self._destroy,
            "sweep": self._sweep,
            "serial": self._serial,
        }

    def answer(self, line: bytes) -> Answer:
        """Return the answer to one request; refusals are answers too."""
        try:
            request = Document.parse(line)
            return self._answers[request.text("act")](request)
        except EtymonError as exc:
            return {"error": exc.code, "detail": exc.detail, "malformed": isinstance(exc, Malformed)}
        except pkcs11.PKCS11Error as exc:
            return {"error": "token_failed", "detail": f"The token answered {type(exc).__name__}."}

    def _unlock(self, request: Document) -> Answer:
        label, pin, so_pin = request.text("token"), request.text("pin"), request.text("soPin")
        if label in self._sessions:
            return {}
        token = self._token(label)
        if token is None or not token.flags & TokenFlag.USER_PIN_INITIALIZED:  # new, or stopped while it was made
            token = self._create(token, label, pin, so_pin)
        self._sessions[label] = token.open(rw=True, user_pin=pin)
        return {}

    def _lock(self, request: Document) -> Answer:
        session = self._sessions.pop(request.text("token"), None)
        if session is not None:
            session.close()
        return {}

    def _generate(self, request: Document) -> Answer:
        session, key_type = self._session(request), request.text("keyType")
        identifier, label = request.octets("id"), request.text("alias")
        if key_type in _CURVES:
            parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[key_type])}
            curve = session.create_domain_parameters(KeyType.EC, parameters, local=True)
            uses = MechanismFlag.SIGN | MechanismFlag.VERIFY
            public, _ = curve.generate_keypair(
                capabilities=uses, private_template=_HIDDEN, id=identifier, label=label, store=True
            )
            return {"publicKey": document.base64_text(encode_ec_public_key(public))}
        bits = int(key_type.removeprefix("rsa"))
        uses = MechanismFlag.SIGN | MechanismFlag.VERIFY | MechanismFlag.DECRYPT | MechanismFlag.ENCRYPT
        public, _ = session.generate_keypair(
            KeyType.RSA, bits, capabilities=uses, private_template=_HIDDEN, id=identifier, label=label, store=True
        )
        numbers = rsa.RSAPublicNumbers(
            int.from_bytes(public[Attribute.PUBLIC_EXPONENT], "big"), int.from_bytes(public[Attribute.MODULUS], "big")
        )
        return {"publicKey": document.base64_text(spki(numbers.public_key()))}

    def _import(self, request: Document) -> Answer:
        """Keep a server-made key.

        SoftHSM could unwrap a bare PKCS #8, but what the issuer envelopes is a signed key package (RFC 7030 §4.4.2): no
        token looks inside that. So the transport key deciphers in the token, and the recovered key passes through this
        process' memory on its way into the token. Python frees that memory at once and does not promise to wipe it.
        """
        opener = self._private_key(self._session(request, "transportToken"), request.octets("transportId"))
        package = WrappedKey(request.octets("envelope"), request.octet_list("issuers"), request.moment("receivedAt"))
        private_key = open_package(package, lambda block: _decipher(opener, block, EncryptionPadding.OAEP_SHA256))
        numbers = private_key.private_numbers()
        components = {
            Attribute.MODULUS: numbers.public_numbers.n,
            Attribute.PUBLIC_EXPONENT: numbers.public_numbers.e,
            Attribute.PRIVATE_EXPONENT: numbers.d,
            Attribute.PRIME_1: numbers.p,
            Attribute.PRIME_2: numbers.q,
            Attribute.EXPONENT_1: numbers.dmp1,
            Attribute.EXPONENT_2: numbers.dmq1,
            Attribute.COEFFICIENT: numbers.iqmp,
        }
        self._session(request).create_object(
            {
                Attribute.CLASS: ObjectClass.PRIVATE_KEY,
                Attribute.KEY_TYPE: KeyType.RSA,
                Attribute.ID: request.octets("id"),
                Attribute.LABEL: request.text("alias"),
                Attribute.TOKEN: True,
                Attribute.PRIVATE: True,
                Attribute.DECRYPT: True,
                Attribute.SIGN: True,
                **_HIDDEN,
                **{name: number.to_bytes((number.bit_length() + 7) // 8, "big") for name, number in components.items()},
            }
        )
        return {"publicKey": document.base64_text(spki(private_key.public_key()))}

    def _sign(self, request: Document) -> Answer:
        private_key = self._private_key(self._session(request), request.octets("id"))
        digest, padding = request.octets("digest"), request.text("padding")
        mechanism, mask, identifier = _HASHES[request.text("hash")]
        signer = cast("SignMixin", private_key)
        if private_key.key_type is KeyType.EC:
            pair = signer.sign(digest, mechanism=Mechanism.ECDSA)
            return {"signature": document.base64_text(encode_ecdsa_signature(pair))}
        if padding == "pss":
            parameters = (mechanism, mask, len(digest))
            signature = signer.sign(digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=parameters)
        else:
            algorithm = der.sequence(der.object_identifier(identifier), der.null())
            digest_info = der.sequence(algorithm, der.octet_string(digest))  # RFC 8017 §9.2
            signature = signer.sign(digest_info, mechanism=Mechanism.RSA_PKCS)
        return {"signature": document.base64_text(signature)}

    def _decrypt(self, request: Document) -> Answer:
        private_key = self._private_key(self._session(request), request.octets("id"))
        plain = _decipher(private_key, request.octets("ciphertext"), EncryptionPadding(request.text("padding")))
        return {"plain": document.base64_text(plain)}

    def _certify(self, request: Document) -> Answer:
        session, identifier = self._session(request), request.octets("id")
        certificate = request.octets("certificate")
        parsed = x509.load_der_x509_certificate(certificate)
        for older in session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: identifier}):
            older.destroy()
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.CERTIFICATE,
                Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
                Attribute.TOKEN: True,
                Attribute.PRIVATE: False,
                Attribute.ID: identifier,
                Attribute.LABEL: request.text("alias"),
                Attribute.SUBJECT: parsed.subject.public_bytes(),
                Attribute.ISSUER: parsed.issuer.public_bytes(),
                Attribute.SERIAL_NUMBER: der.integer(parsed.serial_number),
                Attribute.VALUE: certificate,
            }
        )
        return {}

    def _destroy(self, request: Document) -> Answer:
        session = self._session(request)
        for kind in _KEY_CLASSES:
            for item in list(session.get_objects({Attribute.CLASS: kind, Attribute.ID: request.octets("id")})):
                item.destroy()
        return {}

    def _sweep(self, request: Document) -> Answer:
        session, kept = self._session(request), set(request.octet_list("keep"))
        for kind in _KEY_CLASSES:
            for item in list(session.get_objects({Attribute.CLASS: kind})):
                if item[Attribute.ID] not in kept:
                    item.destroy()
        return {}

    def _serial(self, request: Document) -> Answer:
        token = self._token(request.text("token"))
        return {"serial": token.serial.decode("ascii") if token else None}

    def _create(self, half_made: Token | None, label: str, pin: str, so_pin: str) -> Token:
        slots = [half_made.slot] if half_made else self._library.get_slots(token_present=True)
        free = [slot for slot in slots if half_made or not slot.get_token().flags & TokenFlag.TOKEN_INITIALIZED]
        if not free:
            raise Unavailable("no_free_slot", "The module has no slot for a new token.")
        # the library has no call for C_InitToken; the module is the one it has initialised in this process
        octets = so_pin.encode()
        result = ctypes.CDLL(self._module).C_InitToken(
            ctypes.c_ulong(free[0].slot_id), octets, ctypes.c_ulong(len(octets)), label.encode().ljust(LABEL_BYTES)
        )
        token = self._token(label)
        if result != OK or token is None:
            raise Unavailable("token_not_made", f"The module would not make a token (CKR {result:#x}).")
        with token.open(rw=True, so_pin=so_pin) as session:
            session.init_pin(pin)
        return token

    def _token(self, label: str) -> Token | None:
        return next(iter(self._library.get_tokens(token_label=label)), None)

    def _session(self, request: Document, name: str = "token") -> Session:
        try:
            return self._sessions[request.text(name)]
        except KeyError as exc:
            raise NotFound("token_locked", "The token is not unlocked.") from exc

    def _private_key(self, session: Session, identifier: bytes) -> PrivateKey:
        try:
            found = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=identifier)
        except pkcs11.NoSuchKey as exc:
            raise NotFound("key_not_found", "The token does not hold this key any more.") from exc
        return cast("PrivateKey", found)


def _decipher(private_key: PrivateKey, block: bytes, padding: EncryptionPadding) -> bytes:
    open_with = cast("Callable[..., bytes]", cast("DecryptMixin", private_key).decrypt)
    try:
        if padding is EncryptionPadding.PKCS1V15:
            return open_with(block, mechanism=Mechanism.RSA_PKCS)
        # SoftHSM 2.6 knows OAEP with SHA-1 alone: it deciphers raw, and the padding comes off here
        return remove_oaep(open_with(block, mechanism=Mechanism.RSA_X_509), hashes.SHA256.name)
    except (pkcs11.PKCS11Error, Malformed) as exc:
        raise Malformed("not_decryptable", "This was not encrypted to the phone's key.") from exc


def main() -> None:
    """Serve until the agent closes its end."""
    service = TokenService(sys.argv[1])
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(document.encode(service.answer(line)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
