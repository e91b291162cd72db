# SPDX-License-Identifier: Apache-2.0
"""What a ceremony's script tells those who confirm it of what cannot be undone."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from etymon.directory.model import Role
from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import KeyType
from etymon.server.key_ceremony import consequences, writing
from etymon.server.key_ceremony.script import Kind, Participant, Script, this_program
from support import declared_pki

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def script() -> Script:
    people = tuple(
        Participant(role, f"{name}@a.example", name, f"{name}@a.example", declared_pki.root(NOW, name).certificate)
        for name, role in (("ada", Role.ADMINISTRATOR), ("otto", Role.OFFICER))
    )
    return Script(
        id=UUID(int=1),
        kind=Kind.REVOCATION,
        written_at=NOW,
        place="Room 1",
        program=this_program(),
        participants=people,
        key_type=KeyType.P256,
        authorities=("derived",),
        configuration={"organization": "Agency", "status_url": "http://status.agency.example"},
        trust_entries=(),
        reason="cACompromise",
        in_use={
            "derived-piv-authentication": 1200,
            "derived-digital-signature": 1100,
            "derived-key-management": 900,
            "key-generation-signer": 1,
            "ocsp-responder": 2,
        },
    )


def test_a_revocation_says_which_certificates_stop_working_and_how_many(script: Script) -> None:
    told = writing.readable(script)
    assert "Cannot be undone: The authority derived is never good again, and issues nothing more." in told
    assert "as counted when this was written: 3203 (" in told
    for words in (
        "1200 for signing in from phones",
        "1100 for signatures by phones",
        "900 for encryption to people's phones",
        "3 of programs of this site",
    ):
        assert words in told
    assert "sets it up anew with the card" in told
    assert "Nothing is issued for derived until another ceremony makes a successor." in told
    followed = writing.readable(replace(script, successor="derived-2"))
    assert "derived-2 issues for derived instead." in followed
    assert "until another ceremony" not in followed
    assert "as counted when this was written: 0." in writing.readable(replace(script, in_use={}))


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        (Kind.ORGANIZATION, ("derived-root", "derived"), "http://status.agency.example stands in every certificate"),
        (Kind.ORGANIZATION, ("derived-root", "derived"), "its root signs no list any more"),
        (Kind.HIERARCHY, ("managed-root", "managed"), "The key of managed-root is made once."),
        (Kind.ISSUING_AUTHORITY, ("derived-2",), "issues from derived-2 and from no derived authority before it."),
        (Kind.ISSUING_AUTHORITY, ("derived-2",), "What was issued before stays good."),
        (Kind.ROOT_LISTS, ("derived-root",), "Nothing stops working by it."),
    ],
)
def test_every_other_ceremony_says_what_stays(script: Script, kind: Kind, names: tuple[str, ...], words: str) -> None:
    other = replace(script, kind=kind, authorities=names, reason="", in_use={})
    assert any(words in line for line in writing.readable(other).splitlines() if line.startswith("Cannot be undone: "))


@pytest.mark.parametrize("name", ["derived", "device-2", "managed", "tls"])
def test_each_hierarchy_has_words_of_its_own(script: Script, name: str) -> None:
    found = list(consequences.lines(replace(script, authorities=(name,))))
    assert consequences.AFTER_REVOCATION[name.split("-", maxsplit=1)[0]] in found
    assert any("until another ceremony" in line for line in found) is (name != "tls")


def test_what_is_told_is_confirmed_and_an_older_script_is_as_it_was(script: Script) -> None:
    assert Script.from_document(script.to_document()) == script
    fewer = replace(script, in_use={**script.in_use, "derived-piv-authentication": 1})
    assert fewer.sha256 != script.sha256
    assert replace(script, successor="derived-2").sha256 != script.sha256
    older = replace(script, in_use={})
    assert not {"in_use", "successor"} & set(older.to_document())
    for wrong in ([1], {"x": "many"}, {"x": None}, "x"):
        with pytest.raises(Malformed, match="ceremony_script"):
            Script.from_document({**script.to_document(), "in_use": wrong})
