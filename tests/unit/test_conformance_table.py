# SPDX-License-Identifier: Apache-2.0
"""The conformance table is whole and true in what a program can see: every requirement, every place, every test.

Whether a named test fails without the check is shown by `make mutation`.
"""

import ast
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support import conformance_table as table
from support.conformance_table import Removal, Row
from support.named_code import every_test_of, is_place, is_test

MOST_UNREMOVABLE = 12
"""Checks that no one edit takes away; each says why."""

GOOD = next(row for row in table.rows() if row.status == "built")


def test_every_requirement_has_one_row_that_says_what_is_to_be_said() -> None:
    assert list(table.faults(table.rows())) == []


def test_every_place_test_and_document_that_a_row_names_is_there() -> None:
    missing = [
        (row.id, name)
        for row in table.rows()
        for name, there in (
            *((place, is_place(place)) for place in row.places),
            *((test, is_test(test)) for test in row.test_ids),
            *((document, table.path_of(document).exists()) for document in row.documents),
        )
        if not there
    ]
    assert missing == []


def test_every_requirement_with_tests_has_a_removal_of_its_check() -> None:
    assert list(table.removal_faults(table.removals(), table.rows())) == []
    unremovable = [name for removal in table.removals() if removal.why for name in removal.ids]
    assert len(unremovable) <= MOST_UNREMOVABLE, unremovable


def test_every_removal_can_be_made_and_leaves_a_program() -> None:
    for removal in table.removals():
        if not removal.why:
            assert removal.old != removal.new, removal.ids
            ast.parse(removal.removed())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": "D-99"}, "D-99: is not known"),
        ({"page": "elsewhere.md"}, f"{GOOD.id}: belongs on {GOOD.page}"),
        ({"status": "done"}, f"{GOOD.id}: has the status 'done'"),
        ({"requirement": ""}, f"{GOOD.id}: does not say what is required"),
        ({"tests": ""}, f"{GOOD.id}: is built, and names no place or no test"),
        ({"where": "somewhere"}, f"{GOOD.id}: is built, and names no place or no test"),
        (
            {"status": "not built", "where": "`ca.crl:publish`"},
            f"{GOOD.id}: is not built, and does not say why or whose",
        ),
    ],
)
def test_a_row_that_is_wrong_is_found(change: dict[str, str], fault: str) -> None:
    rows = tuple(_changed(change))
    assert fault in set(table.faults(rows))


def _changed(change: dict[str, str]) -> Iterator[Row]:
    for row in table.rows():
        yield replace(row, **change) if row is GOOD else row


def test_a_row_too_many_and_one_too_few_are_found() -> None:
    rows = table.rows()
    assert f"{GOOD.id}: has two rows" in set(table.faults((*rows, GOOD)))
    assert f"{GOOD.id}: has no row" in set(table.faults(tuple(row for row in rows if row is not GOOD)))
    with pytest.raises(ValueError, match="five cells"):
        list(table.rows_of("page.md", "| D-1 | text | built |"))


def test_what_is_not_there_is_no_place_and_no_test() -> None:
    assert is_place("ca.crl:publish")
    assert is_place("ca.model:CertificateState.REVOKED")
    assert is_place("pki:errors") is False
    for missing in ("ca.crl:nothing", "ca.nowhere:publish", "ca.crl", "ca.crl:RevocationList.nothing"):
        assert not is_place(missing)
    here = "unit/test_conformance_table.py"
    assert is_test(f"{here}::test_what_is_not_there_is_no_place_and_no_test")
    for missing in (f"{here}::test_nothing", "unit/test_nowhere.py::test_nothing", f"{here}::_changed", here):
        assert not is_test(missing)
    assert every_test_of(table.PAGES) == frozenset()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"ids": ()}, "names tests, and no removal shows what they are worth"),
        ({"ids": ("D-1", "D-1")}, "D-1: has two removals"),
        ({"ids": ("Z-1",)}, "Z-1: names no test, and has a removal"),
        ({"test": "unit/test_architecture.py::test_nothing"}, "the table does not name unit/test_architecture.py"),
        ({"file": "kernel/clock.py"}, "the table names no place in kernel/clock.py"),
    ],
)
def test_a_removal_that_is_wrong_is_found(change: dict[str, object], fault: str) -> None:
    first = next(removal for removal in table.removals() if not removal.why)
    wrong = replace(first, **change)  # type: ignore[arg-type]  # the tests name fields
    found = tuple(wrong if removal is first else removal for removal in table.removals())
    assert any(fault in each for each in table.removal_faults(found, table.rows()))


def test_a_removal_whose_text_is_gone_or_stands_twice_is_an_error() -> None:
    for text in ("no such text", "import"):
        with pytest.raises(ValueError, match=r"times in ca/crl\.py"):
            Removal(ids=("L-1",), file="ca/crl.py", old=text).removed()
