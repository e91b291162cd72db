# SPDX-License-Identifier: Apache-2.0
"""NIST's Public Key Interoperability Test Suite, from the vectors of the cryptography project.

NIST's own signed message of each test holds the certificates and CRLs that the test is to be run with.
"""

import email
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import cryptography_vectors
from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from etymon.pki.certificate import load
from etymon.wire import der

NOW: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""A moment at which all that PKITS means to be valid is."""

DATA: Final = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
ANCHOR: Final = DATA / "certs" / "TrustAnchorRootCertificate.crt"

_TABLE: Final = Path(__file__).parents[1] / "conformance" / "pkits" / "tests.tsv"
_ARC: Final = "2.16.840.1.101.3.2.1.48."
_ANY_POLICY: Final = "2.5.29.32.0"


@dataclass(frozen=True)
class Case:
    """One row: a test of PKITS under one set of inputs; `code` is ours, empty where we say valid."""

    number: str
    nist_says_valid: bool
    code: str
    policies: tuple[str, ...]
    settings: dict[str, tuple[str, ...]]
    title: str

    @property
    def id(self) -> str:
        named = "".join(f" {name}={','.join(value)}" for name, value in self.settings.items())
        return f"{self.number} {self.title}{named}"

    @property
    def is_supported(self) -> bool:
        return self.nist_says_valid == (not self.code)


@dataclass(frozen=True)
class Files:
    """What a test is run with, as DER."""

    leaf: bytes
    intermediates: tuple[bytes, ...]
    crls: tuple[bytes, ...]


@cache
def cases() -> tuple[Case, ...]:
    lines = _TABLE.read_text("utf-8").splitlines()
    return tuple(_case(line) for line in lines if not line.startswith("#"))


@cache
def files(title: str) -> Files:
    message = email.message_from_bytes((DATA / "smime" / f"Signed{re.sub('[ -]', '', title)}.eml").read_bytes())
    (signature,) = [part for part in message.walk() if part.get_content_type() == "application/pkcs7-signature"]
    signed = cms.ContentInfo.load(signature.get_payload(decode=True))["content"]
    signer = signed["signer_infos"][0]["sid"].chosen
    wanted = (signer["issuer"].dump(), signer["serial_number"].native)
    encoded = [element.encoded for element in der.elements(signed["certificates"].contents)]
    (leaf,) = [found for found in encoded if _name_and_number(found) == wanted]
    crls = tuple(element.encoded for element in der.elements(signed["crls"].contents))
    return Files(leaf, tuple(found for found in encoded if found is not leaf), crls)


def _name_and_number(certificate: bytes) -> tuple[bytes, int]:
    found = asn1_x509.Certificate.load(certificate)
    return found.issuer.dump(), found.serial_number


def anchor() -> x509.Certificate:
    return load(ANCHOR.read_bytes())


def _case(line: str) -> Case:
    number, verdict, code, policies, settings, title = line.split("\t")
    named: dict[str, tuple[str, ...]] = {}
    for setting in settings.split() if settings != "-" else ():
        name, _, value = setting.partition("=")
        named[name] = _policies(value) if value else ()
    return Case(number, verdict == "valid", code.strip("-"), _policies(policies.strip("-")), named, title)


def _policies(text: str) -> tuple[str, ...]:
    return tuple(_ANY_POLICY if name == "any" else _ARC + name for name in text.split(",") if name)
