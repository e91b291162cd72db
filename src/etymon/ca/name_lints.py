# SPDX-License-Identifier: Apache-2.0
"""The lints that look at names: subject and subject alternative names."""

import re
from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.ca.lint import Lint, Linted, lint
from etymon.ca.profiles import EMAIL_PROTECTION, SERVER_AUTHENTICATION, Presence
from etymon.pki import certificate as readers

SECURITY_IDENTIFIER: Final = re.compile(r"S-1-5(-[0-9]{1,10}){1,14}")


@lint("alternative_names_as_profiled", "FIPS 201-3 §4.2.2.1; SP 800-157 §3; Common Policy profiles v2.2 (P-20)")
def _alternative_names(linted: Linted) -> Iterator[str]:
    profile = linted.profile
    names = readers.alternative_names(linted.certificate)
    tags = _security_identifiers(names)
    uris = sum(isinstance(name, x509.UniformResourceIdentifier) for name in names)
    counts = (
        (profile.uuid, uris - len(tags), 1, "UUID"),
        (profile.security_identifier, len(tags), 1, "security identifier"),
        (profile.mail, sum(isinstance(name, x509.RFC822Name) for name in names), 1, "mail address"),
        (profile.dns, sum(isinstance(name, x509.DNSName) for name in names), 100, "DNS name"),
        (profile.ip, sum(isinstance(name, x509.IPAddress) for name in names), 100, "IP address"),
        (profile.fascn, _other_names(names, readers.FASCN_OTHER_NAME), 1, "FASC-N"),
        (profile.upn, _other_names(names, readers.UPN_OTHER_NAME), 1, "user principal name"),
    )
    for presence, count, most, what in counts:
        least = 1 if presence in {Presence.REQUIRED, Presence.FRESH} else 0
        if not least <= count <= (0 if presence is Presence.ABSENT else most):
            yield f"there are {count} of the kind {what}"
    if sum(count for _, count, _, _ in counts) != len(names):
        yield "there is a name of another kind"


def _other_names(names: tuple[x509.GeneralName, ...], kind: x509.ObjectIdentifier) -> int:
    return sum(isinstance(name, x509.OtherName) and name.type_id == kind for name in names)


def _security_identifiers(names: tuple[x509.GeneralName, ...]) -> list[str]:
    tag = readers.SECURITY_IDENTIFIER_TAG
    return [
        name.value for name in names if isinstance(name, x509.UniformResourceIdentifier) and name.value.startswith(tag)
    ]


@lint("security_identifier_is_well_formed", "KB5014754 (tag URI in the subject alternative name); MS-DTYP §2.4.2.1")
def _security_identifier(linted: Linted) -> Iterator[str]:
    for value in _security_identifiers(readers.alternative_names(linted.certificate)):
        if not SECURITY_IDENTIFIER.fullmatch(value.removeprefix(readers.SECURITY_IDENTIFIER_TAG)):
            yield "the security identifier is not of the form S-1-5-…"


@lint("uuid_is_well_formed", "RFC 4122 §3; Common Policy profiles v2.2 (N-4, P-20)")
def _uuid(linted: Linted) -> Iterator[str]:
    found = readers.card_uuid(linted.certificate)
    if found is None:
        return
    urls = [
        name.value
        for name in readers.alternative_names(linted.certificate)
        if isinstance(name, x509.UniformResourceIdentifier)
        and not name.value.startswith(readers.SECURITY_IDENTIFIER_TAG)
    ]
    if urls != [f"urn:uuid:{found}"]:
        yield "the UUID is not written in lower case with hyphens"
    if found.version not in {1, 4, 5}:
        yield "the UUID has a version other than 1, 4 and 5"


@lint("purposes_have_their_names", "RFC 8550 §3; RFC 9525 §2")
def _names_for_purposes(linted: Linted) -> Iterator[str]:
    found = readers.extension(linted.certificate, x509.ExtendedKeyUsage)
    purposes = {purpose.dotted_string for purpose in found.value} if found else set()
    names = readers.alternative_names(linted.certificate)
    if EMAIL_PROTECTION in purposes and not readers.mail(linted.certificate):
        yield "a certificate for mail has no mail address"
    if SERVER_AUTHENTICATION in purposes and not any(isinstance(name, x509.DNSName) for name in names):
        yield "a certificate for a server has no DNS name"


@lint("subject_as_profiled", "Common Policy 3.1.1; Common Policy profiles v2.2 (N-2, N-7)")
def _subject(linted: Linted) -> Iterator[str]:
    subject = linted.certificate.subject
    if subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield "the subject has a mail address"
    for presence, oid, what in (
        (linted.profile.common_name, NameOID.COMMON_NAME, "common name"),
        (linted.profile.subject_serial_number, NameOID.SERIAL_NUMBER, "serial number"),
    ):
        count = len(subject.get_attributes_for_oid(oid))
        least, most = int(presence is Presence.REQUIRED), int(presence is not Presence.ABSENT)
        if not least <= count <= most:
            yield f"the subject has {count} of the kind {what}"


NAME_LINTS: Final[tuple[Lint, ...]] = (
    _alternative_names,
    _uuid,
    _security_identifier,
    _names_for_purposes,
    _subject,
)
"""Every lint of this module."""
