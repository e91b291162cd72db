# SPDX-License-Identifier: Apache-2.0
"""Questions about certificates as they are asked from outside: options and batch lines, files, answers as JSON.

Files are PEM or DER, may hold several certificates or CRLs, and are read once for a whole batch.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import IO, Final, Literal, TypeAlias

from cryptography import x509

from etymon.card import object_trust
from etymon.card.client import PIVClient
from etymon.card.object_trust import TrustedObjects
from etymon.kernel.clock import Clock
from etymon.kernel.errors import Malformed, NotFound, NotPermitted
from etymon.pki import certificate, certs_only, leniency, path_verification, revocation_lists
from etymon.pki.errors import NotTrusted
from etymon.pki.leniency import Leniency
from etymon.pki.path_material import Material
from etymon.pki.path_verification import Verdict
from etymon.pki.path_walk import PathParameters
from etymon.pki.revocation_lists import RevocationLists
from etymon.server import questions
from etymon.server.questions import Answer, Options

Revocation: TypeAlias = Literal["required", "off"]

NEUTRAL: Final[Mapping[str, str]] = {
    "untrusted_root": "No path leads to an anchor. Give the issuers' certificates, or another anchor.",
    "expired": "A certificate of the path, or the anchor, has expired.",
    "not_yet_valid": "A certificate of the path, or the anchor, is not valid yet at this moment.",
    "weak_key": "A key or signature of the path is too weak.",
    "wrong_policy": "The path holds for no accepted policy.",
    "revoked_by_crl": "A certificate of the path was revoked.",
}
"""What is said here where pages at the door tell cardholders about their cards."""

MOST_KEPT: Final = 64
"""Sets of files that are kept read."""

MOST_CERTIFICATE_BYTES: Final = 64 * 1024 * 1024
"""Files of anchors, and of intermediates, together."""

MOST_LIST_BYTES: Final = 256 * 1024 * 1024
"""Files of CRLs together; those of the largest public key infrastructures stay below it."""

_OID: Final = re.compile(r"([01]\.[1-3]?[0-9]|2\.(0|[1-9][0-9]*))(\.(0|[1-9][0-9]*))*")


@dataclass(frozen=True, slots=True)
class Question:
    """One certificate and the options it is judged with; `at` None means now."""

    leaf: str = ""
    anchor: tuple[str, ...] = ()
    intermediate: tuple[str, ...] = ()
    crl: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False
    revocation: Revocation = "required"
    at: str | None = None
    leniency: tuple[str, ...] = ()


class Verifier:
    """Answers questions, with the files it has read before."""

    def __init__(self, clock: Clock, stdin: IO[bytes]) -> None:
        self._clock, self._stdin = clock, stdin
        self._material = lru_cache(MOST_KEPT)(_material)
        self._lists = lru_cache(MOST_KEPT)(_lists)

    def verify(self, question: Question) -> Verdict:
        """Judge one certificate; raises `Malformed` where the question itself cannot be used."""
        at, material, lists = self.grounds(question)
        parameters = PathParameters(
            policies=_policies(question.policy),
            explicit_policy=question.explicit_policy,
            inhibit_policy_mapping=question.inhibit_policy_mapping,
            inhibit_any_policy=question.inhibit_any_policy,
        )
        return path_verification.verify(self._leaf(question.leaf), material, parameters, at=at, revocation=lists)

    def card_objects(self, question: Question, card: PIVClient) -> TrustedObjects:
        """Judge the signed objects of a card; raises like `verify`, and what is wrong with object or signer."""
        at, material, lists = self.grounds(question)
        policies = _policies(question.policy) or frozenset({object_trust.CONTENT_SIGNING_POLICY})
        return object_trust.verify(card, object_trust.SignerTrust(material, policies, lists), at=at)

    def grounds(self, question: Question) -> tuple[datetime, Material, RevocationLists | None]:
        """Return the moment, the certificates and the lists that a question names; None where revocation is off."""
        at = questions.moment(question.at) if question.at is not None else self._clock.now()
        if not question.anchor:
            raise Malformed("anchor_missing", "Name at least one file of trust anchors (anchor).")
        named = leniency.parse(question.leniency)
        material = self._material(question.anchor, question.intermediate, named)
        return at, material, self._lists(question.crl) if question.revocation == "required" else None

    def _leaf(self, name: str) -> x509.Certificate:
        if not name:
            raise Malformed("leaf_missing", "Name the file of the certificate to judge (leaf).")
        limit = certificate.LIMIT_BYTES
        data = self._stdin.read(limit + 1) if name == "-" else questions.read(name, limit)
        return certificate.load(questions.without_keys(name, data))


def ask(question: Question, verifier: Verifier) -> Answer:
    """Return the answer to one question as JSON values, and the exit status."""
    try:
        verdict = verifier.verify(question)
    except Malformed as error:
        return _unusable(error), 2
    return _answer(verdict), 0 if verdict.valid else 1


def ask_of_card(question: Question, verifier: Verifier, card: PIVClient) -> Answer:
    """Return the answer about a card's signed objects, and the exit status."""
    told = {"valid": False, "errors": [], "policies": [], "cardUuid": None, "objects": [], "signer": None}
    try:
        found = verifier.card_objects(question, card)
    except NotTrusted as refusal:
        return {**told, "errors": [_told(refusal)]}, 1
    except (NotPermitted, NotFound) as refusal:
        return {**told, "errors": [questions.told(refusal)]}, 1
    except Malformed as error:  # of the question, or of what the card holds
        return {**told, "errors": [questions.told(error)]}, 2
    return {
        "valid": True,
        "errors": [],
        "policies": sorted(found.policies),
        "cardUuid": str(found.chuid.card_uuid),
        "objects": [f"{tag:X}" for tag in sorted(found.covered)],
        "signer": found.signer.subject.rfc4514_string(),
    }, 0


def batch(lines: IO[bytes], given: Question, verifier: Verifier) -> Iterator[Answer]:
    """Yield the answer to each line, in order, with the exit status it has; `given` fills what a line lacks."""

    def one(found: Mapping[str, object]) -> Answer:
        verdict = verifier.verify(_question(found, given))
        return _answer(verdict), 0 if verdict.valid else 1

    return questions.batch(lines, one, _unusable)


def _answer(verdict: Verdict) -> dict[str, object]:
    return {
        "valid": verdict.valid,
        "errors": [] if verdict.refusal is None else [_told(verdict.refusal)],
        "policies": sorted(verdict.policies),
    }


def _told(refusal: NotTrusted) -> dict[str, str]:
    detail = NEUTRAL.get(refusal.code, refusal.detail)
    return questions.told(NotTrusted(refusal.code, detail, **refusal.facts))


def _unusable(error: Malformed) -> dict[str, object]:
    return {"valid": False, "errors": [questions.told(error)], "policies": []}


def _question(found: Mapping[str, object], given: Question) -> Question:
    """Return the question of a line."""
    options = Options(found, {option.name for option in fields(Question)}, "etymon verify certificate")
    return Question(
        leaf=options.text("leaf", given.leaf) or "",
        anchor=options.texts("anchor", given.anchor),
        intermediate=options.texts("intermediate", given.intermediate),
        crl=options.texts("crl", given.crl),
        policy=options.texts("policy", given.policy),
        explicit_policy=options.flag("explicit_policy", given.explicit_policy),
        inhibit_policy_mapping=options.flag("inhibit_policy_mapping", given.inhibit_policy_mapping),
        inhibit_any_policy=options.flag("inhibit_any_policy", given.inhibit_any_policy),
        revocation=_revocation(options.text("revocation", given.revocation)),
        at=options.text("at", given.at),
        leniency=options.texts("leniency", given.leniency),
    )


def _revocation(text: str | None) -> Revocation:
    match text:
        case "required":
            return "required"
        case "off":
            return "off"
    raise questions.option_malformed("revocation")


def _policies(names: Iterable[str]) -> frozenset[str]:
    found = frozenset(names)
    if not all(map(_OID.fullmatch, found)):
        raise Malformed("policy_malformed", "A policy is an object identifier in dotted form, such as 2.999.1.")
    return found


def _material(anchors: tuple[str, ...], intermediates: tuple[str, ...], named: frozenset[Leniency]) -> Material:
    tolerant = Leniency.ECDSA_NULL_PARAMETERS in named
    trusted = [found for name, data in _files(anchors) for found in _readable(name, data, tolerant=tolerant)]
    others = [found for name, data in _files(intermediates) for found in _readable(name, certs_only.opened(data))]
    material = Material.of(trusted, others)
    if not material.anchors:
        raise Malformed("anchor_unusable", "No trust anchor has a form and size that is taken. Name another file.")
    return material


def _files(names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    return questions.read_all(names, certificate.LIMIT_BYTES, together=MOST_CERTIFICATE_BYTES)


def _readable(name: str, file: bytes, *, tolerant: bool = False) -> tuple[x509.Certificate, ...]:
    """Read a file of which at least one certificate can be read; what cannot be read is as if it were not there."""
    data = questions.without_keys(name, file)
    try:
        found, _ = certificate.load_anchors(data) if tolerant else certificate.load_readable(data)
    except Malformed as exc:
        raise Malformed(exc.code, f"{name}: {exc.detail}") from exc
    if not found:
        raise Malformed("certificate_malformed", f"{name} holds no certificate that can be read, DER or PEM.")
    return found


def _lists(names: tuple[str, ...]) -> RevocationLists:
    files = questions.read_all(names, revocation_lists.LARGEST_LIST_BYTES, together=MOST_LIST_BYTES)
    return RevocationLists.of(found for _, data in files for found in revocation_lists.load_many(data))
