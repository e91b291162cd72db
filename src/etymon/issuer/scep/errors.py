# SPDX-License-Identifier: Apache-2.0
"""What a request at a connector is refused for; clients show the sentence, operators find the code in the trail."""

from etymon.kernel.errors import (
    Conflict,
    Expired,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Throttled,
    Unavailable,
)


def connector_unknown() -> NotFound:
    """No connector in force has this name."""
    return NotFound("scep_connector_unknown", "There is no such SCEP connector here. Ask your administrator.")


def not_by_officer() -> NotPermitted:
    """Whoever makes a connector is no officer."""
    return NotPermitted("officer_required", "Only an officer makes, changes or withdraws SCEP connectors.")


def label_unknown() -> NotFound:
    """The label of an EST address is no connector in force."""
    return NotFound(
        "label_unknown", "The label is a phone's purpose, or the name of a connector. Ask your administrator."
    )


def name_reserved() -> Malformed:
    """The name means something else where it would be the label of an EST address."""
    return Malformed("name_reserved", "That word has a meaning in addresses of EST. Give the connector another name.")


def challenge_elsewhere() -> NotFound:
    """An outside service lets requests in here, and knows SCEP only."""
    return NotFound("est_not_offered", "This connector is for SCEP only.")


def certificate_required() -> NotAuthenticated:
    """Nobody has shown a certificate."""
    return NotAuthenticated("certificate_required", "Show the certificate that is to be renewed, in TLS.")


def renewed_elsewhere(url: str) -> NotPermitted:
    """The site never asks for certificates, by which renewals are let in."""
    return NotPermitted("reenroll_elsewhere", f"Certificates are renewed at {url}, with the old one as TLS client.")


def not_the_connectors_client() -> NotPermitted:
    """The management client is not the one the connector names."""
    return NotPermitted("not_your_connector", "This connector belongs to another client.")


def no_challenges_here() -> Conflict:
    """The connector's challenges come from elsewhere."""
    return Conflict("no_challenges_here", "This connector does not give out challenges in this way.")


def cache_full() -> Throttled:
    """As many challenges as a connector may have are waiting."""
    return Throttled(
        "challenges_waiting", "Too many challenges wait to be used. Come back later.", retry_after_seconds=600
    )


def message_type_unknown() -> NotPermitted:
    """The message is none that a client sends."""
    return NotPermitted("message_type_unknown", "This kind of message is not answered here.")


def signature_wrong() -> Malformed:
    """The message's signature, or its digest, is not the signer's over what arrived."""
    return Malformed("message_signature_wrong", "The message is not what its sender signed.")


def signer_not_requester() -> Malformed:
    """The message is signed with another key than the one it asks to certify, and with no certificate of ours."""
    return Malformed("signer_not_requester", "Sign the message with the key that is to be certified.")


def challenge_missing() -> NotPermitted:
    """The request has no challenge password."""
    return NotPermitted("challenge_missing", "The request carries no challenge. Ask your endpoint manager for one.")


def challenge_wrong() -> NotPermitted:
    """Nothing of this connector has the challenge."""
    return NotPermitted("challenge_wrong", "The challenge is not known here. Ask your endpoint manager for a new one.")


def challenge_expired() -> Expired:
    """Its hour is over."""
    return Expired("challenge_expired", "The challenge is too old. Ask your endpoint manager for a new one.")


def challenge_used() -> Conflict:
    """It was used with another request."""
    return Conflict("challenge_used", "The challenge was used before. Ask your endpoint manager for a new one.")


def key_type_not_allowed() -> Malformed:
    """The connector does not take this size of key."""
    return Malformed("key_type_not_allowed", "The connector does not take keys of this size.")


def names_differ() -> NotPermitted:
    """The request asks for a name that is not its holder's."""
    return NotPermitted("names_differ", "The request asks for another name than the one the challenge was made for.")


def names_not_in_profile(what: str) -> NotPermitted:
    """The request asks for what certificates here never have."""
    return NotPermitted("not_in_profile", f"Certificates of this connector have no {what}.")


def holder_not_active() -> NotPermitted:
    """The person's account has ended."""
    return NotPermitted("not_eligible", "The person's account is not active.")


def certificate_unknown() -> NotFound:
    """The signer's certificate, or the one that is asked for, is none of this connector's."""
    return NotFound("certificate_unknown", "This connector did not issue the certificate.")


def managed_certificate_unknown() -> NotFound:
    """No connector gave it out."""
    return NotFound("managed_certificate_unknown", "No connector gave out such a certificate.")


def certificate_revoked() -> NotPermitted:
    """The certificate that signed was revoked."""
    return NotPermitted("certificate_revoked", "The certificate was revoked. Enroll again.")


def certificate_expired() -> NotPermitted:
    """The certificate that signed has ended."""
    return NotPermitted("certificate_expired", "The certificate has ended. Enroll again.")


def same_key() -> Conflict:
    """A certificate is never renewed on the same key."""
    return Conflict("same_key", "Make a new key for the new certificate.")


def renewed_before() -> Conflict:
    """The certificate was used for another renewal."""
    return Conflict("renewed_before", "This certificate was renewed before. Enroll again.")


def enrollment_ended() -> NotPermitted:
    """What was asked for again has been ended meanwhile."""
    return NotPermitted("enrollment_ended", "The certificate was revoked. Enroll again.")


def registration_authority_missing() -> Unavailable:
    """No registration authority has been made yet, or its key is not here."""
    return Unavailable("registration_authority_missing", "The registration authority is being made. Try again.")


def authority_revoked(name: str) -> Unavailable:
    """The authority that issues here was revoked, and nobody has made its successor yet."""
    return Unavailable("authority_revoked", f"The authority {name} was revoked. Its successor is not made yet.")
