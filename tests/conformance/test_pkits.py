# SPDX-License-Identifier: Apache-2.0
"""Every test of NIST's PKITS (sections 4.1 to 4.16), with the inputs and results of its document."""

from collections import Counter

import cryptography
import cryptography_vectors
import pytest

from etymon.kernel.errors import Malformed
from etymon.pki import certificate, path_verification, revocation_lists
from etymon.pki.path_material import Material
from etymon.pki.path_verification import Verdict
from etymon.pki.path_walk import PathParameters
from etymon.pki.revocation_lists import RevocationLists
from support import pkits
from support.pkits import Case

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

IN_A_SECTION = {
    1: 6,
    2: 8,
    3: 11,
    4: 21,
    5: 8,
    6: 17,
    7: 5,
    8: 20,
    9: 8,
    10: 14,
    11: 11,
    12: 10,
    13: 38,
    14: 35,
    15: 10,
    16: 2,
}
UNSUPPORTED = {"4.1.4", "4.1.5"}
"""DSA is not among the algorithms that may sign here (FIPS 186-5 withdrew it); the tests are refused."""


def verdict(case: Case) -> Verdict:
    files = pkits.files(case.title)
    material = Material.of([pkits.anchor()], [certificate.load(found) for found in files.intermediates])
    lists = RevocationLists.of(found for data in files.crls for found in revocation_lists.load_many(data))
    parameters = PathParameters(
        policies=frozenset(case.settings.get("policy", ())),
        explicit_policy="explicit" in case.settings,
        inhibit_policy_mapping="inhibit-mapping" in case.settings,
        inhibit_any_policy="inhibit-any" in case.settings,
    )
    return path_verification.verify(certificate.load(files.leaf), material, parameters, at=pkits.NOW, revocation=lists)


@pytest.mark.parametrize("case", pkits.cases(), ids=lambda case: case.id)
def test_a_test_of_pkits_ends_as_nist_says(case: Case) -> None:
    if case.code == "certificate_malformed":
        with pytest.raises(Malformed, match=case.code):
            verdict(case)
        return
    found = verdict(case)
    assert found.refusal is None or found.refusal.detail.endswith(".")
    assert (found.refusal.code if found.refusal else "") == case.code
    assert found.policies == frozenset(case.policies)


def test_the_table_has_every_test_and_refuses_what_is_not_supported() -> None:
    numbers = {case.number for case in pkits.cases()}
    assert Counter(int(number.split(".")[1]) for number in numbers) == IN_A_SECTION
    different = [case for case in pkits.cases() if not case.is_supported]
    assert {case.number for case in different} == UNSUPPORTED
    assert all(case.nist_says_valid for case in different)  # nothing that NIST refuses is accepted


def test_the_vectors_are_of_the_librarys_version() -> None:
    assert cryptography_vectors.__version__ == cryptography.__version__
