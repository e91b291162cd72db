# SPDX-License-Identifier: Apache-2.0
"""The forms of a person's common name, and the certificates that do not have them (Common Policy 3.1.1.1)."""

from dataclasses import replace

import pytest
from cryptography.x509.oid import NameOID

from etymon.ca.common_names import CommonNameForm, has_form
from etymon.ca.lint import findings
from etymon.ca.lints import LINTS
from support.certificate_flaws import DERIVED
from support.flawed_certificates import linted, name, rebuilt

NICKNAME, INITIAL, MIDDLE, DOTTED = CommonNameForm


@pytest.mark.parametrize(
    ("common_name", "forms"),
    [
        ("Jack Giants", {NICKNAME}),
        ("Jack van der Berg", {NICKNAME}),
        ("Zoë O’Brien-Ångström", {NICKNAME}),
        ("John G. Giants", {INITIAL}),
        ("John G Giants", {INITIAL, MIDDLE}),
        ("John Gregory Giants", {MIDDLE}),
        ("Giants.John.Gregory", {DOTTED}),
        ("GIANTS.JOHN.GREGORY.JR.1234567890", {DOTTED}),
        ("Giants.John.Gregory.1234567890", {DOTTED}),
        ("John Gregory Giants III 1234567890", {MIDDLE}),
        ("Jack Giants, Jr. -ENC (affiliate)", {NICKNAME}),
        ("Jack", set()),
        ("Jack  Giants", set()),
        ("jack@agency.example", set()),
        ("Giants.John.Gregory.12345678901234567", set()),
        ("Jack Giants (contractor)", set()),
        ("1234567890", set()),
        ("Jack Giants\n", set()),
        ("", set()),
    ],
)
def test_a_name_has_the_forms_of_its_shape(common_name: str, forms: set[CommonNameForm]) -> None:
    assert {form for form in CommonNameForm if has_form(common_name, [form])} == forms
    assert has_form(common_name, list(CommonNameForm)) == bool(forms)
    assert has_form(common_name, []), "no form is asked for"


@pytest.mark.parametrize(
    ("common_name", "found"),
    [("Giants.John.Gregory.1234567890", set()), ("Jack Giants", {"subject_names_a_person"})],
)
def test_a_common_name_of_another_form_is_found(common_name: str, found: set[str]) -> None:
    subject = name((NameOID.ORGANIZATION_NAME, "Agency"), (NameOID.COMMON_NAME, common_name))
    certificate = rebuilt(DERIVED, subject=subject)
    judged = replace(linted(DERIVED, certificate), common_name_forms=frozenset({DOTTED}))
    assert {finding.code for finding in findings(judged, LINTS)} == found
    assert findings(linted(DERIVED, certificate), LINTS) == ()
