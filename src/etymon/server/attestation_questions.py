# SPDX-License-Identifier: Apache-2.0
"""Questions about key attestations as they are asked from outside, and answers as JSON.

What is judged is what an issuance rule of this program asks for: hardware, a locked boot loader, a key made there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import IO, Final

from cryptography import x509

from etymon.kernel.clock import Clock
from etymon.kernel.errors import Malformed
from etymon.pki import attestation_status, certificate, key_attestation
from etymon.pki.attestation_chain import AttestationTrust, NotAttested
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.key_attestation import AttestedKey, Requirements
from etymon.server import questions
from etymon.server.questions import Answer, Options

MOST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Question:
    """One chain and the options it is judged with; `at` None means now, `challenge` None any."""

    chain: str = ""
    root: tuple[str, ...] = ()
    challenge: str | None = None
    revocations: str | None = None
    at: str | None = None


class Verifier:
    """Answers questions, with the files it has read before."""

    def __init__(self, clock: Clock, stdin: IO[bytes]) -> None:
        self._clock, self._stdin = clock, stdin
        self._roots = lru_cache(MOST_KEPT)(_roots)
        self._status = lru_cache(MOST_KEPT)(_status)

    def verify(self, question: Question) -> AttestedKey:
        """Judge one chain; raises `NotAttested`, and `Malformed` where the question itself cannot be used."""
        at = questions.moment(question.at) if question.at is not None else self._clock.now()
        challenges = _challenges(question.challenge)
        if not question.root:
            raise Malformed("root_missing", "Name at least one file of attestation roots (root).")
        status = self._status(question.revocations) if question.revocations is not None else None
        trust = AttestationTrust(self._roots(question.root), status)
        attested = key_attestation.verify(self._chain(question.chain), trust, at, challenges=challenges)
        key_attestation.require(attested, Requirements())
        return attested

    def _chain(self, name: str) -> list[bytes]:
        if not name:
            raise Malformed("chain_missing", "Name the file of the chain to judge, the attested key first (chain).")
        limit = certificate.LIMIT_BYTES
        data = self._stdin.read(limit + 1) if name == "-" else questions.read(name, limit)
        return certificate.encodings(questions.without_keys(name, data))


def ask(question: Question, verifier: Verifier) -> Answer:
    """Return the answer to one question as JSON values, and the exit status."""
    try:
        return _answer(question, verifier)
    except Malformed as error:
        return _refused(error), 2


def batch(lines: IO[bytes], given: Question, verifier: Verifier) -> Iterator[Answer]:
    """Yield the answer to each line, in order, with the exit status it has; `given` fills what a line lacks."""
    return questions.batch(lines, lambda found: _answer(_question(found, given), verifier), _refused)


def _answer(question: Question, verifier: Verifier) -> Answer:
    try:
        attested = verifier.verify(question)
    except NotAttested as error:
        return _refused(error), 1
    return {"valid": True, "errors": [], "attestation": _facts(attested)}, 0


def _refused(error: NotAttested | Malformed) -> dict[str, object]:
    return {"valid": False, "errors": [questions.told(error)], "attestation": None}


def _facts(attested: AttestedKey) -> dict[str, object]:
    said = attested.description
    hardware, application = said.hardware_enforced, key_attestation.application_id(attested)
    return {
        "version": said.attestation_version,
        "securityLevel": attested.security_level.name.lower(),
        "challenge": said.challenge.hex(),
        "key": certificate.spki_sha256(attested.certificate).hex(),
        "bootState": attested.boot_state.name.lower() if attested.boot_state is not None else None,
        "deviceLocked": attested.device_locked,
        "osVersion": hardware.number("osVersion"),
        "osPatchLevel": attested.os_patch_level,
        "purposes": sorted(hardware.numbers("purpose")),
        "manufacturer": attested.manufacturer or None,
        "model": attested.model or None,
        "packages": [name for name, _ in application.packages],
        "unknownTags": list(attested.unknown_tags),
    }


def _question(found: Mapping[str, object], given: Question) -> Question:
    """Return the question of a line."""
    options = Options(found, {option.name for option in fields(Question)}, "etymon verify attestation")
    return Question(
        chain=options.text("chain", given.chain) or "",
        root=options.texts("root", given.root),
        challenge=options.text("challenge", given.challenge),
        revocations=options.text("revocations", given.revocations),
        at=options.text("at", given.at),
    )


def _challenges(text: str | None) -> tuple[bytes, ...] | None:
    try:
        return None if text is None else (bytes.fromhex(text),)
    except ValueError as exc:
        raise Malformed("challenge_malformed", "A challenge is written in hexadecimal digits.") from exc


def _roots(names: tuple[str, ...]) -> tuple[x509.Certificate, ...]:
    return tuple(
        root
        for name in questions.counted(names)
        for root in certificate.load_many(questions.without_keys(name, questions.read(name, certificate.LIMIT_BYTES)))
    )


def _status(name: str) -> AttestationStatusList:
    return attestation_status.load(questions.read(name, attestation_status.LIMIT_BYTES))
