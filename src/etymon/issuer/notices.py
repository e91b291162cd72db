# SPDX-License-Identifier: Apache-2.0
"""What cardholders are told by mail, whoever asked for it, so that a stranger's act does not stay unseen (CP 4.3.2)."""

from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.directory import addresses, notices, roles
from etymon.directory.model import Person, Role
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Derivation, EndReason, Purpose
from etymon.storage.database import Transaction

PURPOSE_NAMES: Final = {
    Purpose.AUTHENTICATION: "sign-in",
    Purpose.SIGNATURE: "signature",
    Purpose.ENCRYPTION: "encryption",
}

REASON_TEXTS: Final = {
    EndReason.KEY_COMPROMISE: "the phone or its keys may be in other hands",
    EndReason.AFFILIATION_CHANGED: "your account has ended",
    EndReason.SUPERSEDED: "newer ones have taken their place",
    EndReason.CESSATION_OF_OPERATION: "they are no longer needed",
    EndReason.PRIVILEGE_WITHDRAWN: "the right to use them was withdrawn",
    EndReason.UNSPECIFIED: "you or your administrator asked for it",
}


def link_confirmed(tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation) -> None:
    """Tell that a phone was linked to the person's card (SP 800-63B-4, 4.1)."""
    _tell(
        tx,
        deps,
        person,
        "A phone was linked to your smart card",
        f"A phone was linked to your smart card and will receive credentials in your name:\n\n  {device(derivation)}\n",
        undo=derivation.undo,
    )


def certificate_issued(
    tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, *, purpose: Purpose, serial: str
) -> None:
    """Tell that a certificate was made (Common Policy 4.3.2)."""
    _tell(
        tx,
        deps,
        person,
        f"A certificate for {PURPOSE_NAMES[purpose]} was issued to your phone",
        f"A certificate for {PURPOSE_NAMES[purpose]} in your name was issued to this phone:\n\n"
        f"  {device(derivation)}\n  Serial number {serial}\n"
        + (
            "\nYour organization keeps a copy of the key that decrypts your mail.\n"
            if purpose is Purpose.ENCRYPTION
            else ""
        ),
        undo=derivation.undo,
    )


def certificate_replaced(
    tx: Transaction,
    deps: Dependencies,
    person: Person,
    derivation: Derivation,
    *,
    purpose: Purpose,
    serial: str,
    replaced: str,
) -> None:
    """Tell that a certificate was rekeyed: a new one was made, and which one it replaces."""
    _tell(
        tx,
        deps,
        person,
        f"Your phone's certificate for {PURPOSE_NAMES[purpose]} was replaced",
        f"This phone has a new key and certificate for {PURPOSE_NAMES[purpose]} in your name:\n\n"
        f"  {device(derivation)}\n  Serial number {serial}, in place of {replaced}\n\n"
        f"You need do nothing. The one before ends as soon as the new one is used, in {deps.rekey_grace.days} days at "
        "the latest.\n",
        undo=derivation.undo,
    )


def data_changed(tx: Transaction, deps: Dependencies, person: Person, over: datetime) -> None:
    """Tell that certificates are to be replaced because the records say something else (SP 800-157r1 §2.3)."""
    _tell(
        tx,
        deps,
        person,
        "Your phone's credentials will be replaced",
        "Your name or address in the records has changed, and credentials on your phone give the one before.\n\nOpen "
        f"the portal app on each phone that has some: it replaces them. What is not replaced by {over:%Y-%m-%d %H:%M} "
        "UTC ends then.\n",
        undo=None,
    )


def credentials_ended(
    tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, because: str
) -> None:
    """Tell that credentials were ended (FIPS 201-3 §2.10.2), and why."""
    _tell(
        tx,
        deps,
        person,
        "Credentials on your phone were ended",
        f"Credentials in your name on this phone were ended, because {because}:\n\n"
        f"  {device(derivation)}\n\nThey are not accepted any more. "
        f"If you need new ones, set the phone up again with your card:\n\n  {deps.issuer_url}/\n",
        undo=None,
    )


def credentials_held(
    tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, until: datetime, *, is_own: bool
) -> None:
    """Tell that credentials were put on hold, by whom they are restored, and until when that can be."""
    how = (
        f"Restore them with your smart card before then:\n\n  {deps.issuer_url}/\n"
        if is_own
        else "An officer put them on hold. Ask your help desk what it takes to restore them.\n"
    )
    _tell(
        tx,
        deps,
        person,
        "Credentials on your phone were put on hold",
        "Credentials in your name on this phone were put on hold and are not accepted meanwhile:\n\n"
        f"  {device(derivation)}\n\nIf nobody restores them by {until:%Y-%m-%d %H:%M} UTC, they end. {how}",
        undo=derivation.undo,
    )


def credentials_restored(tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation) -> None:
    """Tell that credentials that were on hold are in force again."""
    _tell(
        tx,
        deps,
        person,
        "Credentials on your phone are in force again",
        f"Credentials in your name on this phone were on hold and are accepted again:\n\n  {device(derivation)}\n",
        undo=derivation.undo,
    )


def card_replaced(tx: Transaction, deps: Dependencies, person: Person) -> None:
    """Tell that what is on the phone goes on with the new card (SP 800-157 §2.4)."""
    _tell(
        tx,
        deps,
        person,
        "Your phone's credentials go with your new card",
        "Your smart card was replaced. The credentials on your phone stay as they are and belong to the new card now.\n"
        "If you know of no new card, tell your administrator at once.\n",
        undo=None,
    )


def link_denied(
    tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, *, by_person: bool
) -> None:
    """Tell that a phone was not linked: its person refused it, or it gave a wrong secret too often."""
    why = (
        f"You refused to link this phone to your smart card:\n\n  {device(derivation)}\n\nIt gets nothing."
        if by_person
        else "The code that you were shown for a phone was answered wrongly five times and is not good any more. "
        "Somebody may have tried to guess it. Nothing was issued."
    )
    _tell(
        tx,
        deps,
        person,
        "A phone was not linked to your smart card",
        f"{why}\n\nIf you still want to set up a phone, begin anew with your card:\n\n  {deps.issuer_url}/\n\n"
        "If you know nothing of this, tell the help desk at once.\n",
        undo=None,
    )


def link_ended(tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, because: str) -> None:
    """Tell that a phone that was linked gets nothing any more, before anything was issued to it."""
    _tell(
        tx,
        deps,
        person,
        "The set-up of your phone was ended",
        f"This phone was linked to your smart card and got no credentials, because {because}:\n\n"
        f"  {device(derivation)}\n\nIf you want to set it up, begin anew with your card:\n\n  {deps.issuer_url}/\n",
        undo=None,
    )


def credentials_end_soon(
    tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, ends: datetime
) -> None:
    """Tell that credentials end soon and the phone has not replaced them by itself."""
    _tell(
        tx,
        deps,
        person,
        "Credentials on your phone end soon",
        f"Credentials in your name on this phone end on {ends:%Y-%m-%d}, and the phone has not replaced them yet:\n\n"
        f"  {device(derivation)}\n\nOpen the portal app on the phone while it is connected, and follow it. Where that "
        f"does not help, set the phone up again with your card:\n\n  {deps.issuer_url}/\n",
        undo=None,
    )


def rekey_refused(tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, ends: datetime) -> None:
    """Tell that the phone may not replace its credentials, and when they end."""
    _tell(
        tx,
        deps,
        person,
        "Your phone could not replace its credentials",
        f"This phone asked for new credentials in your name and was refused:\n\n  {device(derivation)}\n\n"
        f"Those that it has are good until {ends:%Y-%m-%d}. Your smart card or your account may not allow new ones any "
        "more, or the phone may have changed. Ask the help desk, or set the phone up again with your card:\n\n"
        f"  {deps.issuer_url}/\n",
        undo=None,
    )


def managed_certificate_ended(tx: Transaction, deps: Dependencies, person: Person, serial: str, because: str) -> None:
    """Tell that a certificate that an endpoint manager got for the person was ended."""
    _tell(
        tx,
        deps,
        person,
        "A certificate on one of your devices was ended",
        f"A certificate in your name on a device that your organization manages was ended, because {because}:\n\n"
        f"  Serial number {serial}\n\nIt is not accepted any more. If you still need one, ask the help desk.\n",
        undo=None,
    )


def officers(tx: Transaction, deps: Dependencies, subject: str, text: str, *, but: UUID | None = None) -> None:
    """Tell every Officer, but one, of what needs a person's eye; nothing of a cardholder but ids is in it."""
    for officer in roles.holders(tx, Role.OFFICER, limit=roles.PAGE_LIMIT, counting=True):
        if officer.id != but:
            _tell(tx, deps, officer, subject, text, undo=None)


def applicant(tx: Transaction, deps: Dependencies, person: Person, subject: str, text: str) -> None:
    """Tell an applicant how a request stands."""
    _tell(tx, deps, person, subject, text, undo=None)


def device(derivation: Derivation) -> str:
    """Return what a person calls the phone."""
    if derivation.link is None:
        return "a phone"
    said = derivation.link.description
    name = " ".join(part for part in (said.manufacturer, said.model) if part) or "a phone"
    return f"{name}, serial number {said.serial_number}" if said.serial_number else name


def _tell(tx: Transaction, deps: Dependencies, person: Person, subject: str, text: str, *, undo: UUID | None) -> None:
    lines = [f"Hello {person.display_name},", "", text]
    if undo is not None:
        lines += [
            "If this was not you, end these credentials at once:",
            "",
            f"  {deps.issuer_url}/undo/{undo}",
            "",
        ]
    if deps.branding.support:
        lines += [f"Help: {deps.branding.support}", ""]
    lines += [deps.branding.organization, ""]
    notices.notify(tx, deps.clock, deps.entropy, addresses.to_tell(tx, deps.clock, person), subject, "\n".join(lines))
