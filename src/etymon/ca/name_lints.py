# SPDX-License-Identifier: Apache-2.0
"""The lints that look at names: subject and subject alternative names (Common Policy 3.1; profiles v2.2)."""

import re
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.ca.common_names import has_form
from etymon.ca.lint import Lint, Linted, lint
from etymon.ca.profile import Presence
from etymon.ca.purposes import EMAIL_PROTECTION, SERVER_AUTHENTICATION
from etymon.kernel.errors import DecodeError
from etymon.pki import certificate as readers
from etymon.wire import der, fascn

_BASE: Final = frozenset(
    {NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME, NameOID.DOMAIN_COMPONENT, NameOID.ORGANIZATIONAL_UNIT_NAME}
)
_AFTER_COMMON_NAME: Final = frozenset({NameOID.SERIAL_NUMBER, NameOID.DN_QUALIFIER, NameOID.USER_ID})
_UTF8_STRING: Final = 0x0C
_MAILBOX: Final = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_FASCN_DIGITS: Final = re.compile(r"\d{40}")
SECURITY_IDENTIFIER: Final = re.compile(r"S-1-5(-[0-9]{1,10}){1,14}")
_PRINCIPAL: Final = re.compile(r"[^@\s]+@[^@\s]+")


@lint("alternative_names_as_profiled", "P-20", "FIPS 201-3 §4.2.2.1; SP 800-157 §3; profiles v2.2")
def _alternative_names(linted: Linted) -> Iterator[str]:
    profile, names = linted.profile, linted.names
    tags = _security_identifiers(linted)
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier) and name.value not in tags]
    counted = [uri for uri in uris if not linted.foreign or _is_uuid_urn(uri)]
    most_uuids = profile.most_uuids if linted.foreign else 1
    others = linted.foreign and profile.other_names
    counts = (
        (profile.uuid, len(counted), most_uuids, "UUID"),
        (profile.security_identifier, len(tags), 1, "security identifier"),
        (profile.mail, sum(isinstance(name, x509.RFC822Name) for name in names), 100 if others else 1, "mail address"),
        (profile.dns, sum(isinstance(name, x509.DNSName) for name in names), 100, "DNS name"),
        (profile.ip, sum(isinstance(name, x509.IPAddress) for name in names), 100, "IP address"),
        (profile.fascn, len(_other_names(linted, readers.FASCN_OTHER_NAME)), 1, "FASC-N"),
        (profile.upn, len(_other_names(linted, readers.UPN_OTHER_NAME)), 1, "user principal name"),
    )
    for presence, count, most, what in counts:
        least = 1 if presence in {Presence.REQUIRED, Presence.FRESH} else 0
        if not least <= count <= (0 if presence is Presence.ABSENT and not others else most):
            yield f"there are {count} of the kind {what}"
    if not others and sum(count for _, count, _, _ in counts) != len(names):
        yield "there is a name of another kind"


def _is_uuid_urn(uri: str) -> bool:
    return uri.lower().startswith(readers.UUID_URN)


def _other_names(linted: Linted, kind: x509.ObjectIdentifier) -> list[bytes]:
    return [name.value for name in linted.names if isinstance(name, x509.OtherName) and name.type_id == kind]


def _security_identifiers(linted: Linted) -> list[str]:
    tag = readers.SECURITY_IDENTIFIER_TAG
    uris = [name.value for name in linted.names if isinstance(name, x509.UniformResourceIdentifier)]
    return [uri for uri in uris if uri.startswith(tag)]


@lint(
    "security_identifier_is_well_formed",
    "P-21",
    "KB5014754 (tag URI among the names); MS-DTYP §2.4.2.1",
)
def _security_identifier(linted: Linted) -> Iterator[str]:
    for uri in _security_identifiers(linted):
        if not SECURITY_IDENTIFIER.fullmatch(uri.removeprefix(readers.SECURITY_IDENTIFIER_TAG)):
            yield "the security identifier is not of the form S-1-5-…"


@lint("uuid_is_well_formed", "N-4", "RFC 4122 §3; FIPS 201-3 §4.2.2.1; profiles v2.2")
def _uuid(linted: Linted) -> Iterator[str]:
    for name in linted.names:
        if not isinstance(name, x509.UniformResourceIdentifier) or not _is_uuid_urn(name.value):
            continue
        found = UUID(name.value[len(readers.UUID_URN) :])
        if name.value != f"urn:uuid:{found}":
            yield "the UUID is not written in lower case with hyphens"
        if found.version not in {1, 4, 5}:
            yield "the UUID has a version other than 1, 4 and 5"


@lint("fascn_is_well_formed", "N-3", "FIPS 201-3 §4.2.2.1; TIG SCEPACS §2.1")
def _fascn(linted: Linted) -> Iterator[str]:
    for value in _other_names(linted, readers.FASCN_OTHER_NAME):
        try:
            fascn.decode(der.only(value, der.OCTET_STRING).content)
        except DecodeError as exc:
            yield f"the FASC-N is not 25 bytes in an OCTET STRING with right parities: {exc.detail}"


@lint("upn_is_well_formed", "N-5", "MS-WCCE; profiles v2.2")
def _upn(linted: Linted) -> Iterator[str]:
    for value in _other_names(linted, readers.UPN_OTHER_NAME):
        text = der.only(value, _UTF8_STRING).content.decode("utf-8")
        if not _PRINCIPAL.fullmatch(text):
            yield "the user principal name is not of the form name@domain"


@lint("mail_is_a_mailbox", "N-6", "RFC 5280 §4.2.1.6; RFC 5321 §4.1.2")
def _mail(linted: Linted) -> Iterator[str]:
    for name in linted.names:
        if isinstance(name, x509.RFC822Name) and not _MAILBOX.fullmatch(name.value):
            yield "a mail address is not an ASCII mailbox"


@lint("purposes_have_their_names", "N-6", "RFC 8550 §3; RFC 9525 §2; profiles v2.2")
def _names_for_purposes(linted: Linted) -> Iterator[str]:
    if EMAIL_PROTECTION in linted.purposes and not any(isinstance(name, x509.RFC822Name) for name in linted.names):
        yield "a certificate for mail has no mail address"
    if SERVER_AUTHENTICATION in linted.purposes and not any(isinstance(name, x509.DNSName) for name in linted.names):
        yield "a certificate for a server has no DNS name"


@lint("subject_as_profiled", "N-1", "Common Policy 3.1.1; profiles v2.2")
def _subject(linted: Linted) -> Iterator[str]:
    subject = linted.certificate.subject
    for presence, oid, what in (
        (linted.profile.common_name, NameOID.COMMON_NAME, "common name"),
        (linted.profile.subject_serial_number, NameOID.SERIAL_NUMBER, "serial number"),
    ):
        count = len(subject.get_attributes_for_oid(oid))
        least, most = int(presence is Presence.REQUIRED), int(presence is not Presence.ABSENT)
        if not least <= count <= most:
            yield f"the subject has {count} of the kind {what}"
    if not subject.rdns and linted.profile.is_authority:
        yield "an authority has no name"


@lint("subject_names_a_person", "N-1", "Common Policy 3.1.1.1")
def _person(linted: Linted) -> Iterator[str]:
    """A person's common name has an allowed form, an organisation's name before it, and identifiers alone after it."""
    if not linted.profile.names_a_person:
        return
    kinds = [{attribute.oid for attribute in relative} for relative in linted.certificate.subject.rdns]
    named = [position for position, found in enumerate(kinds) if NameOID.COMMON_NAME in found]
    if not named:
        return
    if not any(found & _BASE for found in kinds[: named[0]]):
        yield "the common name stands below no country, organisation or domain"
    for attribute in linted.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        if not has_form(str(attribute.value), linted.common_name_forms):
            yield "the common name has none of the forms that the organisation allows"
    if any(not found <= _AFTER_COMMON_NAME for found in kinds[named[-1] + 1 :]):
        yield "something other than an identifier follows the common name"


@lint("card_serial_number_names_the_card", "N-2", "FIPS 201-3 §4.2.2.2; Common Policy 3.1.1.3; profiles v2.2")
def _card_serial_number(linted: Linted) -> Iterator[str]:
    """The serial number of a card authentication certificate is the card's UUID or FASC-N, as its names say."""
    if linted.profile.common_name is not Presence.ABSENT:
        return
    uris = {name.value.lower() for name in linted.names if isinstance(name, x509.UniformResourceIdentifier)}
    fascns = {der.only(value, der.OCTET_STRING).content for value in _other_names(linted, readers.FASCN_OTHER_NAME)}
    known = {uri.removeprefix(readers.UUID_URN) for uri in uris} | {octets.hex() for octets in fascns}
    for attribute in linted.certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER):
        text = str(attribute.value).lower()
        if text not in known and not (fascns and _FASCN_DIGITS.fullmatch(text)):
            yield "the subject's serial number is neither the UUID nor the FASC-N among the alternative names"


@lint("subject_has_no_mail_address", "N-7", "Common Policy 3.1.1; profiles v2.2")
def _no_mail(linted: Linted) -> Iterator[str]:
    if linted.certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        yield "the subject has a mail address"


NAME_LINTS: Final[tuple[Lint, ...]] = (
    _alternative_names,
    _uuid,
    _security_identifier,
    _fascn,
    _upn,
    _mail,
    _names_for_purposes,
    _subject,
    _person,
    _card_serial_number,
    _no_mail,
)
"""Every lint of this module."""
