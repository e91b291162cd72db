# SPDX-License-Identifier: Apache-2.0
"""The CMS signatures on PIV data objects (SP 800-73-5 part 1 §3.1.2 and §3.1.7, SP 800-78-5 §5, RFC 5652).

A signature is made in two steps so that the key may be anywhere: `signed_attributes` gives the bytes to sign,
`signed_data` puts the signature into its envelope. Only the digests and signature forms of SP 800-78-5 are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asn1crypto import algos, cms, core, x509

from etymon.kernel.errors import DecodeError
from etymon.wire.der_scan import Bounds, require_plain

CHUID_CONTENT_TYPE: Final = "2.16.840.1.101.3.6.1"
LDS_CONTENT_TYPE: Final = "1.3.27.1.1.1"
"""ICAO LDS security object, the content type of a PIV security object's signature."""

LIMIT_BYTES: Final = 16_384
BOUNDS: Final = Bounds(LIMIT_BYTES, elements=2000)
DIGESTS: Final = ("sha256", "sha384")
SIGNATURES: Final = (
    "rsassa_pkcs1v15",
    "sha256_rsa",
    "sha384_rsa",
    "rsassa_pss",
    "sha256_ecdsa",
    "sha384_ecdsa",
)
"""Signature algorithms read, as asn1crypto names them; `rsassa_pkcs1v15` is written for RSA (SP 800-78-5 table 5)."""


class _AttributeType(core.ObjectIdentifier):  # type: ignore[misc] # asn1crypto has no types
    _map: Final = {
        "1.2.840.113549.1.9.3": "content_type",
        "1.2.840.113549.1.9.4": "message_digest",
        "1.2.840.113549.1.9.5": "signing_time",
        "2.16.840.1.101.3.6.5": "piv_signer_dn",
    }


class _SetOfNames(core.SetOf):  # type: ignore[misc] # asn1crypto has no types
    _child_spec = x509.Name


class _Attribute(core.Sequence):  # type: ignore[misc] # asn1crypto has no types
    _fields: Final = [("type", _AttributeType), ("values", None)]
    _specs: Final = {
        "content_type": cms.SetOfContentType,
        "message_digest": cms.SetOfOctetString,
        "signing_time": cms.SetOfTime,
        "piv_signer_dn": _SetOfNames,
    }

    def _values_spec(self) -> type[core.SetOf]:
        found: type[core.SetOf] | None = self._specs.get(self["type"].native)
        return found or cms.SetOfAny

    _spec_callbacks: Final = {"values": _values_spec}


class _Attributes(core.SetOf):  # type: ignore[misc] # asn1crypto has no types
    _child_spec = _Attribute


class _DataGroupHash(core.Sequence):  # type: ignore[misc] # asn1crypto has no types
    _fields: Final = [("number", core.Integer), ("digest", core.OctetString)]


class _DataGroupHashes(core.SequenceOf):  # type: ignore[misc] # asn1crypto has no types
    _child_spec = _DataGroupHash


class _LDSSecurityObject(core.Sequence):  # type: ignore[misc] # asn1crypto has no types
    _fields: Final = [
        ("version", core.Integer),
        ("digest_algorithm", algos.DigestAlgorithm),
        ("hashes", _DataGroupHashes),
    ]


@dataclass(frozen=True, slots=True)
class ObjectSignature:
    """What a PIV data object's CMS says; nothing in it is verified."""

    content_type: str
    content: bytes | None
    certificate: bytes | None
    """The content signer's certificate in DER; absent in a security object."""
    digest_algorithm: str
    signature_algorithm: str
    signed_attributes: bytes
    """The bytes under the signature."""
    message_digest: bytes
    signer_name: bytes
    """DER of the content signer's name, from pivSigner-DN."""
    issuer: bytes
    serial_number: int
    signature: bytes


def signed_attributes(*, content_type: str, message_digest: bytes, signer_name: bytes) -> bytes:
    """Return the bytes that a content signer signs; `signer_name` is the DER of its subject."""
    attributes = _Attributes(
        [
            _Attribute({"type": "content_type", "values": [content_type]}),
            _Attribute({"type": "message_digest", "values": [message_digest]}),
            _Attribute({"type": "piv_signer_dn", "values": [x509.Name.load(signer_name)]}),
        ]
    )
    return bytes(attributes.dump())


def signed_data(
    *,
    content_type: str,
    content: bytes | None,
    attributes: bytes,
    signer_certificate: bytes,
    with_certificate: bool,
    digest_algorithm: str,
    signature_algorithm: str,
    signature: bytes,
) -> bytes:
    """Return the ContentInfo; `content` is None for a detached signature (CHUID)."""
    certificate = x509.Certificate.load(signer_certificate)
    encapsulated: dict[str, Any] = {"content_type": content_type}
    if content is not None:
        encapsulated["content"] = content
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number",
                {"issuer": certificate.issuer, "serial_number": certificate.serial_number},
            ),
            "digest_algorithm": {"algorithm": digest_algorithm},
            "signed_attrs": cms.CMSAttributes.load(attributes),
            "signature_algorithm": _signature_algorithm(signature_algorithm),
            "signature": signature,
        }
    )
    body: dict[str, Any] = {
        "version": "v3",
        "digest_algorithms": [{"algorithm": digest_algorithm}],
        "encap_content_info": encapsulated,
        "signer_infos": [signer],
    }
    if with_certificate:
        body["certificates"] = [cms.CertificateChoices("certificate", certificate)]
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(body)}).dump())


def _signature_algorithm(name: str) -> dict[str, Any]:
    if name == "rsassa_pkcs1v15":
        return {"algorithm": name, "parameters": core.Null()}
    return {"algorithm": name}


def decode(der: bytes) -> ObjectSignature:
    """Read the CMS of a PIV data object: one signer, known algorithms, the three signed attributes."""
    if len(der) > LIMIT_BYTES:
        raise DecodeError("cms_too_long", f"A PIV object's signature has at most {LIMIT_BYTES} bytes.")
    require_plain(der, BOUNDS)
    try:
        return _decode(der)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as exc:
        raise DecodeError("cms", "The object's signature is not the CMS that PIV prescribes.") from exc


def _decode(der: bytes) -> ObjectSignature:
    info = cms.ContentInfo.load(der, strict=True)
    if info["content_type"].native != "signed_data":
        raise DecodeError("cms_type", "The object's signature is not SignedData.")
    data = info["content"]
    if len(data["signer_infos"]) != 1 or data["version"].native not in {"v1", "v3"}:
        raise DecodeError("cms_signers", "A PIV object has exactly one signature.")
    signer = data["signer_infos"][0]
    if signer["sid"].name != "issuer_and_serial_number":
        raise DecodeError("cms_signer_identifier", "The signer is named by issuer and serial number.")
    digest_algorithm = str(signer["digest_algorithm"]["algorithm"].native)
    signature_algorithm = str(signer["signature_algorithm"]["algorithm"].native)
    if digest_algorithm not in DIGESTS or signature_algorithm not in SIGNATURES:
        raise DecodeError("cms_algorithm", "The signature's algorithm is not one of SP 800-78-5.")
    attributes = signer["signed_attrs"].untag().dump()
    values = _single_values(attributes)
    certificates = [choice.chosen.dump() for choice in data["certificates"]] if data["certificates"] else []
    if len(certificates) > 1:
        raise DecodeError("cms_certificates", "A PIV object's signature carries one certificate at most.")
    encapsulated = data["encap_content_info"]
    content = encapsulated["content"]
    content_type = str(encapsulated["content_type"].dotted)
    if values["content_type"].dotted != content_type:
        raise DecodeError("cms_content_type", "The signed content type is not the content's type.")
    identifier = signer["sid"].chosen
    return ObjectSignature(
        content_type=content_type,
        content=None if isinstance(content, core.Void) else bytes(content.native),
        certificate=bytes(certificates[0]) if certificates else None,
        digest_algorithm=digest_algorithm,
        signature_algorithm=signature_algorithm,
        signed_attributes=bytes(attributes),
        message_digest=bytes(values["message_digest"].native),
        signer_name=bytes(values["piv_signer_dn"].dump()),
        issuer=bytes(identifier["issuer"].dump()),
        serial_number=int(identifier["serial_number"].native),
        signature=bytes(signer["signature"].native),
    )


def _single_values(attributes: bytes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for attribute in _Attributes.load(attributes, strict=True):
        name = attribute["type"].native
        if name in values or len(attribute["values"]) != 1:
            raise DecodeError("cms_attributes", "A signed attribute stands once and has one value.")
        values[name] = attribute["values"][0]
    return values


def encode_lds_security_object(digest_algorithm: str, digests: Mapping[int, bytes]) -> bytes:
    """Return the hashes of the data groups, version 0 (ICAO Doc 9303 part 10 §4.6.2)."""
    groups = [{"number": number, "digest": digest} for number, digest in digests.items()]
    value = {"version": 0, "digest_algorithm": {"algorithm": digest_algorithm}, "hashes": groups}
    return bytes(_LDSSecurityObject(value).dump())


def decode_lds_security_object(der: bytes) -> tuple[str, dict[int, bytes]]:
    """Return digest algorithm and the hash of each data group."""
    try:
        value = _LDSSecurityObject.load(der, strict=True)
        algorithm = str(value["digest_algorithm"]["algorithm"].native)
        digests = {int(item["number"].native): bytes(item["digest"].native) for item in value["hashes"]}
        complete = len(digests) == len(value["hashes"]) and value["version"].native == 0
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as exc:
        raise DecodeError("lds", "The security object's hashes cannot be read.") from exc
    if algorithm not in DIGESTS or not complete:
        raise DecodeError("lds", "The security object's hashes are of an unknown kind or stand twice.")
    return algorithm, digests
