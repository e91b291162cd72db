# SPDX-License-Identifier: Apache-2.0
"""Writing the script of a key ceremony, and showing it to those who confirm it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509

from etymon.ca import authorities, ceremony, certificates
from etymon.ca.model import SubjectNames
from etymon.directory import bindings, mailbox, roles, trust
from etymon.directory.model import Role
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id
from etymon.kernel.errors import Conflict, Malformed, NotFound, NotPermitted
from etymon.pki import leaf_checks
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import load_many
from etymon.pki.trust_entry import TrustEntry, TrustKind
from etymon.server import config_file, deployment, settings
from etymon.server.deployment import HIERARCHIES
from etymon.server.key_ceremony import consequences
from etymon.server.key_ceremony.script import MAY_TAKE_PART, Kind, Participant, Script, this_program
from etymon.storage.database import Transaction

FURTHER: Final = re.compile(r"(derived|device|managed)-[1-9][0-9]{0,3}")
"""Names of further authorities. Phones pin the TLS authority: that one stays."""


def organization(
    configuration: Mapping[str, object],
    trust_entries: Sequence[TrustEntry],
    participants: Sequence[Participant],
    place: str,
    key_type: str,
    clock: Clock,
    entropy: Entropy,
) -> Script:
    """Return the script for a new organisation; unsafe settings, and founders whom mail may miss, are refused now."""
    settings.checked(dict(configuration))
    for participant in participants:
        mailbox.check(participant.mail)
    names = [new.name for new in ceremony.deployment(SubjectNames(organization=str(configuration["organization"])))]
    return Script(
        id=random_id(entropy),
        kind=Kind.ORGANIZATION,
        written_at=clock.now(),
        place=place,
        program=this_program(),
        participants=tuple(participants),
        key_type=_key_type(key_type),
        authorities=tuple(names),
        configuration=configuration,
        trust_entries=tuple(trust_entries),
    )


def issuing_authority(
    data: Path, name: str, cards: Sequence[Path], place: str, key_type: str, clock: Clock, entropy: Entropy
) -> Script:
    """Return the script for a further issuing authority of an organisation."""
    if not FURTHER.fullmatch(name):
        raise Malformed("authority_name", "Call a further authority derived-2, device-2, managed-2 and so on.")
    return _later(data, Kind.ISSUING_AUTHORITY, (name,), cards, place, _key_type(key_type), clock, entropy)


def hierarchy(
    data: Path, name: str, cards: Sequence[Path], place: str, key_type: str, clock: Clock, entropy: Entropy
) -> Script:
    """Return the script for a hierarchy that an organisation has not: a root of its own and its issuing authority."""
    if name not in HIERARCHIES:
        raise Malformed("authority_name", f"A hierarchy is one of {', '.join(HIERARCHIES)}.")
    names = (f"{name}-root", name)
    return _later(data, Kind.HIERARCHY, names, cards, place, _key_type(key_type), clock, entropy)


def revocation(
    data: Path, name: str, reason: str, cards: Sequence[Path], place: str, clock: Clock, entropy: Entropy
) -> Script:
    """Return the script that has an issuing authority's certificate revoked by its root, for one of `REASONS`."""
    with closing(deployment.open_database(data, config_file.load(data))) as database, database.snapshot() as tx:
        authorities.require_revocable(authorities.load(tx, name))
        in_use = certificates.in_use(tx, name, clock.now())
        newest = authorities.current(tx, name.split("-", maxsplit=1)[0])
    successor = newest.name if newest.name != name and newest.revoked_at is None else ""
    script = _later(data, Kind.REVOCATION, (name,), cards, place, KeyType.P256, clock, entropy, reason)
    return replace(script, in_use=in_use, successor=successor)


def root_lists(data: Path, cards: Sequence[Path], place: str, clock: Clock, entropy: Entropy) -> Script:
    """Return the script for the next lists of all roots."""
    with closing(deployment.open_database(data, config_file.load(data))) as database, database.snapshot() as tx:
        made = authorities.names(tx)
    names = tuple(f"{name}-root" for name in HIERARCHIES if f"{name}-root" in made)
    return _later(data, Kind.ROOT_LISTS, names, cards, place, KeyType.P256, clock, entropy)


def card(file: Path) -> x509.Certificate:
    """Read the certificate of a card."""
    try:
        (found,) = load_many(file.read_bytes())
    except (OSError, ValueError, Malformed) as exc:
        raise Malformed("card_certificate", f"{file} is not the PEM certificate of one card.") from exc
    return found


def readable(script: Script) -> str:
    """Return a script for people."""
    lines = [
        f"Key ceremony {script.id}: {script.kind.value}, at {script.place}",
        f"Written {script.written_at:%Y-%m-%d %H:%M} UTC",
        f"Program: etymon {script.program.version}, SHA-256 {script.program.sha256}",
        f"Script: SHA-256 {script.sha256}",
        _acts(script),
    ]
    lines += [f"Cannot be undone: {sentence}" for sentence in consequences.lines(script)]
    lines += [f"Setting {name}: {value}" for name, value in script.configuration.items()]
    lines += [f"Cards trusted: {entry.name}, {len(entry.anchors)} anchors" for entry in script.trust_entries]
    lines += [
        f"Takes part: {each.display_name} <{each.user_principal_name}>, {each.role.value}, card {each.card_sha256}"
        for each in script.participants
    ]
    return "\n".join(lines)


def _acts(script: Script) -> str:
    names = ", ".join(script.authorities)
    match script.kind:
        case Kind.REVOCATION:
            return f"Revokes for good: the authority {names}, for {script.reason}"
        case Kind.ROOT_LISTS:
            return f"Signs the next lists of: {names}"
        case _:
            return f"Authorities: {names}; new keys are {script.key_type.value}"


def _later(
    data: Path,
    kind: Kind,
    names: tuple[str, ...],
    cards: Sequence[Path],
    place: str,
    key_type: KeyType,
    clock: Clock,
    entropy: Entropy,
    reason: str = "",
) -> Script:
    read = config_file.load(data)
    database = deployment.open_database(data, read)
    with closing(database), database.snapshot() as tx:
        participants = tuple(_participant(tx, card(file)) for file in cards)
        if kind in {Kind.ISSUING_AUTHORITY, Kind.HIERARCHY}:
            _require_free(tx, names[0])
    return Script(
        id=random_id(entropy),
        kind=kind,
        written_at=clock.now(),
        place=place,
        program=this_program(),
        participants=participants,
        key_type=key_type,
        authorities=names,
        configuration={"organization": read.organization},
        trust_entries=(),
        reason=reason,
    )


def _participant(tx: Transaction, certificate: x509.Certificate) -> Participant:
    """Return whose card it is; the card itself is judged when the script is performed."""
    for entry in trust.entries(tx, TrustKind.CARD):
        try:
            person = bindings.person_for(tx, entry.name, leaf_checks.identify(certificate, entry))
        except (NotPermitted, Malformed):
            continue
        if person is not None:
            held = roles.counting(tx, person.id)
            may = [role for role in (Role.ADMINISTRATOR, Role.OFFICER, Role.OPERATOR) if role in held & MAY_TAKE_PART]
            role = Role.AUDITOR if Role.AUDITOR in held else next(iter(may), None)
            if role is None:
                raise NotPermitted("role_not_held", f"{person.display_name} has no role that takes part.")
            mail = next(iter(person.mail_addresses), person.user_principal_name)
            return Participant(role, person.user_principal_name, person.display_name, mail, certificate)
    raise NotPermitted("card_not_bound", "A card of the participants stands for nobody here.")


def _require_free(tx: Transaction, name: str) -> None:
    try:
        authorities.load(tx, name)
    except NotFound:
        return
    raise Conflict("authority_exists", f"There is an authority called {name} already.")


def _key_type(name: str) -> KeyType:
    allowed = {kind.value: kind for kind in KeyType if kind is not KeyType.RSA2048}
    if name not in allowed:
        raise Malformed("key_type", f"Authorities have keys of {', '.join(allowed)}.")
    return allowed[name]
