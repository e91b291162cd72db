# SPDX-License-Identifier: Apache-2.0
"""`etymon init`: an organisation from nothing. Keys, authorities, trust entries, clients, and its first two people.

The root keys are exported under a passphrase of their own and leave the data directory. An Administrator and an Officer
get one-time codes; each binds a card of theirs with one. Nobody else exists, and there is no password.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from etymon.audit import sealer
from etymon.ca import authorities, ceremony
from etymon.ca.model import SubjectNames
from etymon.directory import bindings, people, roles, trust
from etymon.directory.bindings import INITIAL_CODE_LIFETIME
from etymon.directory.dependencies import Dependencies as DirectoryDependencies
from etymon.directory.model import Person, Role, folded
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.server import deployment as deployments
from etymon.server import keyring, settings, wiring
from etymon.server.deployment import Deployment, Progress
from etymon.server.settings import Settings
from etymon.server.wiring import Wiring
from etymon.storage import migrations
from etymon.storage.database import Database, Transaction

ACTOR = "init"


@dataclass(frozen=True, slots=True)
class Founder:
    """One of the first two people."""

    role: Role
    user_principal_name: str
    display_name: str
    mail: str


@dataclass(frozen=True, slots=True)
class RootKeys:
    """Where the root keys go, and under which passphrase."""

    directory: Path
    passphrase: Secret[str]


def initialize(
    directory: Path,
    configuration: Mapping[str, object],
    *,
    passphrase: Secret[str],
    root_keys: RootKeys,
    founders: Sequence[Founder],
    trust_entries: Sequence[TrustEntry],
    clock: Clock,
    entropy: Entropy,
    progress: Progress,
) -> Mapping[str, Secret[str]]:
    """Make the organisation in a new directory; return each founder's one-time code by user principal name."""
    read = settings.checked(dict(configuration))
    _require_new(directory, root_keys.directory)
    _require_outside(directory, root_keys.directory)
    _require_different_people(founders)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)  # one that was there has the mode of whoever made it, and so would the database in it
    database = Database(deployments.database_url(directory, read))
    try:
        if read.database_url:
            _require_answer(database, read)
        progress("keys")
        ring = keyring.create(directory / "keys", passphrase, entropy)
        deployments.fill(ring, entropy)
        progress("database")
        migrations.upgrade(database)
        deployment = Deployment(directory, read, ring, database, clock, entropy)
        progress("certification authorities")
        _authorities(deployment, root_keys)
        progress("trust entries and people")
        codes = _records(deployment, founders, trust_entries)
        progress("audit trail")
        sealer.seal(database, clock, entropy, deployment.signer("audit-seal"))
    finally:
        database.close()
    keys.write_once(
        directory / "config.toml", as_toml(read, configuration)
    )  # last: a directory without it is unfinished
    return codes


def _require_new(data: Path, root_keys: Path) -> None:
    """Refuse a data directory that has files already; say so if they are of an `init` that was broken off."""
    if not data.exists() or not any(data.iterdir()):
        return
    if (data / "keys").exists() and not (data / "config.toml").exists():
        raise Conflict(
            "directory_unfinished",
            f"{data} holds what an `init` left that did not finish. Remove it, and {root_keys} if "
            "that is there too, and run `init` again.",
        )
    raise Conflict("directory_not_empty", f"{data} is not empty. Choose a new directory.")


def _require_different_people(founders: Sequence[Founder]) -> None:
    """Refuse, before anything is made, names that no account can have, and one person in two roles."""
    for founder in founders:
        Person(UUID(int=0), founder.user_principal_name, founder.display_name, (founder.mail,), active=True)
    names = {folded(founder.user_principal_name) for founder in founders}
    addresses = {folded(founder.mail) for founder in founders}
    if min(len(names), len(addresses)) < len(founders):
        raise Conflict(
            "founders_not_different",
            "The first Administrator and the first Officer are two people, each with a user principal name and a mail "
            "address of their own.",
        )


def _require_answer(database: Database, read: Settings) -> None:
    """Refuse a database that cannot be used before keys are made; what its schema is does not matter yet."""
    with suppress(NotFound, Conflict):
        deployments.require_database(database, read)


def _require_outside(data: Path, root_keys: Path) -> None:
    """Refuse a place for the root keys that is the data directory, or that has files already."""
    if root_keys.resolve().is_relative_to(data.resolve()):
        raise Malformed("root_keys_inside", "Root keys do not stay with the data. Choose another directory for them.")
    if root_keys.exists() and any(root_keys.iterdir()):
        raise Conflict("directory_not_empty", f"{root_keys} is not empty. Choose a new directory for the root keys.")


def _authorities(deployment: Deployment, root_keys: RootKeys) -> None:
    organization = SubjectNames(organization=deployment.settings.organization)
    made = ceremony.create(deployment.ca, deployment.authority_keys, ceremony.deployment(organization), actor=ACTOR)
    root_keys.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    exported = ceremony.export_root_keys(
        deployment.authority_keys, made, Secret(root_keys.passphrase.reveal().encode())
    )
    for name, pem in exported.items():
        keys.write_once(root_keys.directory / f"{name}.pem", pem)
    ceremony.remove_root_keys(deployment.authority_keys, made)


def _records(
    deployment: Deployment, founders: Sequence[Founder], trust_entries: Sequence[TrustEntry]
) -> Mapping[str, Secret[str]]:
    wired = Wiring(deployment)
    deps, provider, issuing = wired.directory, wired.idp, wired.issuer
    manager_key = wiring.endpoint_manager_key(deployment)
    with deployment.database.transaction() as tx:
        for entry in (*trust_entries, own_entry(tx, deployment, "derived"), own_entry(tx, deployment, "device")):
            trust.save(tx, deps, entry, actor=ACTOR)
        wiring.register_clients(tx, provider, issuing, manager_key, actor=ACTOR)
        return {founder.user_principal_name: _found(tx, deps, founder) for founder in founders}


def own_entry(tx: Transaction, deployment: Deployment, name: str) -> TrustEntry:
    """Return the trust entry for the credentials or device identities that this deployment issues itself."""
    kinds = {
        "derived": (TrustKind.DERIVED, IdentifierKind.UUID, "derived-piv-authentication"),
        "device": (TrustKind.DEVICE, IdentifierKind.THUMBPRINT, "device-identity"),
    }
    kind, identifier, policy = kinds[name]
    return TrustEntry(
        name=name,
        kind=kind,
        anchors=(authorities.load(tx, f"{name}-root").certificate,),
        intermediates=(authorities.load(tx, name).certificate,),
        policies=frozenset({deployment.policy_oids[policy]}),
        identifier=identifier,
    )


def _found(tx: Transaction, deps: DirectoryDependencies, founder: Founder) -> Secret[str]:
    person = people.create(
        tx,
        deps,
        user_principal_name=founder.user_principal_name,
        display_name=founder.display_name,
        mail_addresses=(founder.mail,),
        actor=ACTOR,
    )
    roles.assign(tx, deps, person.id, founder.role, actor=ACTOR)
    return bindings.issue_code(tx, deps, person_id=person.id, actor=ACTOR, lifetime=INITIAL_CODE_LIFETIME)


def as_toml(read: Settings, configuration: Mapping[str, object]) -> bytes:
    """Write settings as TOML; strings, numbers, booleans and lists look the same there as in JSON."""
    known = [name for name in Settings.model_fields if name in configuration]
    values = {name: getattr(read, name) for name in known}
    return "".join(f"{name} = {_toml_value(value)}\n" for name, value in values.items()).encode()


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {json.dumps(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)
