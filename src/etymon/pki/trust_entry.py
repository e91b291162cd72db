# SPDX-License-Identifier: Apache-2.0
"""Trust entries: whose certificates are accepted, for what, and who of a person they name."""

import base64
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography import x509

from etymon.kernel.errors import Malformed
from etymon.pki.certificate import load, to_der

EntryValue: TypeAlias = "str | list[str]"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_HOST: Final = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
ANY_POLICY: Final = "2.5.29.32.0"


class TrustKind(enum.Enum):
    """What kind of holder an entry's certificates stand for; a certificate of one kind never passes for another."""

    CARD = "card"
    DERIVED = "derived"
    DEVICE = "device"


class IdentifierKind(enum.Enum):
    """Which part of the certificate is bound to a person or device."""

    FASCN = "fascn"
    UUID = "uuid"
    EDIPI = "edipi"
    UPN = "upn"
    THUMBPRINT = "thumbprint"


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One issuer's certificates, as an organization accepts them.

    `policies` is the user-initial-policy-set of RFC 5280 §6.1.1 (c), OIDs in dotted form; only an entry for
    devices may leave it empty, which accepts any. `status_hosts` are `host` or `host:port`, lower-case: the only
    ones that are asked for OCSP and CRLs. `upn_suffixes` are compared with what follows the @, lower-case.
    """

    name: str
    kind: TrustKind
    anchors: tuple[x509.Certificate, ...]
    policies: frozenset[str]
    identifier: IdentifierKind
    intermediates: tuple[x509.Certificate, ...] = ()
    upn_suffixes: tuple[str, ...] = ()
    status_hosts: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _wrong("Name the entry with lower-case letters, digits and hyphens.")
        if not self.anchors:
            raise _wrong("Give at least one trust anchor.")
        if not self.policies and self.kind is not TrustKind.DEVICE:
            raise _wrong("Name the accepted policies; only an entry for devices may accept any.")
        if any(not _OID.fullmatch(policy) or policy == ANY_POLICY for policy in self.policies):
            raise _wrong("A policy is an object identifier in dotted form, and not anyPolicy.")
        if self.identifier is IdentifierKind.UPN and not self.upn_suffixes:
            raise _wrong("An entry that binds by user principal name lists the allowed suffixes.")
        if any(suffix != suffix.lower() or "@" in suffix or not suffix for suffix in self.upn_suffixes):
            raise _wrong("A suffix is what follows the @, in lower case.")
        if any(not _HOST.fullmatch(host) for host in self.status_hosts):
            raise _wrong("A status host is host or host:port, in lower case.")

    def to_document(self) -> dict[str, EntryValue]:
        """Return the entry as JSON values, certificates as base64 DER."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "anchors": [_text(certificate) for certificate in self.anchors],
            "intermediates": [_text(certificate) for certificate in self.intermediates],
            "policies": sorted(self.policies),
            "identifier": self.identifier.value,
            "upn_suffixes": list(self.upn_suffixes),
            "status_hosts": sorted(self.status_hosts),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> "TrustEntry":
        """Return the entry `to_document` wrote; `Malformed` `trust_entry` for anything else."""
        try:
            return cls(
                name=str(document["name"]),
                kind=TrustKind(document["kind"]),
                anchors=_certificates(document["anchors"]),
                intermediates=_certificates(document.get("intermediates", [])),
                policies=frozenset(_texts(document["policies"])),
                identifier=IdentifierKind(document["identifier"]),
                upn_suffixes=tuple(_texts(document.get("upn_suffixes", []))),
                status_hosts=frozenset(_texts(document.get("status_hosts", []))),
            )
        except (KeyError, ValueError) as exc:
            raise _wrong("The trust entry lacks a field or has a value that is not allowed.") from exc


def _wrong(detail: str) -> Malformed:
    return Malformed("trust_entry", detail)


def _text(certificate: x509.Certificate) -> str:
    return base64.b64encode(to_der(certificate)).decode("ascii")


def _certificates(value: object) -> tuple[x509.Certificate, ...]:
    return tuple(load(base64.b64decode(text, validate=True)) for text in _texts(value))


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong("A field of the trust entry is not a list of texts.")
    return value
