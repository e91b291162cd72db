# SPDX-License-Identifier: Apache-2.0
"""What ceremonies do to an organisation that exists. Each act may be repeated and goes on where it was."""

from dataclasses import dataclass
from typing import Final

from etymon.ca import authorities, ceremony, crl
from etymon.ca.dependencies import Dependencies
from etymon.directory import trust
from etymon.issuer import revoked_authorities
from etymon.kernel.errors import Conflict
from etymon.pki import keys as key_files
from etymon.pki.algorithms import KeyType
from etymon.server import initialization, wiring
from etymon.server.deployment import KEY_GENERATION, Deployment
from etymon.server.key_ceremony.hierarchy import hierarchy_of, roots_of
from etymon.server.key_ceremony.journal import Journal, JournaledKeys
from etymon.server.key_ceremony.script import REASONS, Kind, Script
from etymon.server.wiring import Wiring

UNUSED: Final = "found that no such keys are there"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a script is performed: the deployment, what its authorities need, the keys that are at hand."""

    script: Script
    deployment: Deployment
    deps: Dependencies
    keys: JournaledKeys
    journal: Journal

    @property
    def actor(self) -> str:
        """The trail's name for the ceremony."""
        return f"ceremony:{self.script.id}"


def perform(stage: Stage) -> None:
    """Do what a script of a later ceremony says, and sign the lists of the roots it touches."""
    match stage.script.kind:
        case Kind.ISSUING_AUTHORITY | Kind.HIERARCHY:
            _make(stage)
        case Kind.REVOCATION:
            _revoke(stage)
        case _:
            pass
    if stage.script.kind is not Kind.HIERARCHY:  # a new root has signed its first list
        _sign_lists(stage)


def _make(stage: Stage) -> None:
    journal, deployment, made = stage.journal, stage.deployment, hierarchy_of(stage.script)
    if not journal.has(UNUSED):
        for new in made:
            if stage.keys.find(new.name) is not None:
                raise Conflict("key_exists", f"There is a key called {new.name} already. Choose another name.")
        journal.step(UNUSED)
    initialization.make_escrow_key(deployment)
    ceremony.create(stage.deps, stage.keys, made, actor=stage.actor)
    own = made[-1].name.split("-")[0]
    if own == "derived":
        _make_key_generation_signer(stage, made[-1].name)
    if own in wiring.OWN_ENTRIES:
        with deployment.database.transaction() as tx:
            entry = initialization.own_entry(tx, deployment, own)
            trust.save(tx, Wiring(deployment).directory, entry, actor=stage.actor)
    for new in made:
        journal.step(f"made the authority {new.name}")


def _make_key_generation_signer(stage: Stage, authority: str) -> None:
    """Have what delivers server-made keys certified by the authority that certifies those: phones ask for that."""
    ring, name = stage.deployment.keyring, f"{KEY_GENERATION}-{authority}"
    if not ring.has(name):
        ring.put_private_key(name, key_files.generate(KeyType.P256))
    wiring.escrow(stage.deployment)


def _revoke(stage: Stage) -> None:
    journal, (name,) = stage.journal, stage.script.authorities
    in_force = f"found that the authority {name} is in force"
    with stage.deployment.database.transaction() as tx:
        authority = authorities.load(tx, name)
        if not journal.has(in_force):
            authorities.require_revocable(authority)
            journal.step(in_force)
        if authority.revoked_at is None:
            authorities.revoke(tx, stage.deps, name, REASONS[stage.script.reason], actor=stage.actor)
            revoked_authorities.was_revoked(tx, stage.deps, name)
    journal.step(f"revoked the authority {name}", reason=stage.script.reason)


def _sign_lists(stage: Stage) -> None:
    for name in roots_of(stage.script):
        signed = f"signed the next list of {name}"
        if not stage.journal.has(signed):
            crl.publish(stage.deps, name)
            stage.journal.step(signed)
