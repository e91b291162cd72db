# SPDX-License-Identifier: Apache-2.0
"""One flaw for every lint of names, and more where a rule has several halves."""

import ipaddress
from uuid import UUID

from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.pki.certificate import FASCN_OTHER_NAME, SECURITY_IDENTIFIER_TAG, UPN_OTHER_NAME
from etymon.wire import der
from support.certificate_flaws import CARD, DERIVED, ENDPOINT, SERVER, SIGNATURE, Flaw, authority, other_name, uri
from support.flawed_certificates import UUID_NAME, name, rebuilt, san

NAME_FLAWS: list[Flaw] = [
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.UniformResourceIdentifier("urn:x:y"))),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.DNSName("phone.agency.example"))),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.RegisteredID(NameOID.COMMON_NAME))),
    ),
    (
        "security_identifier_is_well_formed",
        ENDPOINT,
        lambda: rebuilt(ENDPOINT, SubjectAlternativeName=san(uri(f"{SECURITY_IDENTIFIER_TAG}S-1-5-21-x"))),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, uri(f"{SECURITY_IDENTIFIER_TAG}S-1-5-21-1"))),
    ),
    (
        "uuid_is_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(x509.UniformResourceIdentifier(UUID_NAME.value.upper()))),
    ),
    (
        "uuid_is_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(x509.UniformResourceIdentifier(f"urn:uuid:{UUID(int=7)}"))),
    ),
    ("uuid_is_well_formed", DERIVED, lambda: rebuilt(DERIVED, SubjectAlternativeName=san(uri("urn:uuid:card")))),
    (
        "fascn_is_well_formed",
        CARD,
        lambda: rebuilt(CARD, SubjectAlternativeName=san(other_name(FASCN_OTHER_NAME, der.octet_string(b"\0" * 25)))),
    ),
    (
        "upn_is_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(other_name(UPN_OTHER_NAME, der.encode(0x0C, b"alice")))),
    ),
    (
        "upn_is_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(other_name(UPN_OTHER_NAME, der.encode(0x16, b"a@b.c")))),
    ),
    ("mail_is_a_mailbox", SIGNATURE, lambda: rebuilt(SIGNATURE, SubjectAlternativeName=san(x509.RFC822Name("alice")))),
    (
        "purposes_have_their_names",
        SERVER,
        lambda: rebuilt(SERVER, SubjectAlternativeName=san(x509.IPAddress(ipaddress.ip_address("192.0.2.1")))),
    ),
    ("purposes_have_their_names", SIGNATURE, lambda: rebuilt(SIGNATURE, SubjectAlternativeName=None)),
    ("subject_as_profiled", DERIVED, lambda: rebuilt(DERIVED, subject=name((NameOID.ORGANIZATION_NAME, "Only")))),
    ("subject_as_profiled", CARD, lambda: rebuilt(CARD, subject=name((NameOID.COMMON_NAME, "Al")))),
    ("subject_names_a_person", DERIVED, lambda: rebuilt(DERIVED, subject=name((NameOID.COMMON_NAME, "Al")))),
    (
        "subject_names_a_person",
        DERIVED,
        lambda: rebuilt(
            DERIVED,
            subject=name((NameOID.COUNTRY_NAME, "US"), (NameOID.COMMON_NAME, "Al"), (NameOID.ORGANIZATION_NAME, "A")),
        ),
    ),
    (
        "card_serial_number_names_the_card",
        CARD,
        lambda: rebuilt(
            CARD, subject=name((NameOID.ORGANIZATION_NAME, "A"), (NameOID.SERIAL_NUMBER, str(UUID(int=9))))
        ),
    ),
    (
        "subject_has_no_mail_address",
        DERIVED,
        lambda: rebuilt(DERIVED, subject=name((NameOID.COMMON_NAME, "Al"), (NameOID.EMAIL_ADDRESS, "al@x.example"))),
    ),
    ("subject_as_profiled", authority(), lambda: rebuilt(authority(), subject=x509.Name([]))),
]
