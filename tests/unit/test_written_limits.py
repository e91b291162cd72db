# SPDX-License-Identifier: Apache-2.0
"""Limits that standards set, written out once more: whoever changes one changes it here too, the clause at hand."""

from datetime import timedelta

import pytest

from etymon.audit import sealer
from etymon.ca import authority_profiles, crl, ocsp
from etymon.directory import bindings
from etymon.escrow import model as escrow
from etymon.issuer import model as issuer
from etymon.kernel.errors import Malformed
from etymon.phone.key_store import activation
from etymon.pki import certificate, path_building, path_checks, path_walk
from etymon.pki.revocation_lists import LARGEST_LIST_BYTES
from etymon.server import certificate_questions, questions, settings
from etymon.wire import link_qr


def test_cards_are_looked_at_again_after_seven_days() -> None:
    """SP 800-157, 2.2 and its revision, 2.4."""
    assert timedelta(days=7) == issuer.RECHECK_AFTER
    with pytest.raises(Malformed, match="card_lookback_days: Input should be greater than or equal to 7"):
        settings.checked({"organization": "A", "status_url": "http://status.agency.example", "card_lookback_days": 6})


def test_what_a_card_began_lives_as_long_as_it_may() -> None:
    """SP 800-63B-4, 4.1.2.2: a code lives ten minutes at most."""
    assert max(issuer.LINK_LIFETIME, bindings.CODE_LIFETIME, issuer.PROOF_LIFETIME) == timedelta(minutes=10)
    assert timedelta(days=3 * 365) == issuer.LONGEST_LIFETIME  # Common Policy 6.3.2


def test_a_link_has_the_bits_that_a_code_without_a_name_needs() -> None:
    """SP 800-63B-4, 4.1.2.2: 112 bits; a code for typing has them besides what finds it."""
    assert link_qr.SECRET_BYTES * 8 >= 112
    assert bindings.SECRET_LENGTH * 5 >= 112


def test_lists_are_made_as_often_as_they_must() -> None:
    """Common Policy 4.9.7: every 18 hours; here half an hour sooner, for a worker that was just being started again."""
    assert (timedelta(hours=17, minutes=30), timedelta(hours=48)) == (crl.ONLINE_AGE, crl.ONLINE_LIFETIME)
    assert (timedelta(days=35), timedelta(days=37)) == (crl.OFFLINE_AGE, crl.OFFLINE_LIFETIME)


def test_an_answer_is_kept_for_no_longer_than_a_list() -> None:
    """Common Policy 4.9.9."""
    assert ocsp.ANSWER_LIFETIME <= crl.ONLINE_AGE
    assert timedelta(days=120) == authority_profiles.RESPONDER_LIFETIME


def test_guessing_ends_early() -> None:
    """SP 800-63B-4, 3.2.2 and 3.2.10; Common Policy 6.2.8."""
    assert max(issuer.WRONG_SECRETS_LIMIT, bindings.CODE_TRIES) <= 5
    assert activation.MOST_FAILURES <= 10
    assert activation.SHORTEST_SECRET >= 6


def test_validation_is_bounded_as_its_page_says() -> None:
    """docs/operations/verifying-certificates.md; elsewhere these are patched, so that bounds are reached soon."""
    assert (path_building.MOST_PATHS, path_building.LONGEST_PATH, path_building.MOST_CANDIDATES) == (16, 10, 1000)
    assert path_building.LONGEST_SECONDS == 10.0
    assert (path_walk.MOST_POLICY_NODES, path_checks.MOST_NAME_COMPARISONS) == (1000, 20_000)
    assert questions.MOST_FILES == 1000
    assert (certificate.LIMIT_BYTES, certificate_questions.MOST_CERTIFICATE_BYTES) == (2**20, 64 * 2**20)
    assert (LARGEST_LIST_BYTES, certificate_questions.MOST_LIST_BYTES) == (64 * 2**20, 256 * 2**20)


def test_keys_and_records_are_kept_as_long_as_they_must() -> None:
    """Key Recovery Policy 4.1; an event is signed within a minute, or nothing is issued."""
    assert timedelta(days=365) <= escrow.RETENTION
    assert timedelta(seconds=60) == sealer.SEAL_LIMIT
