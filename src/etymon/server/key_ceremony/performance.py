# SPDX-License-Identifier: Apache-2.0
"""Performing a script that two people have confirmed: keys, certificates, lists, and the record of it all.

Every step may be repeated. Performed again after an interruption, a script goes on where it was.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from etymon.audit import sealer, trail
from etymon.audit.model import AuditEvent
from etymon.ca import authorities, ceremony
from etymon.directory import bindings, people, roles, trust
from etymon.directory.model import Role
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki.status import StatusSource
from etymon.pki.trust_entry import TrustEntry
from etymon.server import initialization, settings
from etymon.server.deployment import Deployment
from etymon.server.initialization import Founder, RootKeys
from etymon.server.key_ceremony import acts, confirmation, record
from etymon.server.key_ceremony.acts import Stage
from etymon.server.key_ceremony.confirmation import Confirmation, Confirmed
from etymon.server.key_ceremony.hierarchy import hierarchy_of, roots_of
from etymon.server.key_ceremony.journal import Journal, JournaledKeys
from etymon.server.key_ceremony.record import Performed
from etymon.server.key_ceremony.script import Kind, Script, this_program
from etymon.server.key_places import PlacedKeys, RootToken
from etymon.server.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Means:
    """What whoever performs brings: data directory and passphrase, root keys, a status of cards, clock and chance."""

    data: Path
    passphrase: Secret[str]
    root_keys: RootKeys | RootToken
    status_of: Callable[[TrustEntry], StatusSource]
    clock: Clock
    entropy: Entropy


def perform(script: Script, confirmations: Sequence[Confirmation], means: Means) -> Path:
    """Do what the script says and return the file of the record; the same record when it was done before."""
    if script.program != this_program():
        raise NotPermitted(
            "other_program",
            f"The script is for another program than this one ({script.program.version}). Write it anew.",
        )
    if script.kind is Kind.ORGANIZATION:
        return _organization(script, confirmations, means)
    deployment = Deployment.open(means.data, means.passphrase, means.clock, means.entropy)
    with closing(deployment.database):
        return _later(script, confirmations, means, deployment)


def _organization(script: Script, confirmations: Sequence[Confirmation], means: Means) -> Path:
    read, journal = settings.checked(dict(script.configuration)), Journal(means.data, script, means.clock)
    if (means.data / "config.toml").exists() and record.file(means.data, script).exists():
        return record.file(means.data, script)
    confirmed = confirmation.judge(script, confirmations, script.trust_entries, means.status_of, means.clock.now())
    if not journal.resumed:
        initialization.require_new(means.data, means.root_keys)
    journal.begin()
    deployment = initialization.begin(
        means.data, read, means.passphrase, means.clock, means.entropy, lambda what: journal.step(f"makes {what}")
    )
    with closing(deployment.database):
        _seal(deployment)  # what an interruption left unsealed would stop the making of authorities
        placed, hierarchy = initialization.place_keys(deployment, means.root_keys), hierarchy_of(script)
        if not journal.has(acts.UNUSED):
            initialization.require_unused(deployment, placed, hierarchy)
            journal.step(acts.UNUSED)
        initialization.make_escrow_key(deployment)
        keys, actor = JournaledKeys(placed, journal), _actor(script)
        made = ceremony.create(deployment.ca_with(placed), keys, hierarchy, actor=actor)
        journal.step("made all authorities and their first lists")
        _found(script, confirmed, deployment, actor)
        journal.step("bound the cards of the first Administrator and the first Officer")
        if isinstance(means.root_keys, RootKeys):
            initialization.take_out(deployment.key_files, made, means.root_keys)
        journal.step("the root keys are outside of the data directory", place=record.place_of(means.root_keys))
        names = [authority.name for authority in made]
        done = _finish(
            script, deployment, journal, record.gathered(script, confirmed, deployment, placed, names, means.root_keys)
        )
        if not (means.data / "config.toml").exists():
            initialization.finish(means.data, read, script.configuration)
    return done


def _later(script: Script, confirmations: Sequence[Confirmation], means: Means, deployment: Deployment) -> Path:
    done = record.file(means.data, script)
    if done.exists():
        return done
    journal, actor = Journal(means.data, script, means.clock), _actor(script)
    with deployment.refusals.noted("ca:ceremony:refused", actor=actor, subject=f"ceremony:{script.id}"):
        with deployment.database.snapshot() as tx:
            entries = trust.entries(tx)
        confirmed = confirmation.judge(script, confirmations, entries, means.status_of, means.clock.now())
        _require_roles(deployment, confirmed)
        if script.kind is Kind.HIERARCHY and isinstance(means.root_keys, RootKeys):
            initialization.require_apart(means.data, means.root_keys.directory)
        roots = means.root_keys.open() if isinstance(means.root_keys, RootKeys) else None
        placed = (
            initialization.place_keys(deployment, means.root_keys) if roots is None else deployment.placed_keys(roots)
        )
        if script.kind is not Kind.HIERARCHY:
            _require_roots(placed, deployment, script)
    journal.begin()
    _seal(deployment)
    acts.perform(Stage(script, deployment, deployment.ca_with(placed), JournaledKeys(placed, journal), journal))
    names = list(dict.fromkeys((*script.authorities, *roots_of(script))))
    performed = record.gathered(script, confirmed, deployment, placed, names, means.root_keys)
    return _finish(script, deployment, journal, performed)


def _require_roots(placed: PlacedKeys, deployment: Deployment, script: Script) -> None:
    """Refuse what was brought unless it has the roots' keys, and these very ones."""
    with deployment.database.snapshot() as tx:
        known = {name: authorities.load(tx, name) for name in roots_of(script)}
    for name, root in known.items():
        signer = placed.find(name)
        if signer is None or signer.public_key != root.certificate.public_key():
            raise NotPermitted("root_key_missing", f"What was brought does not have the key of {name}.")


def _require_roles(deployment: Deployment, confirmed: Sequence[Confirmed]) -> None:
    """Refuse people whose cards stand for somebody else here, or who have not the role they take part in."""
    with deployment.database.snapshot() as tx:
        for each in confirmed:
            person = bindings.person_for(tx, each.path.entry_name, each.path.identifier)
            if person is None or person.user_principal_name != each.participant.user_principal_name:
                raise NotPermitted("card_not_bound", f"{each.participant.display_name}'s card stands for nobody here.")
            held = roles.counting(tx, person.id)
            if Role.AUDITOR in held or each.participant.role not in held:
                raise NotPermitted(
                    "role_not_held", f"{person.display_name} may not take part as {each.participant.role.value}."
                )


def _found(script: Script, confirmed: Sequence[Confirmed], deployment: Deployment, actor: str) -> None:
    """Save trust entries, our own programs, and the founders with the cards that they confirmed with; once."""
    first = script.participants[0].user_principal_name
    with deployment.database.snapshot() as tx:
        if people.by_user_principal_name(tx, first) is not None:
            return
    wired = Wiring(deployment)
    register = initialization.registration(wired, script.trust_entries, actor=actor)
    with deployment.database.transaction() as tx:
        register(tx)
        for each in confirmed:
            who = each.participant
            founder = Founder(who.role, who.user_principal_name, who.display_name, who.mail)
            person = initialization.found(tx, wired.directory, founder, actor=actor)
            bindings.bind(
                tx,
                wired.directory,
                trust_entry=each.path.entry_name,
                identifier=each.path.identifier,
                person_id=person.id,
                actor=actor,
            )


def _finish(script: Script, deployment: Deployment, journal: Journal, performed: Performed) -> Path:
    """Write the record, enter its hash in the audit trail, and seal that."""
    made = record.write(deployment.directory, script, performed, journal, deployment.signer("audit-seal"))
    sha256 = record.sha256(made)
    with deployment.database.transaction() as tx:
        if not trail.page(tx, name="ca:ceremony:performed", subject=f"ceremony:{script.id}"):
            facts = {
                "kind": script.kind.value,
                "record_sha256": sha256,
                "script_sha256": script.sha256,
                "place": script.place,
                **{f"card_{number}_sha256": each.card_sha256 for number, each in enumerate(script.participants, 1)},
            }
            event = AuditEvent("ca:ceremony:performed", _actor(script), f"ceremony:{script.id}", facts=facts)
            trail.record(tx, deployment.clock, deployment.entropy, event)
    _seal(deployment)
    return made


def _seal(deployment: Deployment) -> None:
    sealer.seal(deployment.database, deployment.clock, deployment.entropy, deployment.signer("audit-seal"))


def _actor(script: Script) -> str:
    return f"ceremony:{script.id}"
