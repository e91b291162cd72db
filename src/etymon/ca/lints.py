# SPDX-License-Identifier: Apache-2.0
"""The lints: rules of RFC 5280, the Common Policy profiles v2.2 and SP 800-78-5 that every certificate keeps.

The rules here are about fields; those about encodings, extensions and names have modules of their own.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from etymon.ca.encoding_lints import ENCODING_LINTS
from etymon.ca.extension_lints import EXTENSION_LINTS, PUBLIC_HOST_EXCEPTION
from etymon.ca.lint import Lint, Linted, Severity, lint
from etymon.ca.name_lints import NAME_LINTS
from etymon.ca.policy_lints import POLICY_LINTS
from etymon.ca.profile import YEAR, KeyUsageBit
from etymon.kernel.errors import Malformed
from etymon.pki import key_policy
from etymon.pki.algorithms import KeyType, key_type

__all__ = ["LINTS", "PUBLIC_HOST_EXCEPTION"]

LARGEST_SERIAL_BITS: Final = 159
"""A positive integer of 20 octets (RFC 5280 §4.1.2.2)."""

_SECOND: Final = timedelta(seconds=1)


@lint("version_is_3", "P-1", "RFC 5280 §4.1.2.1; profiles v2.2 §2")
def _version(linted: Linted) -> Iterator[str]:
    if linted.certificate.version is not x509.Version.v3:
        yield "the certificate is not version 3"


@lint("serial_number_positive", "P-1", "RFC 5280 §4.1.2.2; profiles v2.2 §2")
def _serial_number(linted: Linted) -> Iterator[str]:
    serial = linted.certificate.serial_number
    if serial <= 0 or serial.bit_length() > LARGEST_SERIAL_BITS:
        yield "the serial number is not a positive integer of at most 20 octets"


@lint("serial_number_is_random", "P-1", "Common Policy 7.1; CA/B BR 7.1", Severity.WARNING)
def _serial_bits(linted: Linted) -> Iterator[str]:
    if linted.certificate.serial_number.bit_length() < 64:
        yield "the serial number has fewer than 64 bits"


@lint("subject_key_allowed", "P-3", "SP 800-78-5 §3; SP 800-89 §5.3.3; Common Policy 4.2.2, 6.1.5, 6.1.6")
def _subject_key(linted: Linted) -> Iterator[str]:
    try:
        key = key_policy.check(linted.certificate.public_key())
    except Malformed as exc:
        yield exc.detail
        return
    if key_type(key) not in linted.profile.key_types:
        yield "the profile does not allow this type of key"


@lint("rsa_2048_ends_with_2030", "P-4", "Common Policy 6.1.5")
def _short_keys(linted: Linted) -> Iterator[str]:
    if key_type(linted.certificate.public_key()) is KeyType.RSA2048 and linted.validity[1] > key_policy.RSA_2048_ENDS:
        yield "a certificate that ends after 2030 is on a 2048-bit RSA key"


@lint("validity_within_profile", "CP-6.3.2", "Common Policy 6.3.2; FIPS 201-3 §4.2; RFC 5280 §4.1.2.5")
def _validity(linted: Linted) -> Iterator[str]:
    begins, ends = linted.validity
    if ends <= begins:
        yield "the certificate ends before it begins"
    if ends > _latest_end(linted):
        yield "the certificate lives longer than its profile allows"


def _latest_end(linted: Linted) -> datetime:
    """Return the last moment the profile allows; both ends are inside, so a second less is the whole lifetime.

    Somebody else's years may be calendar years, and may end at the very moment at which they began.
    """
    begins, lifetime = linted.validity[0], linted.profile.lifetime
    if not linted.foreign or lifetime % YEAR:
        return begins + lifetime - (timedelta(0) if linted.foreign else _SECOND)
    later = begins.year + lifetime // YEAR
    if (begins.month, begins.day) == (2, 29):
        return begins.replace(year=later, month=3, day=1)
    return begins.replace(year=later)


@lint("validity_within_issuers", "CP-6.3.2", "Common Policy 6.3.2; RFC 5280 §4.1.2.5")
def _within_issuer(linted: Linted) -> Iterator[str]:
    if linted.issuer is not None and linted.validity[1] > linted.issuer.not_valid_after_utc:
        yield "the certificate outlives its issuer"


@lint("key_usage_as_profiled", "P-9", "RFC 5280 §4.2.1.3; profiles v2.2 §2")
def _key_usage(linted: Linted) -> Iterator[str]:
    usage = linted.extension(x509.KeyUsage)
    if usage is None:
        return  # the extension is missing, which another lint says
    profile = linted.profile
    bits = {bit for bit in KeyUsageBit if getattr(usage, bit.value)}
    kind = key_type(linted.certificate.public_key())
    written = profile.key_usage_for(kind)
    optional = profile.optional_key_usage if linted.foreign else frozenset()
    if not written - optional <= bits <= written | optional or not bits:
        yield "the key usage is not the profile's"
    elliptic = kind in {KeyType.P256, KeyType.P384}
    if (usage.key_encipherment and elliptic) or (usage.key_agreement and not elliptic):
        yield "the bit for encryption does not fit the kind of key"
    if usage.data_encipherment or (usage.key_agreement and (usage.encipher_only or usage.decipher_only)):
        yield "one of dataEncipherment, encipherOnly and decipherOnly is set"
    if usage.content_commitment and (usage.key_encipherment or usage.key_agreement):
        yield "nonRepudiation stands beside a bit for encryption"


LINTS: Final[tuple[Lint, ...]] = (
    _version,
    _serial_number,
    _serial_bits,
    _subject_key,
    _short_keys,
    _validity,
    _within_issuer,
    _key_usage,
    *ENCODING_LINTS,
    *EXTENSION_LINTS,
    *POLICY_LINTS,
    *NAME_LINTS,
)
"""Every lint of certificates."""
