# SPDX-License-Identifier: Apache-2.0
"""Whatever a lint can say, it says of some certificate that is wrong: no branch of a lint goes untried."""

from collections.abc import Iterator
from dataclasses import replace

from etymon.ca.common_names import CommonNameForm
from etymon.ca.lint import Check, Linted
from etymon.ca.lints import LINTS
from support.certificate_flaws import FIELD_FLAWS
from support.flawed_certificates import linted, rebuilt
from support.foreign_flaws import FOREIGN_FLAWS
from support.lint_branches import branches, said
from support.name_flaws import NAME_FLAWS

CHECKS = {rule.code: rule.check for rule in LINTS}
STRICT = frozenset({CommonNameForm.LAST_FIRST_MIDDLE})
"""A form that no name here has, as an organisation may ask for."""


def flawed() -> Iterator[tuple[Check, Linted]]:
    for code, made, certificate in (*FIELD_FLAWS, *NAME_FLAWS):
        yield CHECKS[code], replace(linted(made, certificate()), common_name_forms=STRICT)
    for code, made, parts in FOREIGN_FLAWS:
        yield CHECKS[code], replace(linted(made, rebuilt(made, **parts), foreign=True), issuer=None)


def test_whatever_a_lint_can_say_it_says_of_some_certificate() -> None:
    silent = {code: set(branches(check).values()) for code, check in CHECKS.items()}
    assert all(silent.values()), "every lint can say something"
    codes = {check: code for code, check in CHECKS.items()}
    for check, judged in flawed():
        silent[codes[check]] -= said(check, judged)
    assert {code: never for code, never in silent.items() if never} == {}
