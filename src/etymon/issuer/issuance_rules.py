# SPDX-License-Identifier: Apache-2.0
"""Issuance rules: made, changed and withdrawn by officers; every issuance runs under one (CP 4.1.2, 5.2.1)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import rule_not_by_officer
from etymon.issuer.model import IssuanceRule, Purpose
from etymon.issuer.store import rules
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, NotFound
from etymon.pki import key_policy
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Transaction

TOLD_BEFORE: Final = timedelta(days=365)
"""How long before the end of 2048-bit keys (Common Policy 6.1.5) rules that have them made are told of."""


def save(tx: Transaction, deps: Dependencies, rule: IssuanceRule, *, officer: UUID) -> IssuanceRule:
    """Put a rule in force under its name and return it as it is kept; the rule of that name before is withdrawn.

    A rule that says what the one in force says changes nothing. What began under a withdrawn rule is not finished.
    Raises `officer_required`, and `issuance_rule_changed` for the later of two who change one rule at once.
    """
    _require_officer(tx, officer)
    before = _in_force(tx, rule.name)
    if before is not None:
        if replace(rule, id=before.id, created_by=before.created_by, created_at=before.created_at) == before:
            return before
        rules.withdraw(tx, before.id, deps.clock.now())
    kept = replace(rule, id=random_id(deps.entropy), created_by=officer, created_at=deps.clock.now())
    if not rules.add(tx, kept):
        raise Conflict("issuance_rule_changed", "Somebody else changes this rule at this moment. Look, and try again.")
    record(
        tx,
        deps,
        "rule:changed" if before else "rule:made",
        actor=f"person:{officer}",
        subject=kept.id,
        name=kept.name,
        groups=_listed(str(group) for group in kept.groups),
        purposes=_listed(purpose.value for purpose in kept.purposes),
        lifetime_days=kept.lifetime.days,
        key_types=_listed(kind.value for kind in kept.key_types),
        managed_devices_only=kept.managed_devices_only,
        link_style="code and password" if kept.link_password else "code",
        most_derivations=kept.most_derivations,
        approval=kept.approval.value,
        device_models=_listed(kept.device_models) or "any",
        key_history=kept.key_history,
        attestation=kept.attestation.value,
        attestation_level=kept.attestation_level.name.lower(),
        verified_boot=kept.verified_boot,
    )
    return kept


def withdraw(tx: Transaction, deps: Dependencies, name: str, *, officer: UUID) -> None:
    """End the rule of this name; nothing begins or goes on under it. Raises `officer_required` and `NotFound`."""
    _require_officer(tx, officer)
    before = _in_force(tx, name)
    if before is None:
        raise NotFound("issuance_rule_unknown", f"There is no issuance rule called {name}.")
    rules.withdraw(tx, before.id, deps.clock.now())
    record(tx, deps, "rule:withdrawn", actor=f"person:{officer}", subject=before.id, name=name)


def with_ending_keys(tx: Transaction, now: datetime) -> tuple[str, ...]:
    """Return the names of the rules under which escrow makes keys that are soon certified no more, or not any more."""
    if now < key_policy.RSA_2048_ENDS - TOLD_BEFORE:
        return ()
    return tuple(
        rule.name
        for rule in rules.in_force(tx)
        if Purpose.ENCRYPTION in rule.purposes and rule.encryption_key_type is KeyType.RSA2048
    )


def in_force(tx: Transaction) -> tuple[IssuanceRule, ...]:
    """Return the rules in force, by name."""
    return rules.in_force(tx)


def _in_force(tx: Transaction, name: str) -> IssuanceRule | None:
    return next((rule for rule in rules.in_force(tx) if rule.name == name), None)


def _require_officer(tx: Transaction, person: UUID) -> None:
    if Role.OFFICER not in roles.counting(tx, person):
        raise rule_not_by_officer()


def _listed(values: Iterable[str]) -> str:
    return " ".join(sorted(values))
