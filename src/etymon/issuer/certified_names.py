# SPDX-License-Identifier: Apache-2.0
"""What a certificate calls its person: always what the directory says on the day, never what a request says."""

from typing import Final

from cryptography import x509

from etymon.ca.model import AlternativeNames
from etymon.directory.model import Person
from etymon.issuer.model import Purpose
from etymon.pki import certificate as reading

LONGEST_COMMON_NAME: Final = 64
"""ub-common-name (RFC 5280 appendix A.1)."""


def names(person: Person, purpose: Purpose) -> tuple[str, AlternativeNames]:
    """Return today's common name, and the names beside the subject."""
    authentication = purpose is Purpose.AUTHENTICATION
    return person.display_name[:LONGEST_COMMON_NAME], AlternativeNames(
        upn=person.user_principal_name if authentication else None,
        mail=None if authentication else next(iter(person.mail_addresses), None),
    )


def is_true_of(certificate: x509.Certificate, person: Person, purpose: Purpose) -> bool:
    """Say whether a certificate still calls a person what the records do (SP 800-157r1 §2.3)."""
    common_name, alternative = names(person, purpose)
    certified = (reading.common_name(certificate), reading.upn(certificate), reading.mail(certificate))
    return certified == (common_name, alternative.upn, (alternative.mail,) if alternative.mail else ())
