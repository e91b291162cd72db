# SPDX-License-Identifier: Apache-2.0
"""A SCEP client made of other people's codecs (asn1crypto, the certificate library), that can be made to misbehave."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asn1crypto import algos, cms, core, csr
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.x509.oid import AttributeOID

ATTRIBUTE: Final = "2.16.840.1.113733.1.9."
PRINTABLE: Final = {"type": "2", "status": "3", "fail_info": "4", "transaction": "7"}
OCTETS: Final = {"sender_nonce": "5", "recipient_nonce": "6"}
HASHES: Final = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}  # noqa: S303 - old clients use it
CIPHERS: Final[dict[str, tuple[Callable[[bytes], Any], int, int]]] = {
    "aes128_cbc": (AES, 16, 16),
    "aes192_cbc": (AES, 24, 16),
    "aes256_cbc": (AES, 32, 16),
    "tripledes_3key": (TripleDES, 24, 8),
    "des": (TripleDES, 8, 8),
}
"""Single DES is triple DES with the same key three times."""

DER: Final = serialization.Encoding.DER
FAIL_INFO: Final = {"0": "badAlg", "1": "badMessageCheck", "2": "badRequest", "3": "badTime", "4": "badCertId"}

for name, number in {**PRINTABLE, **OCTETS}.items():
    cms.CMSAttributeType._map[ATTRIBUTE + number] = f"scep_{name}"  # noqa: SLF001 - how asn1crypto learns attributes
    kind = core.PrintableString if name in PRINTABLE else core.OctetString
    cms.CMSAttribute._oid_specs[f"scep_{name}"] = type(f"SetOf_{name}", (core.SetOf,), {"_child_spec": kind})  # noqa: SLF001 - the same
cms.CMSAttributeType._map["1.3.6.1.5.5.7.24.1"] = "scep_text"  # noqa: SLF001 - the same
cms.CMSAttribute._oid_specs["scep_text"] = type("SetOf_text", (core.SetOf,), {"_child_spec": core.UTF8String})  # noqa: SLF001 - the same


@dataclass(frozen=True)
class Reply:
    """A CertRep, taken apart and verified."""

    status: str
    fail_info: str | None
    text: str
    transaction: str
    sender_nonce: bytes
    recipient_nonce: bytes
    digest: str
    signature_algorithm: str
    carried: tuple[x509.Certificate, ...]
    envelope: bytes | None = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    cipher: str | None = None

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """What is in the certs-only message inside the envelope, in its order."""
        signed = cms.ContentInfo.load(self.content)["content"]
        return tuple(x509.load_der_x509_certificate(each.chosen.dump()) for each in signed["certificates"])

    @property
    def certificate(self) -> x509.Certificate:
        (only,) = self.certificates
        return only

    @property
    def refusal(self) -> str | None:
        return FAIL_INFO[self.fail_info] if self.fail_info else None


@dataclass
class Message:
    """A pkiMessage in the making; every field may be set wrong."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    signer: x509.Certificate
    recipients: Sequence[x509.Certificate]
    content: bytes
    type: str = "19"
    transaction: str = "0A1B"
    nonce: bytes = field(default_factory=lambda: os.urandom(16))
    digest: str = "sha256"
    named_digest: str | None = None
    cipher: str = "aes256_cbc"
    named_signature: str = "rsassa_pkcs1v15"
    key_identifiers: bool = False
    signing_time: datetime | None = None
    in_pieces: bool = False
    encrypted_key: bytes | None = None
    made_envelope: bytes | None = None

    def encode(self) -> bytes:
        enveloped = self.made_envelope or self.enveloped()
        attributes = self._attributes(enveloped)
        signed = attributes.dump()
        signed_attributes = b"\x31" + signed[1:]
        info = cms.SignerInfo(
            {
                "version": "v3" if self.key_identifiers else "v1",
                "sid": self._identifier(self.signer, cms.SignerIdentifier),
                "digest_algorithm": {"algorithm": self.named_digest or self.digest},
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": self.named_signature},
                "signature": self._sign(signed_attributes),
            }
        )
        message = cms.SignedData(
            {
                "version": "v1",
                "digest_algorithms": [{"algorithm": self.named_digest or self.digest}],
                "encap_content_info": {"content_type": "data", "content": enveloped},
                "certificates": [asn1_x509.Certificate.load(_der(self.signer))],
                "signer_infos": [info],
            }
        )
        return bytes(cms.ContentInfo({"content_type": "signed_data", "content": message}).dump())

    def enveloped(self) -> bytes:
        algorithm, size, block = CIPHERS[self.cipher]
        content_key, vector = os.urandom(size), os.urandom(block)
        padder = padding.PKCS7(8 * block).padder()
        used = content_key * 3 if self.cipher == "des" else content_key
        encryptor = Cipher(algorithm(used), modes.CBC(vector)).encryptor()
        ciphertext = encryptor.update(padder.update(self.content) + padder.finalize()) + encryptor.finalize()
        data = cms.EnvelopedData(
            {
                "version": "v2" if self.key_identifiers else "v0",
                "recipient_infos": [self._recipient(each, content_key) for each in self.recipients],
                "encrypted_content_info": {
                    "content_type": "data",
                    "content_encryption_algorithm": {"algorithm": self.cipher, "parameters": vector},
                    "encrypted_content": ciphertext,
                },
            }
        )
        encoded = bytes(cms.ContentInfo({"content_type": "enveloped_data", "content": data}).dump())
        return in_pieces(encoded, ciphertext) if self.in_pieces else encoded

    def _recipient(self, certificate: x509.Certificate, content_key: bytes) -> cms.RecipientInfo:
        public_key = certificate.public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        wrapped = self.encrypted_key or public_key.encrypt(content_key, rsa_padding.PKCS1v15())
        transport = {
            "version": "v2" if self.key_identifiers else "v0",
            "rid": self._identifier(certificate, cms.RecipientIdentifier),
            "key_encryption_algorithm": {"algorithm": "rsaes_pkcs1v15"},
            "encrypted_key": wrapped,
        }
        return cms.RecipientInfo("ktri", cms.KeyTransRecipientInfo(transport))

    def _identifier(self, certificate: x509.Certificate, kind: Any) -> Any:
        read = asn1_x509.Certificate.load(_der(certificate))
        if self.key_identifiers:
            return kind(
                "subject_key_identifier", x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
            )
        return kind(
            "issuer_and_serial_number",
            cms.IssuerAndSerialNumber({"issuer": read.issuer, "serial_number": read.serial_number}),
        )

    def _attributes(self, content: bytes) -> cms.CMSAttributes:
        values: dict[str, Any] = {
            "content_type": "data",
            "message_digest": hashlib.new(self.digest, content).digest(),
            "scep_type": self.type,
            "scep_transaction": self.transaction,
            "scep_sender_nonce": self.nonce,
        }
        if self.signing_time is not None:
            values["signing_time"] = core.UTCTime(self.signing_time)
        return cms.CMSAttributes(
            [cms.CMSAttribute({"type": kind, "values": [value]}) for kind, value in values.items()]
        )

    def _sign(self, signed: bytes) -> bytes:
        function = hashes.MD5() if self.digest == "md5" else HASHES[self.digest]  # noqa: S303 - it is to be refused
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(signed, ec.ECDSA(function))
        return self.key.sign(signed, rsa_padding.PKCS1v15(), function)


def in_pieces(encoded: bytes, ciphertext: bytes) -> bytes:
    """Return an envelope whose ciphertext comes as BER does: constructed, of indefinite length, in two pieces."""
    primitive = bytes(core.OctetString(ciphertext).dump())
    implicit = b"\x80" + primitive[1:]
    assert encoded.count(implicit) == 1
    half = len(ciphertext) // 2
    pieces = b"".join(bytes(core.OctetString(each).dump()) for each in (ciphertext[:half], ciphertext[half:]))
    before = encoded[: encoded.index(implicit)]
    return _indefinite(before) + b"\xa0\x80" + pieces + b"\x00\x00" + b"\x00\x00" * 4


def _indefinite(head: bytes) -> bytes:
    """Return the beginning of an envelope with the four lengths that span what follows made indefinite."""
    out, position, opened = bytearray(), 0, 0
    while position < len(head):
        tag, first = head[position], head[position + 1]
        size = first & 0x7F if first & 0x80 else 0
        length = int.from_bytes(head[position + 2 : position + 2 + size], "big") if size else first
        content = position + 2 + size
        if content + length > len(head):  # it goes on after what we have
            out += bytes((tag, 0x80))
            position, opened = content, opened + 1
        else:
            out += head[position : content + length]
            position = content + length
    assert opened == 4
    return bytes(out)


def decode(answer: bytes, key: rsa.RSAPrivateKey | None = None) -> Reply:
    """Take a CertRep apart, verify its signature with the certificate it carries, and open it with `key`."""
    signed = cms.ContentInfo.load(answer, strict=True)["content"]
    (info,) = signed["signer_infos"]
    carried = tuple(x509.load_der_x509_certificate(each.chosen.dump()) for each in signed["certificates"])
    digest = info["digest_algorithm"]["algorithm"].native
    public_key = carried[0].public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    signed_attributes = b"\x31" + info["signed_attrs"].dump()[1:]
    public_key.verify(info["signature"].native, signed_attributes, rsa_padding.PKCS1v15(), HASHES[digest])
    values = {each["type"].native: each["values"][0].native for each in info["signed_attrs"]}
    envelope = signed["encap_content_info"]["content"].native if signed["encap_content_info"]["content"] else None
    assert values["message_digest"] == hashlib.new(digest, envelope or b"").digest()
    assert values["scep_type"] == "3"
    content, cipher = _opened(envelope, key) if envelope and key else (None, None)
    return Reply(
        status={"0": "success", "2": "failure", "3": "pending"}[values["scep_status"]],
        fail_info=values.get("scep_fail_info"),
        text=values.get("scep_text", ""),
        transaction=values["scep_transaction"],
        sender_nonce=values["scep_sender_nonce"],
        recipient_nonce=values["scep_recipient_nonce"],
        digest=digest,
        signature_algorithm=info["signature_algorithm"]["algorithm"].dotted,
        carried=carried,
        envelope=envelope,
        content=content,
        cipher=cipher,
    )


def _opened(envelope: bytes, key: rsa.RSAPrivateKey) -> tuple[bytes, str]:
    data = cms.ContentInfo.load(envelope, strict=True)["content"]
    (recipient,) = data["recipient_infos"]
    content_key = key.decrypt(recipient.chosen["encrypted_key"].native, rsa_padding.PKCS1v15())
    info = data["encrypted_content_info"]
    named: algos.EncryptionAlgorithm = info["content_encryption_algorithm"]
    algorithm, _, block = CIPHERS[named["algorithm"].native]
    decryptor = Cipher(algorithm(content_key), modes.CBC(named["parameters"].native)).decryptor()
    unpadder = padding.PKCS7(8 * block).unpadder()
    padded = decryptor.update(info["encrypted_content"].native) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize(), named["algorithm"].native


def self_signed(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, name: str, *, serial_number: int = 1
) -> x509.Certificate:
    """Return what a client signs its first message with; clients do not care for clocks or serial numbers."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime(2020, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial_number)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def request(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    challenge: str | None,
    *,
    names: Sequence[x509.GeneralName] = (),
    extensions: Sequence[x509.ExtensionType] = (),
    digest: str = "sha256",
) -> bytes:
    """Return a PKCS #10 request with a challenge password."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    for extension in (*extensions, *((x509.SubjectAlternativeName(names),) if names else ())):
        builder = builder.add_extension(extension, critical=False)
    encoded = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return encoded if digest == "sha256" else signed_with(encoded, key, digest)


def signed_with(request: bytes, key: Any, digest: str) -> bytes:
    """Return a request signed anew with a hash function that the library does not sign requests with."""
    read = csr.CertificationRequest.load(request)
    information = read["certification_request_info"].dump()
    read["signature_algorithm"] = {"algorithm": f"{digest}_rsa"}
    function = hashes.MD5() if digest == "md5" else HASHES[digest]  # noqa: S303 - it is to be refused
    read["signature"] = key.sign(information, rsa_padding.PKCS1v15(), function)
    return bytes(read.dump())


def certificates_of(certs_only: bytes) -> list[bytes]:
    """Return the certificates of a certs-only message as DER, in its order."""
    signed = cms.ContentInfo.load(certs_only, strict=True)["content"]
    return [each.chosen.dump() for each in signed["certificates"]]


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
