# SPDX-License-Identifier: Apache-2.0
"""Every lint of lists passes a list as it is made and finds the one thing that is wrong in another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from etymon.ca import crl_lints
from etymon.ca.crl_lints import LIST_LINTS, LintedList
from etymon.kernel.errors import Unavailable
from etymon.pki.algorithms import SignatureAlgorithm
from etymon.wire import der
from etymon.wire.crl import EncodedEntries, ListHead, RevokedEntry, encode_entries, encode_tbs
from support.flawed_certificates import AUTHORITY
from support.lint_branches import branches, said

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(hours=48)
KEY = AUTHORITY.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
ALGORITHM = SignatureAlgorithm.ECDSA_SHA256.identifier()
HEAD = ListHead(ALGORITHM, AUTHORITY.subject.public_bytes(), KEY, 3, NOW, NOW + LIFETIME)
ENTRIES = [RevokedEntry(7, NOW, 0), RevokedEntry(8, NOW, 1), RevokedEntry(9, NOW, 6)]


def linted(tbs: bytes) -> LintedList:
    return LintedList(tbs, crl_lints.drafted(tbs, ALGORITHM), AUTHORITY, LIFETIME, previous_number=2)


def listed(head: ListHead = HEAD, entries: Sequence[RevokedEntry] = ENTRIES) -> LintedList:
    return linted(encode_tbs(head, encode_entries(entries)))


def with_extension(oid: str, value: bytes) -> LintedList:
    """Return a list that has one critical extension more."""
    fields = der.elements(der.only(encode_tbs(HEAD, encode_entries(ENTRIES)), der.SEQUENCE).content)
    extensions = der.elements(der.only(fields[-1].content, der.SEQUENCE).content)
    further = der.sequence(der.object_identifier(oid), der.boolean(value=True), der.octet_string(value))
    sequence = der.sequence(*(extension.encoded for extension in extensions), further)
    return linted(der.sequence(*(field.encoded for field in fields[:-1]), der.explicit(0, sequence)))


def without_version() -> LintedList:
    fields = der.elements(der.only(encode_tbs(HEAD, encode_entries(ENTRIES)), der.SEQUENCE).content)
    return linted(der.sequence(*(field.encoded for field in fields[1:])))


def with_another_entry_extension() -> LintedList:
    """Return a list one of whose entries says since when its key is known to be lost."""
    invalidity = der.sequence(der.object_identifier("2.5.29.24"), der.octet_string(der.generalized_time(NOW)))
    entry = der.sequence(der.integer(10), der.encode(der.UTC_TIME, b"260301120000Z"), der.sequence(invalidity))
    return linted(encode_tbs(HEAD, EncodedEntries(entry, 1)))


def test_a_list_as_it_is_made_passes_every_lint() -> None:
    assert crl_lints.findings(listed()) == []
    assert crl_lints.findings(listed(entries=[])) == []
    crl_lints.require_clean(listed())


FLAWS: list[tuple[str, Callable[[], LintedList]]] = [
    ("list_version_is_2", without_version),
    ("list_issuer_equal", lambda: listed(replace(HEAD, issuer=AUTHORITY.issuer.public_bytes()))),
    ("list_times_in_bounds", lambda: listed(replace(HEAD, next_update=NOW + LIFETIME + timedelta(seconds=1)))),
    ("list_times_in_bounds", lambda: listed(replace(HEAD, next_update=NOW))),
    ("list_extensions_listed", lambda: listed(replace(HEAD, number=2))),
    ("list_extensions_listed", lambda: listed(replace(HEAD, authority_key_identifier=b"x" * 20))),
    ("list_extensions_listed", lambda: with_extension("2.5.29.28", der.sequence(der.encode(0x81, b"\xff")))),
    ("list_extensions_listed", lambda: with_extension("2.5.29.27", der.integer(1))),
    ("list_entries_plain", lambda: listed(entries=[*ENTRIES, RevokedEntry(10, NOW, 8)])),
    ("list_entries_plain", lambda: listed(entries=[*ENTRIES, RevokedEntry(9, NOW, 1)])),
    ("list_entries_plain", with_another_entry_extension),
]


@pytest.mark.parametrize(("code", "flawed"), FLAWS, ids=[f"{row[0]}-{i}" for i, row in enumerate(FLAWS)])
def test_a_flaw_is_found_by_the_lint_that_is_for_it(code: str, flawed: Callable[[], LintedList]) -> None:
    made = flawed()
    assert {found for found, _ in crl_lints.findings(made)} == {code}
    with pytest.raises(Unavailable, match="lint_failed"):
        crl_lints.require_clean(made)


def test_whatever_a_lint_can_say_it_says_of_some_list() -> None:
    for rule in LIST_LINTS:
        told = set().union(*(said(rule.check, flawed()) for code, flawed in FLAWS if code == rule.code))
        assert told == set(branches(rule.check).values()), rule.code


def test_every_lint_names_its_requirement_and_clause() -> None:
    assert all(rule.requirement.startswith("L-") and rule.source for rule in LIST_LINTS)
