# SPDX-License-Identifier: Apache-2.0
"""Configuration profiles as values: what is unsafe or broken is not built, what is built survives its document."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed
from etymon.mdm.model import Purpose
from etymon.mdm.settings import (
    AddressSource,
    CertificateAccess,
    CredentialSource,
    DerivedCredentialForApps,
    Email,
    ProfileSettings,
    ProfileType,
    TrustedRoot,
    WiFi,
    from_document,
    purposes_of,
    to_document,
    type_of,
)

ROOT = UUID(int=1)
DERIVED = CredentialSource.DERIVED


def certificate(*, ca: bool | None = True, key: Any = None) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Agency Root")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=9))
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


GOOD: list[ProfileSettings] = [
    TrustedRoot(certificate(), "root.cer"),
    DerivedCredentialForApps(),
    DerivedCredentialForApps(CertificateAccess.SPECIFIC_APPS, ("org.example.mail", "com.android.chrome")),
    WiFi("Agency", "AGENCY", ("radius.agency.example", "agency.example"), (ROOT, UUID(int=2)), hidden=True),
    Email("Agency", "mail.agency.example:443", AddressSource.USER_PRINCIPAL_NAME),
    Email("Agency", "mail", signing=DERIVED, encryption=DERIVED, sign_by_default=True, encrypt_by_default=True),
]


@pytest.mark.parametrize("settings", GOOD, ids=lambda settings: type_of(settings).value)
def test_a_document_gives_the_settings_back(settings: ProfileSettings) -> None:
    assert from_document(type_of(settings), to_document(settings)) == settings


@pytest.mark.parametrize(
    ("settings", "purposes"),
    [
        (GOOD[0], set()),
        (GOOD[1], {Purpose.AUTHENTICATION}),
        (GOOD[3], {Purpose.AUTHENTICATION}),
        (GOOD[4], set()),
        (Email("a", "b", signing=DERIVED), {Purpose.SIGNATURE}),
        (Email("a", "b", encryption=DERIVED), {Purpose.ENCRYPTION}),
        (GOOD[5], {Purpose.SIGNATURE, Purpose.ENCRYPTION}),
    ],
)
def test_settings_tell_which_certificates_they_need(settings: ProfileSettings, purposes: set[Purpose]) -> None:
    assert purposes_of(settings) == purposes


@pytest.mark.parametrize(
    "values",
    [
        {"ssid": ""},
        {"ssid": "x" * 33},
        {"ssid": "ü" * 17},
        {"ssid": "a\nb"},
        {"ssid": "\ud800"},
        {"network_name": "x" * 201},
        {"server_names": ()},
        {"server_names": ("*.agency.example",)},
        {"server_names": ("a..b",)},
        {"server_names": ("-a.example",)},
        {"server_names": tuple("a" * 60 + str(number) for number in range(10, 15))},
        {"server_names": ("a",) * 21},
        {"trusted_roots": ()},
        {"trusted_roots": (ROOT,) * 501},
        {"outer_identity": "x" * 201},
    ],
)
def test_a_network_that_cannot_be_told_from_a_false_one_is_refused(values: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "network_name": "Agency",
        "ssid": "AGENCY",
        "server_names": ("agency.example",),
        "trusted_roots": (ROOT,),
    }
    WiFi(**good)
    with pytest.raises(Malformed):
        WiFi(**{**good, **values})


@pytest.mark.parametrize(
    ("access", "packages"),
    [
        (CertificateAccess.SPECIFIC_APPS, ()),
        (CertificateAccess.USER_APPROVAL, ("org.example.mail",)),
        (CertificateAccess.SPECIFIC_APPS, ("mail",)),
        (CertificateAccess.SPECIFIC_APPS, ("org.example.mail; rm",)),
        (CertificateAccess.SPECIFIC_APPS, ("org.example.mail", "org.example.mail")),
        (CertificateAccess.SPECIFIC_APPS, tuple(f"org.example.app{number}" for number in range(51))),
        (CertificateAccess.SPECIFIC_APPS, ("a." + "b" * 200,)),
    ],
)
def test_apps_are_named_exactly_when_they_are_meant(access: CertificateAccess, packages: tuple[str, ...]) -> None:
    with pytest.raises(Malformed):
        DerivedCredentialForApps(access, packages)


@pytest.mark.parametrize(
    "values",
    [
        {"account_name": ""},
        {"account_name": "a\x00"},
        {"host": ""},
        {"host": "https://mail.agency.example"},
        {"host": "mail.agency.example:0"},
        {"host": "mail agency"},
        {"sign_by_default": True},
        {"encrypt_by_default": True, "signing": DERIVED},
    ],
)
def test_a_broken_mail_account_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Email(**{"account_name": "Agency", "host": "mail.agency.example", **values})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a certificate",
        certificate(ca=False),
        certificate(ca=None),
        certificate() + b"\x00",
        certificate(key=ec.generate_private_key(ec.SECP521R1())),
        certificate(key=rsa.generate_private_key(65537, 1024)),  # noqa: S505 - too small on purpose
    ],
)
def test_what_is_no_ca_that_may_be_trusted_is_no_trusted_root(data: bytes) -> None:
    with pytest.raises(Malformed):
        TrustedRoot(data, "root.cer")


def test_a_trusted_root_has_a_file_name() -> None:
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(Malformed):
            TrustedRoot(certificate(), name)


@pytest.mark.parametrize("kind", list(ProfileType))
@pytest.mark.parametrize(
    "document", [{}, {"certificate": "ä", "fileName": "x"}, {"packages": "x", "certificateAccess": "userApproval"}]
)
def test_a_broken_document_is_malformed(kind: ProfileType, document: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        from_document(kind, document)


@pytest.mark.parametrize("settings", GOOD[1:], ids=lambda settings: type_of(settings).value)
def test_a_document_with_one_value_of_another_type_is_malformed(settings: ProfileSettings) -> None:
    good = to_document(settings)
    for name in good.keys() - {"security", "eap", "credential"}:
        with pytest.raises(Malformed):
            from_document(type_of(settings), {**good, name: 7})  # type: ignore[dict-item]  # that is the point
