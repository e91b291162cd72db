# SPDX-License-Identifier: Apache-2.0
"""Brings the phone to its desired state: applies every policy, removes what no policy asks for any more.

Applying again gives the same: it is done after every change of policies or credential, and after any stop.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from cryptography import x509

from etymon.kernel.errors import Malformed
from etymon.phone.device import Device
from etymon.phone.key_store.contract import KeyEntry
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.profiles import certificate_access, email, trusted_root, wifi
from etymon.phone.profiles.outcome import Outcome
from etymon.phone.state import Policy, PolicyResult, Purpose, ResultState
from etymon.pki import certificate as certificates


def apply(device: Device) -> None:
    """Apply the desired state; results that differ from what was reported wait to be reported."""
    management = device.state.management
    _remove_others(device.applied, {str(policy.policy) for policy in management.policies})
    before = {result.policy: result for result in management.results}
    results: list[PolicyResult] = []
    for policy in _roots_first(management.policies):
        outcome = _outcome(device, policy)
        result = PolicyResult(policy.policy, policy.version, outcome.state, outcome.detail)
        known = before.get(policy.policy)
        results.append(known if known and replace(known, reported=False) == result else result)
    device.change(management=replace(management, results=tuple(results)))


def is_applied(device: Device) -> bool:
    """Say whether every policy was applied in its present version; false after a stop in between."""
    management = device.state.management
    asked = {(policy.policy, policy.version) for policy in management.policies}
    return asked == {(result.policy, result.version) for result in management.results}


def trusted_servers(device: Device) -> tuple[x509.Certificate, ...]:
    """Return the authorities whose servers the phone believes where no pin decides: the factory's and the policies'."""
    factory = [certificates.load(root) for root in device.state.factory_roots]
    return (*factory, *trusted_root.installed(device.state.management.policies, device.applied).values())


def credential_entry(device: Device, purpose: Purpose) -> KeyEntry | None:
    """Return the key and certificate the phone has for `purpose` now."""
    credential = device.state.credential(purpose)
    return device.keys.entry(credential.alias) if credential else None


def _outcome(device: Device, policy: Policy) -> Outcome:
    directory = device.applied / str(policy.policy)
    shutil.rmtree(directory, ignore_errors=True)  # nothing of an earlier version stays
    directory.mkdir(mode=0o700, parents=True)
    try:
        return _apply(device, policy, directory)
    except (Malformed, ValueError) as exc:
        shutil.rmtree(directory)
        detail = exc.detail if isinstance(exc, Malformed) else "A setting cannot be read."
        return Outcome(ResultState.FAILED, detail)


def _apply(device: Device, policy: Policy, directory: Path) -> Outcome:
    match policy.type:
        case trusted_root.TYPE:
            return trusted_root.apply(policy, directory)
        case certificate_access.TYPE:
            has_credential = credential_entry(device, Purpose.AUTHENTICATION) is not None
            return certificate_access.apply(policy, has_credential=has_credential)
        case wifi.TYPE:
            return wifi.apply(
                policy,
                directory,
                credential=credential_entry(device, Purpose.AUTHENTICATION),
                roots=trusted_root.installed(device.state.management.policies, device.applied),
                reachable=device.state.vault is VaultKind.PKCS11,
            )
        case email.TYPE:
            purposes = [purpose for purpose in Purpose if credential_entry(device, purpose)]
            return email.apply(policy, directory, purposes=purposes)
    return Outcome(ResultState.NOT_APPLICABLE, f"This phone knows no policies of type {policy.type}.")


def _roots_first(policies: tuple[Policy, ...]) -> list[Policy]:
    return sorted(policies, key=lambda policy: policy.type != trusted_root.TYPE)


def _remove_others(applied: Path, kept: set[str]) -> None:
    if applied.exists():
        for path in applied.iterdir():
            if path.name not in kept:
                shutil.rmtree(path)
