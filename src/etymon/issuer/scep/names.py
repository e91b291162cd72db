# SPDX-License-Identifier: Apache-2.0
"""Whose name a certificate bears: read from the records, or from a request that a service has confirmed.

Nothing is copied from a request on its own word. What a request names is compared with what its certificate will say.
"""

from typing import Final

from etymon.ca.model import AlternativeNames, SubjectNames
from etymon.ca.profiles import KeyUsageBit, profile_named
from etymon.directory import people
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import errors
from etymon.issuer.scep.model import PROFILE, ConfirmedNames, Holder
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import SECURITY_IDENTIFIER_TAG, UPN_OTHER_NAME, UUID_URN
from etymon.storage.database import Transaction
from etymon.wire import pkcs10
from etymon.wire.pkcs10 import AlternativeName, CertificationRequest

LONGEST_COMMON_NAME: Final = 64
"""ub-common-name (RFC 5280 appendix A.1)."""

COMMON_NAME: Final = "2.5.4.3"
SERIAL_NUMBER: Final = "2.5.4.5"
COUNTRY: Final = "2.5.4.6"
ORGANIZATION: Final = "2.5.4.10"
ORGANIZATIONAL_UNIT: Final = "2.5.4.11"
DOMAIN_COMPONENT: Final = "0.9.2342.19200300.100.1.25"

_KEY_USAGE_BITS: Final = {0: KeyUsageBit.DIGITAL_SIGNATURE, 2: KeyUsageBit.KEY_ENCIPHERMENT}


def of_records(tx: Transaction, deps: Dependencies, holder: Holder) -> ConfirmedNames:
    """Return the names of a challenge's holder as the records have them now; `not_eligible` for who has left."""
    if holder.person is None:
        number = str(holder.device)
        return ConfirmedNames(
            SubjectNames(
                common_name=holder.device_name or number,
                organization=deps.subject_organization,
                serial_number=number,
            ),
            AlternativeNames(uuid=holder.device),
        )
    person = people.find(tx, holder.person)
    if person is None or not person.active:
        raise errors.holder_not_active()
    return ConfirmedNames(
        SubjectNames(
            common_name=person.display_name[:LONGEST_COMMON_NAME],
            organization=deps.subject_organization,
            serial_number=str(person.id),
        ),
        AlternativeNames(
            uuid=holder.device,
            upn=person.user_principal_name,
            mail=person.mail_addresses[0] if person.mail_addresses else None,
        ),
    )


def require_same(asked: CertificationRequest, names: ConfirmedNames) -> None:
    """Raise `names_differ` unless every name the request asks for is one that its certificate will bear.

    A request may ask for fewer; it has to ask for the common name.
    """
    subject = _pairs(names.subject)
    if not set(asked.subject) <= subject or COMMON_NAME not in dict(asked.subject):
        raise errors.names_differ()
    if not set(pkcs10.alternative_names(asked)) <= _listed(names.alternative):
        raise errors.names_differ()


def of_confirmed_request(asked: CertificationRequest) -> ConfirmedNames:
    """Return the names, and all of them, of a request that a service has confirmed as it stands.

    What certificates of the profile never have is `not_in_profile`: leaving it out would issue what nobody confirmed.
    """
    profile = profile_named(PROFILE)
    bits = pkcs10.key_usage(asked)
    allowed = profile.key_usage_for(KeyType.RSA2048)
    if any(_KEY_USAGE_BITS.get(bit) not in allowed for bit in bits):
        raise errors.names_not_in_profile("such key usage")
    if not pkcs10.extended_key_usage(asked) <= set(profile.extended_key_usage):
        raise errors.names_not_in_profile("such extended key usage")
    return ConfirmedNames(_subject(asked), _alternative(pkcs10.alternative_names(asked)))


def _subject(asked: CertificationRequest) -> SubjectNames:
    found: dict[str, list[str]] = {}
    for kind, value in asked.subject:
        found.setdefault(kind, []).append(value)
    units = tuple(found.pop(ORGANIZATIONAL_UNIT, ()))
    components = tuple(found.pop(DOMAIN_COMPONENT, ()))
    single = {kind: values[0] for kind, values in found.items() if len(values) == 1}
    if single.keys() != found.keys() or not single.keys() <= {COMMON_NAME, SERIAL_NUMBER, COUNTRY, ORGANIZATION}:
        raise errors.names_not_in_profile("such attributes in the subject")
    return SubjectNames(
        common_name=single.get(COMMON_NAME),
        organization=single.get(ORGANIZATION),
        organizational_units=units,
        country=single.get(COUNTRY),
        domain_components=components,
        serial_number=single.get(SERIAL_NUMBER),
    )


def _alternative(names: tuple[AlternativeName, ...]) -> AlternativeNames:
    found: dict[str, str] = {}
    dns: list[str] = []
    for name in names:
        kind, value = name.kind, name.value
        if kind == "dns":
            dns.append(value)
            continue
        if kind == "uri" and value.startswith(SECURITY_IDENTIFIER_TAG):
            kind, value = "security_identifier", value.removeprefix(SECURITY_IDENTIFIER_TAG)
        if kind not in {"mail", "security_identifier", UPN_OTHER_NAME.dotted_string} or kind in found:
            raise errors.names_not_in_profile("such alternative names")
        found[kind] = value
    return AlternativeNames(
        upn=found.get(UPN_OTHER_NAME.dotted_string),
        mail=found.get("mail"),
        dns=tuple(dns),
        security_identifier=found.get("security_identifier"),
    )


def _pairs(subject: SubjectNames) -> set[tuple[str, str]]:
    named = (
        (COMMON_NAME, subject.common_name),
        (ORGANIZATION, subject.organization),
        (SERIAL_NUMBER, subject.serial_number),
    )
    return {(kind, value) for kind, value in named if value is not None}


def _listed(names: AlternativeNames) -> set[AlternativeName]:
    listed = {AlternativeName("uri", f"{UUID_URN}{names.uuid}")} if names.uuid else set()
    if names.upn:
        listed.add(AlternativeName(UPN_OTHER_NAME.dotted_string, names.upn))
    if names.mail:
        listed.add(AlternativeName("mail", names.mail))
    return listed
