# SPDX-License-Identifier: Apache-2.0
"""The simulated phone's attestations hold for its maker's root alone, and say that it is a simulation."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.phone.key_store.activation import ScryptCost
from etymon.phone.key_store.attestation import PhoneMaker
from etymon.phone.key_store.opening import VaultKind, equip, open_key_store
from etymon.pki import certificate, key_attestation
from etymon.pki.algorithms import KeyType
from etymon.pki.attestation_chain import AttestationTrust, NotAttested
from etymon.pki.key_attestation import DECRYPT, SIGN, Requirements
from support.clock import TurnedClock

CLOCK = TurnedClock()
MAKER = PhoneMaker(CLOCK.now())
TRUST = AttestationTrust((MAKER.root,))
DEVICE = Secret(bytes(32))
COST = ScryptCost(2, 1, 1)


@pytest.mark.parametrize("kind", [KeyType.P256, KeyType.P384, KeyType.RSA2048])
def test_a_key_of_every_kind_is_attested_as_it_was_made(tmp_path: Path, kind: KeyType) -> None:
    equip(tmp_path, DEVICE, SystemEntropy(), MAKER.attester("Etymon", "Simulated phone"))
    decrypts = kind is KeyType.RSA2048
    keys = open_key_store(tmp_path, DEVICE, SystemEntropy(), kind=VaultKind.SOFTWARE, cost=COST)
    assert keys.attests
    made = keys.generate("key", kind, requires_activation=False, challenge=b"given", decrypts=decrypts)
    keys.close()
    again = open_key_store(tmp_path, DEVICE, SystemEntropy(), kind=VaultKind.SOFTWARE, cost=COST)
    entry = again.entry("key")
    assert entry is not None
    purposes = {DECRYPT, SIGN} if decrypts else {SIGN}
    at = CLOCK.now() + timedelta(days=3650)
    attested = key_attestation.verify(
        entry.attestation, TRUST, at, challenges=(b"given",), key=made.public_key, purposes=purposes
    )
    key_attestation.require(attested, Requirements())
    assert (attested.manufacturer, attested.model) == ("Etymon", "Simulated phone")
    for above in map(certificate.load_der, entry.attestation[1:]):
        assert "no hardware" in above.subject.rfc4514_string()
    with pytest.raises(NotAttested, match="attestation_untrusted_root"):
        key_attestation.verify(
            entry.attestation, AttestationTrust((PhoneMaker(CLOCK.now()).root,)), at, challenges=None
        )


def test_an_unlocked_phone_says_so() -> None:
    attester = replace(MAKER.attester("Etymon", "Simulated phone"), device_locked=False)
    chain = attester.attest(certificate.public_key(TRUST.roots[0]), b"given", decrypts=False)
    attested = key_attestation.verify(chain, TRUST, CLOCK.now(), challenges=(b"given",))
    with pytest.raises(NotAttested, match="attestation_boot_state"):
        key_attestation.require(attested, Requirements())


def test_a_phone_without_a_maker_attests_nothing(tmp_path: Path) -> None:
    keys = open_key_store(tmp_path, DEVICE, SystemEntropy(), kind=VaultKind.SOFTWARE, cost=COST)
    keys.generate("key", KeyType.P256, requires_activation=False, challenge=b"given")
    entry = keys.entry("key")
    assert entry is not None
    assert (keys.attests, entry.attestation) == (False, ())
