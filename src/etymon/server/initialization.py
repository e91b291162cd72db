# SPDX-License-Identifier: Apache-2.0
"""`etymon init`: an organisation from nothing. Keys, authorities, trust entries, clients, and its first two people.

The root keys are exported under a passphrase of their own and leave the data directory. An Administrator and an Officer
get one-time codes; each binds a card of theirs with one. Nobody else exists, and there is no password.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from etymon.audit import sealer
from etymon.ca import authorities, ceremony, publication
from etymon.ca.authorities import NewAuthority
from etymon.ca.model import Authority, SubjectNames
from etymon.directory import bindings, mailbox, people, roles, trust
from etymon.directory.bindings import INITIAL_CODE_LIFETIME
from etymon.directory.dependencies import Dependencies as DirectoryDependencies
from etymon.directory.model import Person, Role, folded
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.server import config_file, key_places, keyring, settings, wiring
from etymon.server import deployment as deployments
from etymon.server.deployment import Deployment, Progress
from etymon.server.key_places import PlacedKeys, RootToken
from etymon.server.settings import Settings
from etymon.server.wiring import Wiring
from etymon.storage import migrations
from etymon.storage.database import Database, Transaction

ACTOR = "init"

FOUNDING: Final = "founding"
"""On whose authority the first two people hold their roles: whoever founds the organisation."""


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

    def open(self) -> keys.KeyDirectory:
        """Return the keys of the directory, where it was brought back."""
        if not self.directory.is_dir():
            raise NotFound("root_keys_missing", f"{self.directory} is not there. Bring the root keys and try again.")
        return keys.KeyDirectory(self.directory, Secret(self.passphrase.reveal().encode()))


def initialize(
    directory: Path,
    configuration: Mapping[str, object],
    *,
    passphrase: Secret[str],
    root_keys: RootKeys | RootToken,
    founders: Sequence[Founder],
    trust_entries: Sequence[TrustEntry],
    clock: Clock,
    entropy: Entropy,
    progress: Progress,
) -> Mapping[str, Secret[str]]:
    """Make the organisation in a new directory; return each founder's one-time code by user principal name."""
    read = settings.checked(dict(configuration))
    require_new(directory, root_keys)
    _require_different_people(founders)
    deployment = begin(directory, read, passphrase, clock, entropy, progress)
    try:
        hierarchy = ceremony.deployment(SubjectNames(organization=read.organization))
        placed = place_keys(deployment, root_keys)
        require_unused(deployment, placed, hierarchy)
        progress("certification authorities")
        make_authorities(deployment, placed, hierarchy, root_keys, actor=ACTOR)
        progress("trust entries and people")
        codes = _records(deployment, founders, trust_entries)
        progress("audit trail")
        sealer.seal(deployment.database, clock, entropy, deployment.signer("audit-seal"))
    finally:
        deployment.database.close()
    finish(directory, read, configuration)
    return codes


def begin(
    directory: Path, read: Settings, passphrase: Secret[str], clock: Clock, entropy: Entropy, progress: Progress
) -> Deployment:
    """Make keyring and database of a directory, or what is missing of them, and open it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)  # one that was there has the mode of whoever made it, and so would the database in it
    database = Database(deployments.database_url(directory, read))
    try:
        if read.database_url:
            _require_answer(database, read)
        progress("keys")
        made = (directory / "keys" / keyring.MASTER).exists()
        ring = (keyring.unlock if made else keyring.create)(directory / "keys", passphrase, entropy)
        deployments.fill(ring, entropy)
        progress("database")
        migrations.upgrade(database)
    except BaseException:
        database.close()
        raise
    return Deployment(directory, read, ring, database, clock, entropy)


def finish(directory: Path, read: Settings, configuration: Mapping[str, object]) -> None:
    """Write the configuration, last of all: a directory without it is unfinished."""
    keys.write_once(directory / "config.toml", config_file.as_toml(read, configuration))


def place_keys(deployment: Deployment, root_keys: RootKeys | RootToken | None) -> PlacedKeys:
    """Return the signing keys, with the token of the roots where there is one."""
    if not isinstance(root_keys, RootToken):
        return deployment.authority_keys
    return deployment.placed_keys(root_keys.open(deployment.directory, deployment.digest_key))


def require_unused(deployment: Deployment, placed: PlacedKeys, hierarchy: Sequence[NewAuthority]) -> None:
    """Refuse tokens that have keys of these names already."""
    key_places.require_absent(placed, [new.name for new in hierarchy], deployment.escrow_cipher)


def make_authorities(
    deployment: Deployment,
    placed: PlacedKeys,
    hierarchy: Sequence[NewAuthority],
    root_keys: RootKeys | RootToken,
    *,
    actor: str,
) -> Sequence[Authority]:
    """Make escrow's key and a hierarchy with its lists, or what is missing of them; root keys in files leave."""
    make_escrow_key(deployment)
    made = ceremony.create(deployment.ca_with(placed), placed, hierarchy, actor=actor)
    if isinstance(root_keys, RootKeys):
        take_out(deployment.key_files, made, root_keys)
    publication.write_all(deployment.ca)
    return made


def make_escrow_key(deployment: Deployment) -> None:
    """Make the key that wraps escrowed keys in the token, where it belongs there and is missing."""
    cipher = deployment.escrow_cipher
    if cipher is not None and not cipher.exists():
        cipher.generate(deployment.entropy.octets(32))


def require_new(data: Path, root_keys: RootKeys | RootToken) -> None:
    """Refuse a data directory that has files already, and a place of root keys that has, or is in the data.

    What an `init` left that was broken off is named.
    """
    _require_empty(data, root_keys)
    if isinstance(root_keys, RootKeys):
        _require_outside(data, root_keys.directory)


def _require_empty(data: Path, root_keys: RootKeys | RootToken) -> None:
    if not data.exists() or not any(data.iterdir()):
        return
    if (data / "keys").exists() and not (data / "config.toml").exists():
        roots = "the keys in the token"
        if isinstance(root_keys, RootKeys):
            roots = f"{root_keys.directory} if that is there too"
        raise Conflict(
            "directory_unfinished",
            f"{data} holds what an `init` left that did not finish. Remove it, and {roots}, and run `init` again.",
        )
    raise Conflict("directory_not_empty", f"{data} is not empty. Choose a new directory.")


def _require_different_people(founders: Sequence[Founder]) -> None:
    """Refuse, before anything is made, names that no account can have, and one person in two roles."""
    for founder in founders:
        mailbox.check(founder.mail)
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
    require_apart(data, root_keys)
    if root_keys.exists() and any(root_keys.iterdir()):
        raise Conflict("directory_not_empty", f"{root_keys} is not empty. Choose a new directory for the root keys.")


def require_apart(data: Path, root_keys: Path) -> None:
    """Refuse a place for the root keys that is in the data directory."""
    if root_keys.resolve().is_relative_to(data.resolve()):
        raise Malformed("root_keys_inside", "Root keys do not stay with the data. Choose another directory for them.")


def take_out(files: keys.KeyDirectory, made: Sequence[Authority], root_keys: RootKeys) -> None:
    """Write the root keys elsewhere, and only then remove them here; those that left already are left alone."""
    root_keys.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    still_here = [root for root in made if root.parent is None and files.find(root.name) is not None]
    passphrase = Secret(root_keys.passphrase.reveal().encode())
    for name, pem in ceremony.export_root_keys(files, still_here, passphrase).items():
        target = root_keys.directory / f"{name}.pem"
        if not target.exists():
            keys.write_once(target, pem)
        if keys.decrypt(target.read_bytes(), passphrase).public_key() != files[name].public_key:
            raise Conflict("root_key_exists", f"{target} is another key. Choose a new directory for the root keys.")
    ceremony.remove_root_keys(files, still_here)


def _records(
    deployment: Deployment, founders: Sequence[Founder], trust_entries: Sequence[TrustEntry]
) -> Mapping[str, Secret[str]]:
    wired = Wiring(deployment)
    deps, register = wired.directory, registration(wired, trust_entries, actor=ACTOR)
    with deployment.database.transaction() as tx:
        register(tx)
        codes = {}
        for founder in founders:
            person = found(tx, deps, founder, actor=ACTOR)
            codes[founder.user_principal_name] = bindings.issue_code(
                tx, deps, person_id=person.id, actor=ACTOR, lifetime=INITIAL_CODE_LIFETIME
            )
        return codes


def registration(wired: Wiring, trust_entries: Sequence[TrustEntry], *, actor: str) -> Callable[[Transaction], None]:
    """Return what saves trust entries and registers our own programs; what that needs is made before."""
    provider, issuing, deployment = wired.idp, wired.issuer, wired.deployment
    manager_key = wiring.endpoint_manager_key(deployment)

    def register(tx: Transaction) -> None:
        own = (own_entry(tx, deployment, "derived"), own_entry(tx, deployment, "device"))
        for entry in (*trust_entries, *own):
            trust.save(tx, wired.directory, entry, actor=actor)
        wiring.register_clients(tx, provider, issuing, manager_key, actor=actor)

    return register


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
        intermediates=tuple(authority.certificate for authority in authorities.issuing(tx, name)),
        policies=frozenset({deployment.policy_oids[policy]}),
        identifier=identifier,
    )


def found(tx: Transaction, deps: DirectoryDependencies, founder: Founder, *, actor: str) -> Person:
    """Make the account of one of the first two people, with the role."""
    person = people.create(
        tx,
        deps,
        user_principal_name=founder.user_principal_name,
        display_name=founder.display_name,
        mail_addresses=(founder.mail,),
        actor=actor,
    )
    roles.assign(tx, deps, person.id, founder.role, actor=actor, authority=FOUNDING)
    return person
