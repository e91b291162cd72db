# SPDX-License-Identifier: Apache-2.0
"""Policy `email`: a mail account that signs and opens S/MIME with the derived credential."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from etymon.kernel.errors import Malformed
from etymon.phone import document
from etymon.phone.document import Document
from etymon.phone.profiles.outcome import SUCCEEDED, WAITS_FOR_CREDENTIAL, Outcome
from etymon.phone.state import Policy, Purpose

TYPE: Final = "email"
ACCOUNT_FILE: Final = "account.json"

_USES: Final = {"derived": True, "none": False}


@dataclass(frozen=True, slots=True)
class Account:
    """A mail account as its app would find it set up."""

    name: str
    host: str
    address: str
    signing: bool
    encryption: bool
    sign_by_default: bool
    encrypt_by_default: bool


def account(policy: Policy) -> Account:
    """Read the policy's settings."""
    members = Document(policy.settings)
    try:
        signing, encryption = (_USES[members.text(name, "none")] for name in ("signing", "encryption"))
    except KeyError as exc:
        raise Malformed("policy_malformed", "Mail is signed and encrypted with the derived credential or not.") from exc
    found = Account(
        name=members.text("accountName"),
        host=members.text("host"),
        address=members.text("address"),
        signing=signing,
        encryption=encryption,
        sign_by_default=members.flag("signByDefault", default=False),
        encrypt_by_default=members.flag("encryptByDefault", default=False),
    )
    if found.address.count("@") != 1:
        raise Malformed("policy_malformed", "The account's address is not a mail address.")
    return found


def apply(policy: Policy, directory: Path, *, purposes: Collection[Purpose]) -> Outcome:
    """Set the account up; it waits while a certificate it signs or decrypts with is missing."""
    settings = account(policy)
    (directory / ACCOUNT_FILE).write_bytes(document.encode(asdict(settings)))
    needed = {Purpose.SIGNATURE: settings.signing, Purpose.ENCRYPTION: settings.encryption}
    if any(uses and purpose not in purposes for purpose, uses in needed.items()):
        return WAITS_FOR_CREDENTIAL
    return SUCCEEDED
