# SPDX-License-Identifier: Apache-2.0
"""An issuer of derived credentials as the endpoint manager knows it: where people are sent, how it is reached."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from etymon.kernel.errors import Malformed
from etymon.mdm.model import LONGEST_NAME, InvalidationReason

LONGEST_URL: Final = 500


class IssuerKind(StrEnum):
    """The issuers there is a connector for."""

    ETYMON = "etymon"


@dataclass(frozen=True, slots=True)
class IssuerTerms:
    """What an administrator chooses.

    `renewal_threshold_percentage` is the share of a credential's life that is left when its person is asked for a new
    one.
    """

    display_name: str
    url: str
    kind: IssuerKind = IssuerKind.ETYMON
    help_url: str = ""
    notify_phone: bool = True
    notify_mail: bool = True
    renewal_threshold_percentage: int = 20

    def __post_init__(self) -> None:
        if not 1 <= len(self.display_name) <= LONGEST_NAME or not self.display_name.isprintable():
            raise Malformed("malformed_issuer", f"An issuer has a name of at most {LONGEST_NAME} characters.")
        if not _is_https(self.url) or self.url.endswith("/"):
            raise Malformed("malformed_issuer", "An issuer has an https address that does not end with a slash.")
        if self.help_url and not _is_https(self.help_url, query=True):
            raise Malformed("malformed_issuer", "The address of the instructions is an https address.")
        if not 1 <= self.renewal_threshold_percentage <= 99:
            raise Malformed("malformed_issuer", "The renewal threshold is a percentage between 1 and 99.")


@dataclass(frozen=True, slots=True)
class IssuerDescription:
    """What an issuer says of itself."""

    name: str
    self_service: str
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CredentialIssuer:
    """An issuer as it is stored. `described` is what it last said of itself."""

    id: UUID
    terms: IssuerTerms
    described_name: str | None
    self_service: str | None
    created_at: datetime
    modified_at: datetime
    ended_at: datetime | None

    @property
    def self_service_url(self) -> str:
        """Where people start: what the issuer said, or its address."""
        return self.self_service or self.terms.url + "/"


@dataclass(frozen=True, slots=True)
class Invalidation:
    """An order to an issuer to end every credential of a device; it stands until the issuer has said done."""

    id: UUID
    issuer: UUID
    device: UUID
    reason: InvalidationReason
    comment: str
    is_done: bool
    created_at: datetime


def _is_https(address: str, *, query: bool = False) -> bool:
    if len(address) > LONGEST_URL or not address.isascii() or not address.isprintable() or " " in address:
        return False
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or port == 0:
        return False
    return query or not (parts.query or parts.fragment)
