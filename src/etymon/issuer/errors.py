# SPDX-License-Identifier: Apache-2.0
"""What the issuer refuses, in one sentence each that says what to do next."""

from datetime import datetime, timedelta

from etymon.kernel.errors import Conflict, Expired, NotAuthenticated, NotFound, NotPermitted, Throttled, Unavailable


def link_unknown() -> NotFound:
    """No link has this id."""
    return NotFound("link_unknown", "This code is not known here. Show a new code on the computer and scan it.")


def link_expired() -> Expired:
    """The link's ten minutes are over."""
    return Expired("link_expired", "This code is too old. Show a new code on the computer and scan it.")


def link_denied() -> NotPermitted:
    """The person, or five wrong secrets or passwords, ended the link."""
    return NotPermitted("link_denied", "This link was refused. Start again with your card on the computer.")


def link_secret_wrong() -> NotPermitted:
    """The secret is not the one the QR code carries."""
    return NotPermitted(
        "link_secret_wrong", "This code does not belong to the link. Scan the code once more, or have a new one shown."
    )


def link_password_required() -> NotPermitted:
    """The link was made with a password and none was sent; nothing was compared."""
    return NotPermitted(
        "link_password_required",
        "This code goes with a number that stands beside it. Type it on the phone; update the app if it does not ask.",
    )


def link_password_wrong(tries_left: int) -> NotPermitted:
    """Secret and password together are not the link's; which of them it is is not known here either."""
    left = "1 try is left" if tries_left == 1 else f"{tries_left} tries are left"
    return NotPermitted(
        "link_password_wrong", f"This is not the number that stands beside the code. Type it again; {left}."
    )


def link_already_redeemed() -> Conflict:
    """Another phone or key was first, or the link is confirmed already."""
    return Conflict(
        "link_already_redeemed", "This code was used already. If that was not you, refuse it on the computer."
    )


def link_proof_wrong() -> NotPermitted:
    """The signature is not the link key's over this request."""
    return NotPermitted("link_proof_wrong", "The request is not signed by the key the link was made with.")


def device_identity_required() -> NotAuthenticated:
    """No client certificate was shown, and the rule is for managed phones."""
    return NotAuthenticated(
        "device_identity_required",
        "Only phones that your organization manages can be linked. Enroll this phone first, then scan the code again.",
    )


def unmanaged_device() -> NotPermitted:
    """The client certificate is no device identity that is trusted here."""
    return NotPermitted("unmanaged_device", "This phone is not managed by an organization that is trusted here.")


def other_device() -> NotPermitted:
    """The device identity is not the one the link was redeemed with."""
    return NotPermitted("other_device", "This link belongs to another phone.")


def not_eligible(detail: str) -> NotPermitted:
    """The person may not have a derived credential now."""
    return NotPermitted("not_eligible", detail)


def no_rule() -> NotPermitted:
    """No rule of an officer covers the person."""
    return NotPermitted(
        "no_issuance_rule", "No rule allows you a credential on a phone. Ask the officer of your organization."
    )


def rule_withdrawn() -> NotPermitted:
    """The rule under which the derivation began is not in force any more."""
    return NotPermitted("rule_withdrawn", "The rule this began under was changed. Start again with your card.")


def rule_not_by_officer() -> NotPermitted:
    """Whoever writes the rule is no officer."""
    return NotPermitted("officer_required", "Only an officer makes, changes or withdraws issuance rules.")


def officer_required() -> NotPermitted:
    """Whoever decides about another's credentials is no officer."""
    return NotPermitted("officer_required", "Only an officer decides about requests and credentials of others.")


def approval_required() -> NotPermitted:
    """The rule wants each derivation approved, and this one is not, or not any more."""
    return NotPermitted("approval_required", "An officer approves this first. Ask for approval with your card.")


def approval_not_needed() -> Conflict:
    """The rule is a blanket rule."""
    return Conflict("approval_not_needed", "You need no approval. Set up your phone.")


def request_unknown() -> NotFound:
    """No request has this id."""
    return NotFound("request_unknown", "There is no such request.")


def own_request() -> NotPermitted:
    """An officer would approve what they asked for themselves."""
    return NotPermitted("own_request", "Nobody decides about their own request. Another officer does.")


def request_decided(state: str) -> Conflict:
    """The request was decided, used or ended before."""
    return Conflict("request_decided", f"This request is {state} already.")


def request_expired() -> Expired:
    """Ninety days have passed since the applicant proved the card (Common Policy 4.2.3)."""
    return Expired("request_expired", "This request is older than 90 days. The applicant asks anew, with the card.")


def device_class_not_covered() -> NotPermitted:
    """No class of devices of the rule covers the phone."""
    return NotPermitted(
        "device_class_not_covered", "Phones of this model are not approved here. Ask your help desk which are."
    )


def authority_revoked() -> Unavailable:
    """The authority that certifies was revoked, and none that came after it is in service."""
    return Unavailable(
        "authority_revoked",
        "Nothing can be issued just now: the authority that certifies credentials was revoked, and its successor is "
        "not in service yet. Come back with your card when your help desk says that it is.",
    )


def too_many_derivations(most: int) -> Conflict:
    """The person has as many devices with credentials as the rule allows."""
    return Conflict(
        "too_many_derivations",
        f"You have credentials on {most} device{'s' if most > 1 else ''} already. End one of them first.",
    )


def card_required() -> NotAuthenticated:
    """Nobody has proved a card to this browser session."""
    return NotAuthenticated("card_required", "Present your card first.")


def card_proof_old() -> NotPermitted:
    """The proof is more than ten minutes old."""
    return NotPermitted("card_proof_old", "You presented your card too long ago for this. Present it once more.")


def card_not_bound() -> NotPermitted:
    """The card is genuine; no active person has it."""
    return NotPermitted("card_not_bound", "This card is not assigned to an active person here. Ask your administrator.")


def other_card_session() -> NotPermitted:
    """Another card session made the link."""
    return NotPermitted("other_card_session", "This link was made in another session. Start again with your card.")


def duties_not_accepted() -> NotPermitted:
    """The box was not ticked, or the text has changed since the page was shown."""
    return NotPermitted("duties_not_accepted", "Read your duties and accept them to go on.")


def derivation_unknown() -> NotFound:
    """No derivation has this id, or it is another person's."""
    return NotFound("derivation_unknown", "There is no such device here.")


def derivation_over() -> Conflict:
    """The derivation is in a state that does not allow the act."""
    return Conflict("derivation_over", "This set-up is over. Start again with your card.")


def authorization_unknown() -> NotAuthenticated:
    """No live authorization has this value."""
    return NotAuthenticated(
        "authorization_unknown", "The authorization is missing, not known or over. Link the phone again."
    )


def purpose_not_authorized() -> NotPermitted:
    """The link does not allow this purpose."""
    return NotPermitted("purpose_not_authorized", "The link does not allow a certificate for this purpose.")


def authorization_used() -> Conflict:
    """The authorization for this purpose was used with another request."""
    return Conflict("authorization_used", "This authorization was used with another request. Link the phone again.")


def key_not_linked() -> NotPermitted:
    """The CSR of the authentication certificate is for another key than the link's."""
    return NotPermitted("key_not_linked", "The authentication certificate is for the key the link was made with.")


def key_type_not_allowed() -> NotPermitted:
    """The rule does not take this kind of key."""
    return NotPermitted("key_type_not_allowed", "The issuance rule does not allow this kind of key.")


def credential_ended() -> NotPermitted:
    """What was asked for again has been ended meanwhile."""
    return NotPermitted("credential_ended", "This credential was ended. Link the phone again.")


def credential_held() -> NotPermitted:
    """What was asked for again is on hold."""
    return NotPermitted("credential_held", "This credential is on hold. Have it restored first.")


def derived_credential_required() -> NotAuthenticated:
    """No client certificate was shown where a derived credential is rekeyed."""
    return NotAuthenticated(
        "derived_credential_required", "Show the derived authentication certificate that is in force, over TLS."
    )


def credential_unknown() -> NotPermitted:
    """The certificate is genuine; it is no credential in force that may be rekeyed here."""
    return NotPermitted("credential_unknown", "This credential is not in force here. Set the phone up with your card.")


def credential_over() -> NotPermitted:
    """The certificate for this purpose has ended; nothing is rekeyed after its end (Common Policy 3.3.1)."""
    return NotPermitted("credential_over", "This certificate has ended. Set the phone up with your card.")


def already_rekeyed() -> Conflict:
    """The certificate was replaced already, by another request (Common Policy 4.6)."""
    return Conflict(
        "already_rekeyed", "This certificate was replaced already. Use the new one; an old one asks for nothing more."
    )


def rekey_not_due(due: datetime) -> NotPermitted:
    """The window is not open yet, and nothing in the certificate has changed."""
    return NotPermitted("rekey_not_due", f"This certificate can be replaced from {due:%Y-%m-%d %H:%M} UTC on.")


def identity_proofing_old() -> NotPermitted:
    """The identity behind the credential was established too long ago (Common Policy 3.3.1)."""
    return NotPermitted(
        "identity_proofing_old",
        "Your card was presented too long ago for this credential to go on. Set the phone up with your card.",
    )


def no_card_bound() -> NotPermitted:
    """No card stands for the person any more: nothing says that they are still entitled to one."""
    return NotPermitted(
        "no_card_bound", "You have no smart card here, so your credential does not go on. Ask your administrator."
    )


def card_not_good() -> NotPermitted:
    """The card behind the credential was revoked; a newer one was not presented yet."""
    return NotPermitted(
        "card_not_good", "Your smart card was revoked. Set the phone up with your present card on the computer."
    )


def card_revoked() -> NotPermitted:
    """The card was revoked since it was presented to this session."""
    return NotPermitted("card_revoked", "Your smart card was revoked. Present your new one.")


def key_held() -> NotPermitted:
    """An officer has the certificate of this key on hold."""
    return NotPermitted(
        "key_held_by_officer", "An officer has the certificate of this key on hold. Ask there, or recover another key."
    )


def card_proof_elsewhere() -> NotPermitted:
    """The card was proved for something else."""
    return NotPermitted("card_proof_elsewhere", "Present your card once more, on the page of your encryption keys.")


def recovery_too_early(since: datetime, wait: timedelta) -> NotPermitted:
    """The card, or the addresses where the person is told, are new: whoever changed them could be asking."""
    return NotPermitted(
        "recovery_too_early",
        f"Your card or your mail addresses were changed at {since:%Y-%m-%d %H:%M} UTC. You get earlier keys "
        f"{wait.days} days after that. If you need one sooner, ask who recovers keys in your organization.",
    )


def recovery_password_wrong() -> NotPermitted:
    """The password is none that the page showed for this key at this card session."""
    return NotPermitted("recovery_password_wrong", "This is not the password that the page showed. Begin again.")


def too_many_recoveries(wait: timedelta) -> Throttled:
    """The person has asked for own keys as often as an hour allows."""
    minutes = int(wait.total_seconds()) // 60 + 1
    return Throttled(
        "too_many_recoveries",
        f"You have asked for your keys too often. Wait {minutes} minute{'s' if minutes > 1 else ''}, then try again.",
        retry_after_seconds=max(1, int(wait.total_seconds()) + 1),
    )


def purpose_not_allowed() -> NotPermitted:
    """The rule in force has no such purpose, or takes no phone of this kind, any more."""
    return NotPermitted("purpose_not_allowed", "The issuance rule does not allow this certificate on this phone.")


def key_history_off() -> NotPermitted:
    """The rule gives no earlier encryption keys to phones."""
    return NotPermitted("key_history_off", "Your organisation gives no earlier encryption keys to phones.")


def key_history_used() -> Conflict:
    """Each authentication certificate opens the history once; the same request again is answered again."""
    return Conflict(
        "key_history_used", "This credential was given its key history already. The next one can ask again."
    )


def issuance_unfinished() -> Unavailable:
    """What was planned could not be finished now; a worker will."""
    return Unavailable("issuance_unfinished", "The certificate is being made. Send the same request again.")
