# SPDX-License-Identifier: Apache-2.0
"""What the directory refuses, in one sentence each that says what to do next."""

from etymon.kernel.errors import Conflict, Malformed, NotFound, NotPermitted


def person_unknown() -> NotFound:
    """No active account has this id."""
    return NotFound("person_unknown", "There is no active account of this person.")


def principal_taken() -> Conflict:
    """Another active account has this user principal name."""
    return Conflict("user_principal_name_taken", "Another account has this user principal name. Choose another one.")


def address_taken() -> Conflict:
    """Another active account has this mail address; mail encrypted for it would be readable by two people."""
    return Conflict("mail_address_taken", "Another account has this mail address. Remove it there first.")


def group_unknown() -> NotFound:
    """No group has this id."""
    return NotFound("group_unknown", "There is no such group.")


def group_name_taken() -> Conflict:
    """Another group has this name."""
    return Conflict("group_name_taken", "Another group has this name. Choose another one.")


def not_a_member() -> NotFound:
    """The person is not in the group."""
    return NotFound("member_unknown", "This person is not a member of the group.")


def roles_separated() -> Conflict:
    """The person would hold two roles that are kept apart."""
    return Conflict(
        "roles_separated",
        "Administrator, officer and auditor are three different people, and neither administrator nor auditor recovers "
        "keys. Give the role to somebody else.",
    )


def authority_missing() -> Malformed:
    """A role is given or taken on somebody's authority (CP 5.4.1)."""
    return Malformed("authority_missing", "Say on whose authority: name the letter of appointment, or its end.")


def other_confirmer_needed() -> NotPermitted:
    """An appointment is confirmed by somebody who could not have made it (CP 5.2.2, KRP 5.2)."""
    return NotPermitted(
        "other_confirmer_needed",
        "This role is confirmed by an Administrator, who neither gave nor holds it.",
    )


def appointment_changed() -> Conflict:
    """The role was given anew since the confirmer looked; another card may stand for the person."""
    return Conflict(
        "appointment_changed",
        "This is not the appointment that is there now. Look at it and at the person's cards, and confirm that one.",
    )


def account_closed() -> NotPermitted:
    """Nobody touches the account of somebody who recovers keys."""
    return NotPermitted(
        "recovery_role_held",
        "Nobody changes cards and names of somebody who recovers keys. Have an Officer withdraw the role first.",
    )


def auditors_account_closed() -> NotPermitted:
    """Nobody touches the account of an Auditor."""
    return NotPermitted(
        "auditor_role_held",
        "Nobody changes cards and names of an Auditor. Have an Officer withdraw the role first.",
    )


def officers_account_closed() -> NotPermitted:
    """No Officer touches the account of another one."""
    return NotPermitted(
        "officer_role_held",
        "An Officer's cards and names are changed by that Officer alone. Otherwise withdraw the role, have an "
        "Administrator bind the new card, give the role again, and have it confirmed.",
    )


def role_not_held() -> NotFound:
    """The person does not hold the role."""
    return NotFound("role_not_held", "This person does not hold the role.")


def trust_entry_unknown() -> NotFound:
    """No trust entry has this name."""
    return NotFound("trust_entry_unknown", "There is no trust entry of this name.")


def trust_entry_in_use() -> Conflict:
    """Bindings under the entry would come to mean somebody else."""
    return Conflict(
        "trust_entry_in_use",
        "Accounts are bound under this entry: its kind and identifier stay. Make an entry of another name.",
    )


def identifier_bound() -> Conflict:
    """The identifier stands for somebody else."""
    return Conflict(
        "identifier_bound",
        "This card or credential is bound to another account. An Administrator or Officer can end that binding.",
    )


def same_card() -> Conflict:
    """A card does not take its own place."""
    return Conflict("same_card", "A card does not replace itself. Name the new card.")


def binding_unknown() -> NotFound:
    """No live binding has this id."""
    return NotFound("binding_unknown", "There is no such binding, or it has ended.")


def code_refused() -> NotPermitted:
    """The code is wrong, used, replaced, too old or was tried too often; which of these is not told."""
    return NotPermitted("binding_code_refused", "This code is not valid, or no longer. Ask for a new one.")


def not_a_card() -> NotPermitted:
    """Only a card binds an account."""
    return NotPermitted("wrong_certificate_kind", "A binding code is redeemed with a smart card. Present the card.")


def trust_entry_opens_accounts() -> NotPermitted:
    """Return the refusal of authorities or policies that would open an account that is not the Administrators'."""
    return NotPermitted(
        "separated_roles",
        "Officers, Auditors or people who recover keys are bound under this entry, so it takes no further anchors, "
        "policies or suffixes. Make a new entry; each of them binds a card under it.",
    )


def trust_entry_of_recoverers() -> NotPermitted:
    """Nobody ends a card of somebody who recovers keys, nor the trust in it."""
    return NotPermitted(
        "recovery_role_held",
        "Cards of people who recover keys are bound under this entry. Have an Officer withdraw these roles first.",
    )


def trust_entry_of_officers() -> NotPermitted:
    """No Officer would have a card any more, and only an Officer could bind one."""
    return NotPermitted(
        "last_officers",
        "No Officer has a card under another entry. Make one, and have an Officer bind a card under it first.",
    )


def feed_unknown() -> NotFound:
    """No feed has this id."""
    return NotFound("feed_unknown", "There is no such identity feed.")


def account_owned() -> Conflict:
    """Another feed tells of the person, or this one under another name."""
    return Conflict("account_owned", "An identity feed tells of this person already, or the external id is taken.")


def account_unknown() -> NotFound:
    """The feed has no such account."""
    return NotFound("account_unknown", "There is no such user of this feed.")


def external_id_taken() -> Conflict:
    """The feed calls somebody else so."""
    return Conflict("external_id_taken", "Another user of this feed has this externalId.")


def account_over() -> Conflict:
    """The account has ended, and does not come back."""
    return Conflict("account_over", "This account has ended, for good. Create a new one for somebody who comes back.")


def role_holder() -> NotPermitted:
    """The person holds a role; a feed ends the account or its cards, and changes nothing of it."""
    return NotPermitted("role_holder", "This person holds a role here. A feed may end the account, and change nothing.")


def cards_not_permitted() -> NotPermitted:
    """The feed has not the right to bind cards, or the person holds a role."""
    return NotPermitted(
        "cards_not_permitted",
        "This feed may not bind cards to this person. The person binds the card with a one-time code.",
    )


def card_unknown() -> NotFound:
    """The person has no such card, or no cards are trusted under this name."""
    return NotFound("card_unknown", "The person has no such card, or there is no trust entry of cards of this name.")
