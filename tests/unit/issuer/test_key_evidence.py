# SPDX-License-Identifier: Apache-2.0
"""What is shown of a key that a phone attested: what is proved, printable and short, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.graph.representations.attestation import key_attestation
from etymon.issuer.attestation import evidence
from etymon.issuer.attestation.model import KeyAttestation, KeyUse
from etymon.issuer.model import Purpose
from support import attestations as made
from support.attestations import Maker, application, description, hardware_of, octets, sequence, set_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MAKER = Maker(NOW)
KEY = made.ec_key().public_key()


def found(**said: Any) -> KeyAttestation:
    """Return evidence of a key that is proved."""
    chain = MAKER.chain(KEY, description(hardware_of(KEY), **said))
    return KeyAttestation(
        id=UUID(int=1),
        derivation=UUID(int=2),
        purpose=Purpose.ENCRYPTION,
        key_sha256=b"k" * 32,
        verdict="attested",
        judged_at=NOW,
        chain=chain,
        authority="maker",
        security_level="trusted_environment",
        manufacturer="Etymon",
        model="Simulated",
        os_patch_level=202609,
        use=KeyUse.KEY_HISTORY,
    )


def test_what_a_proved_key_says_is_shown_under_the_names_of_the_verifier() -> None:
    assert key_attestation(found()) == {
        "id": UUID(int=1),
        "purpose": "encryption",
        "use": "keyHistory",
        "keySha256": "6b" * 32,
        "verdict": "attested",
        "authority": "maker",
        "securityLevel": "trusted_environment",
        "bootState": "verified",
        "deviceLocked": True,
        "manufacturer": "Etymon",
        "model": "Simulated",
        "osVersion": 140000,
        "osPatchLevel": 202609,
        "applicationId": {"packages": ["AndroidSystem"], "signatureDigests": []},
        "statusListChecked": False,
        "judgedDateTime": NOW,
    }


def test_nothing_is_shown_of_a_chain_that_proves_nothing() -> None:
    refused = replace(found(), verdict="attestation_untrusted_root", authority="", security_level="", model="")
    for chain in (refused.chain, (b"\x30\x00",)):
        shown = key_attestation(replace(refused, chain=chain))
        assert {shown[name] for name in ("securityLevel", "bootState", "deviceLocked", "osVersion", "model")} == {None}
        assert (shown["verdict"], shown["applicationId"]) == ("attestation_untrusted_root", None)


def test_a_proved_chain_that_is_not_understood_any_more_is_shown_without_a_description() -> None:
    shown = key_attestation(replace(found(), chain=(b"\x30\x00",)))
    assert {shown[name] for name in ("bootState", "deviceLocked", "osVersion", "applicationId")} == {None}
    assert (shown["verdict"], shown["securityLevel"]) == ("attested", "trusted_environment")


def test_what_the_phones_system_says_is_printable_and_short_or_nothing() -> None:
    package = sequence(octets(b"\x1b[2Jorg.\xe2\x80\xaeexample" + b"x" * 200), made.integer(1))
    hostile = octets(sequence(set_of(*[package] * 25), set_of(*[octets(bytes(32))] * 25)))
    said = evidence.described(found(software={709: hostile}))
    assert said is not None
    assert (len(said.packages), len(said.signature_digests)) == (evidence.MOST_NAMED, evidence.MOST_NAMED)
    assert {(len(name), name.isprintable()) for name in said.packages} == {(100, True)}
    for unreadable in (octets(b"\xff"), octets(sequence(set_of())), application()[:-1] + b"\xff"):
        described = evidence.described(found(software={709: unreadable}))
        assert described is not None
        assert described.packages in {(), ("AndroidSystem",)}


def test_the_chain_is_a_file_that_others_read() -> None:
    kept = found()
    text = evidence.pem(kept)
    assert max(map(len, text.splitlines())) == 64
    read = x509.load_pem_x509_certificates(text.encode())
    assert tuple(certificate.public_bytes(Encoding.DER) for certificate in read) == kept.chain
