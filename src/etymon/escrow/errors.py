# SPDX-License-Identifier: Apache-2.0
"""What escrow refuses, in one sentence each that says what to do next."""

from etymon.kernel.errors import Conflict, Expired, Malformed, NotFound, NotPermitted, Unavailable


def key_unknown() -> NotFound:
    """No such key, or not this person's."""
    return NotFound("escrowed_key_unknown", "There is no such key in escrow for this person.")


def key_destroyed() -> Conflict:
    """The key is gone."""
    return Conflict("escrowed_key_destroyed", "This key was destroyed and cannot be released.")


def key_unusable() -> Unavailable:
    """What is kept does not open, or opens to another key."""
    return Unavailable("escrowed_key_unusable", "The key in escrow cannot be opened. Tell the administrator.")


def key_type_not_escrowed() -> Malformed:
    """Escrow makes RSA keys of 2048 and 3072 bits."""
    return Malformed("key_type_not_escrowed", "Encryption keys are RSA keys of 2048 or 3072 bits.")


def transport_key_too_weak() -> Malformed:
    """The transport key would be the weakest link."""
    return Malformed("transport_key_too_weak", "The transport key is shorter than the key it is to carry.")


def no_notice_address() -> Conflict:
    """The owner could not be told (KRP 4.2: without an address there is no automatic recovery)."""
    return Conflict("no_notice_address", "The owner has no mail address to be told at. Record one first.")


def retention_not_over() -> Conflict:
    """The key must still be kept."""
    return Conflict("retention_not_over", "The key is kept until a year after its certificate ends.")


def certificate_of_another_key() -> Conflict:
    """The certificate does not belong to the key, or the key has another already."""
    return Conflict("certificate_of_another_key", "This certificate does not belong to the key in escrow.")


def under_legal_hold() -> Conflict:
    """The person's keys are kept for a proceeding."""
    return Conflict("legal_hold", "This person's keys are under a legal hold. Lift it first.")


def hold_unknown() -> NotFound:
    """No such hold."""
    return NotFound("legal_hold_unknown", "There is no such legal hold.")


def hold_lifted() -> Conflict:
    """The hold was lifted before."""
    return Conflict("legal_hold_lifted", "This legal hold was lifted before.")


def own_key() -> NotPermitted:
    """Nobody takes part in recovering the own key this way."""
    return NotPermitted("own_key", "Nobody takes part in recovering the own key, or in what is done about it.")


def other_agent_needed() -> NotPermitted:
    """Two agents approve, and who asked is neither (KRP 4.2)."""
    return NotPermitted("other_agent_needed", "Two agents who did not ask approve a recovery, each once.")


def approval_void() -> Conflict:
    """An agent who approved has lost the role, or the account."""
    return Conflict("approval_void", "An agent who approved this recovery is none any more. Ask for a new one.")


def halves_wrong() -> NotPermitted:
    """What was given are not both halves of the password."""
    return NotPermitted("halves_wrong", "These are not the two halves that the agents were shown.")


def recovery_unknown() -> NotFound:
    """No such recovery, or somebody else's to collect."""
    return NotFound("recovery_unknown", "There is no such recovery.")


def recovery_state(state: str) -> Conflict:
    """The recovery is not where this can be done."""
    return Conflict("recovery_state", f"This recovery is {state}, which does not allow this. Look at it, or ask anew.")


def recovery_expired() -> Expired:
    """The recovery was not finished within its time."""
    return Expired("recovery_expired", "This recovery is too old. Ask for a new one.")
