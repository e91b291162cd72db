# SPDX-License-Identifier: Apache-2.0
"""What a ceremony does that nobody can undo, in plain words, for those who are about to confirm it."""

from collections.abc import Iterator, Mapping
from typing import Final

from etymon.server.key_ceremony.script import Kind, Script

CERTIFICATES: Final[Mapping[str, str]] = {
    "authentication": "for signing in from phones",
    "derived-piv-authentication": "for signing in from phones",
    "derived-piv-authentication-hardware": "for signing in from phones",
    "derived-digital-signature": "for signatures by phones",
    "derived-key-management": "for encryption to people's phones",
    "device-identity": "with which managed phones check in",
    "managed-endpoint": "of devices of other endpoint managers",
    "tls-server": "of servers",
}
"""Words for what certificates of a profile are for; those of our own programs are counted as such."""

OWN: Final = "of programs of this site"
LOST: Final = (
    "If one is lost, or what opens it, its root signs no list any more, and everything below is refused when the last "
    "one has ended."
)
AFTER_REVOCATION: Final[Mapping[str, str]] = {
    "derived": "Everybody with such a phone sets it up anew with the card, since phones cannot rekey then. Older mail "
    "opens with the keys in escrow.",
    "device": "Phones with such an identity are refused at check-in and enroll anew.",
    "managed": "Other endpoint managers have their devices enroll anew.",
    "tls": "Browsers refuse this site until certificate files are named (tls_chain_file, tls_key_file). Phones pin "
    "this authority and enroll anew. It has no successor.",
}


def lines(script: Script) -> Iterator[str]:
    """Yield what cannot be undone, a sentence each."""
    name = script.authorities[-1]
    hierarchy = name.split("-")[0]
    match script.kind:
        case Kind.ORGANIZATION:
            address = script.configuration["status_url"]
            yield f"The address {address} stands in every certificate from now on and never changes."
            yield f"The keys of the roots are made once. {LOST}"
        case Kind.HIERARCHY:
            yield f"The key of {script.authorities[0]} is made once. {LOST}"
        case Kind.ISSUING_AUTHORITY:
            yield f"From its next start on the site issues from {name} and from no {hierarchy} authority before it."
            yield f"{name} is not taken away again, only revoked. What was issued before stays good."
        case Kind.ROOT_LISTS:
            yield "A list that somebody has read is not called back. Nothing stops working by it."
        case Kind.REVOCATION:
            yield from _of_revocation(script, name, hierarchy)


def _of_revocation(script: Script, name: str, hierarchy: str) -> Iterator[str]:
    yield f"The authority {name} is never good again, and issues nothing more."
    counted: dict[str, int] = {}
    for profile, number in sorted(script.in_use.items()):
        words = CERTIFICATES.get(profile, OWN)
        counted[words] = counted.get(words, 0) + number
    told = "; ".join(f"{number} {words}" for words, number in counted.items())
    total = sum(counted.values())
    yield f"Certificates that stop working, as counted when this was written: {total}{f' ({told})' if told else ''}."
    yield "Our own doors refuse them at once, others when they read the root's list."
    yield AFTER_REVOCATION[hierarchy]
    if script.successor:
        yield f"{script.successor} issues for {hierarchy} instead."
    elif hierarchy != "tls":
        yield f"Nothing is issued for {hierarchy} until another ceremony makes a successor."
