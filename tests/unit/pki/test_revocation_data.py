# SPDX-License-Identifier: Apache-2.0
"""Judging OCSP answers and CRLs: what says no is a refusal, what says nothing is as if it were not there."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from etymon.pki import revocation_data
from etymon.pki.errors import NotTrusted
from etymon.pki.revocation_data import CLOCK_TOLERANCE, OCSP_AGE_WITHOUT_END, OCSPAnswer, VerifiedCRL
from support import declared_pki
from support.declared_pki import Certified

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NONCE = b"\x11" * 16
URL = "http://status.example/card.crl"

ROOT = declared_pki.root(NOW)
LEAF = ROOT.issue(NOW)
OTHER = declared_pki.root(NOW, "Other Root")


def judge(answer: bytes, *, at: datetime = NOW, leaf: Certified = LEAF) -> OCSPAnswer | None:
    return revocation_data.judge_ocsp(answer, leaf.certificate, ROOT.certificate, nonce=NONCE, at=at)


def code_of(answer: bytes) -> str:
    with pytest.raises(NotTrusted) as caught:
        judge(answer)
    return caught.value.code


@pytest.mark.parametrize("nonce", [None, NONCE])
@pytest.mark.parametrize("delegated", [True, False])
def test_a_good_answer_counts(nonce: bytes | None, delegated: bool) -> None:  # noqa: FBT001 - a parameter of the table
    signer = ROOT.responder(NOW) if delegated else None
    answer = judge(ROOT.ocsp_answer(LEAF.certificate, NOW, signer=signer, nonce=nonce))
    assert answer == OCSPAnswer(NOW, NOW + timedelta(hours=1))


def test_revoked_and_unknown_are_refusals() -> None:
    assert code_of(ROOT.ocsp_answer(LEAF.certificate, NOW, status=ocsp.OCSPCertStatus.REVOKED)) == "revoked_by_ocsp"
    assert code_of(ROOT.ocsp_answer(LEAF.certificate, NOW, status=ocsp.OCSPCertStatus.UNKNOWN)) == "status_unavailable"


def test_an_answer_that_proves_nothing_is_as_if_it_were_not() -> None:
    good = ROOT.ocsp_answer
    certificate = LEAF.certificate
    sibling = ROOT.issue(NOW).certificate
    outsider = OTHER.responder(NOW)
    nothing = {
        "another nonce": good(certificate, NOW, nonce=b"\x22" * 16),
        "another certificate": good(sibling, NOW),
        "another hash than asked": good(certificate, NOW, algorithm=hashes.SHA256()),
        "outdated": good(certificate, NOW - timedelta(hours=1)),
        "outdated without an end": good(certificate, NOW - OCSP_AGE_WITHOUT_END, lasts=None),
        "from the future": good(certificate, NOW + CLOCK_TOLERANCE + timedelta(seconds=1)),
        "a responder without the purpose": good(certificate, NOW, signer=ROOT.responder(NOW, signing=False)),
        "a responder that would need a check": good(certificate, NOW, signer=ROOT.responder(NOW, no_check=False)),
        "a responder of somebody else": good(certificate, NOW, signer=outsider),
        "a sibling certificate": good(certificate, NOW, signer=LEAF),
        "somebody else's authority": OTHER.ocsp_answer(certificate, NOW),
        "try later": b"\x30\x03\x0a\x01\x03",
        "no answer": b"<html>",
    }
    assert {name for name, answer in nothing.items() if judge(answer) is not None} == set()


def test_a_responder_counts_only_while_its_certificate_is_valid() -> None:
    responder = ROOT.issue(
        NOW,
        "Responder",
        purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,),
        extra=[(x509.OCSPNoCheck(), False)],
        ends=timedelta(seconds=-1),
    )
    assert judge(ROOT.ocsp_answer(LEAF.certificate, NOW, signer=responder)) is None


@given(st.integers(min_value=0, max_value=400), st.integers(min_value=1, max_value=255))
def test_a_changed_answer_never_counts_as_good(position: int, change: int) -> None:
    answer = bytearray(_GOOD)
    answer[position % len(answer)] ^= change
    try:
        assert judge(bytes(answer)) in {None, _GOOD_TIMES}
    except NotTrusted as refused:  # a flipped status byte fails the signature before it is looked at
        pytest.fail(refused.code)


_GOOD = ROOT.ocsp_answer(LEAF.certificate, NOW)
_GOOD_TIMES = OCSPAnswer(NOW, NOW + timedelta(hours=1))


def verified(data: bytes, *, at: datetime = NOW) -> VerifiedCRL | None:
    return revocation_data.verify_crl(data, ROOT.certificate, at=at)


def test_a_list_tells_the_revoked_from_the_others() -> None:
    revoked = ROOT.issue(NOW).certificate
    found = verified(ROOT.crl(NOW, revoked))
    assert found is not None
    revocation_data.require_not_listed(found, LEAF.certificate)
    with pytest.raises(NotTrusted) as caught:
        revocation_data.require_not_listed(found, revoked)
    assert caught.value.code == "revoked_by_crl"


def test_a_certificate_on_hold_counts_as_revoked() -> None:
    hold = (x509.CRLReason(x509.ReasonFlags.certificate_hold), False)
    found = verified(ROOT.crl(NOW, LEAF.certificate, entry_extra=[hold]))
    assert found is not None
    with pytest.raises(NotTrusted):
        revocation_data.require_not_listed(found, LEAF.certificate)


def test_a_list_that_proves_nothing_is_as_if_it_were_not() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.4"), b"\x05\x00")
    not_for_lists = ROOT.issue(NOW, "No CRLs")
    nothing = {
        "signed by another key": ROOT.crl(NOW, signer=declared_pki.key()),
        "another issuer": OTHER.crl(NOW),
        "outdated": ROOT.crl(NOW - timedelta(days=1)),
        "from the future": ROOT.crl(NOW + CLOCK_TOLERANCE + timedelta(seconds=1)),
        "a delta": ROOT.crl(NOW, extra=[(x509.DeltaCRLIndicator(1), True)]),
        "a delta that is not marked critical": ROOT.crl(NOW, extra=[(x509.DeltaCRLIndicator(1), False)]),
        "an unknown critical extension": ROOT.crl(NOW, extra=[(unknown, True)]),
        "an unknown critical entry extension": ROOT.crl(NOW, LEAF.certificate, entry_extra=[(unknown, True)]),
        "no list": b"\x30\x00",
    }
    assert {name for name, data in nothing.items() if verified(data) is not None} == set()
    assert revocation_data.verify_crl(not_for_lists.crl(NOW), not_for_lists.certificate, at=NOW) is None


def _scoped(**scope: object) -> VerifiedCRL:
    settings: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    point = x509.IssuingDistributionPoint(**{**settings, **scope})  # type: ignore[arg-type]  # named as the library does
    found = verified(ROOT.crl(NOW, extra=[(point, True)]))
    assert found is not None
    return found


def test_the_scope_of_a_list_is_kept() -> None:
    here, elsewhere = x509.UniformResourceIdentifier(URL), x509.UniformResourceIdentifier("http://status.example/b.crl")
    authority = ROOT.issue(NOW, "CA", authority=True)
    cases = [
        (_scoped(full_name=[here]), True, True),
        (_scoped(full_name=[elsewhere]), False, False),
        (_scoped(only_contains_user_certs=True), True, False),
        (_scoped(only_contains_ca_certs=True), False, True),
        (_scoped(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})), False, False),
        (_scoped(full_name=[here], indirect_crl=True), False, False),
        (_scoped(only_contains_attribute_certs=True), False, False),
    ]
    for found, leaf_covered, authority_covered in cases:
        assert revocation_data.covers(found, LEAF.certificate, URL) is leaf_covered
        assert revocation_data.covers(found, authority.certificate, URL) is authority_covered
    plain = verified(ROOT.crl(NOW))
    assert plain is not None
    assert revocation_data.covers(plain, LEAF.certificate, URL)


def test_a_list_of_many_without_critical_entries_is_taken() -> None:
    reason = (x509.CRLReason(x509.ReasonFlags.superseded), False)
    revoked = [ROOT.issue(NOW).certificate for _ in range(20)]
    assert verified(ROOT.crl(NOW, *revoked, entry_extra=[reason])) is not None
