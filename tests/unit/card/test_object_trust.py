# SPDX-License-Identifier: Apache-2.0
"""A card's signed objects count for as much as their signer does now (FIPS 201-3 section 6)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.object_trust import CONTENT_SIGNING_POLICY, SignerTrust, require_content_signer, verify
from etymon.card.state import CardState
from etymon.card.transport import LocalTransport
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import NotPermitted
from etymon.pki.errors import NotTrusted
from etymon.wire.piv import ObjectTag
from etymon.wire.piv_objects import Discovery, encode_discovery
from support import declared_pki
from support.card_issuer import IssuedCard
from support.content_issuer import NOW, ContentIssuer


@pytest.fixture(scope="module")
def issuer() -> ContentIssuer:
    return ContentIssuer()


@pytest.fixture(scope="module")
def card(issuer: ContentIssuer) -> IssuedCard:
    return issuer.card(issuer.signer)


def test_the_objects_of_a_card_are_signed_by_a_content_signer(issuer: ContentIssuer, card: IssuedCard) -> None:
    found = verify(card.client, issuer.trust(), at=NOW)
    assert found.chuid.card_uuid == card.uuid
    assert found.signer == issuer.signer.certificate
    assert found.policies == {CONTENT_SIGNING_POLICY}
    assert found.covered >= {ObjectTag.CHUID, ObjectTag.DISCOVERY}


Case = Callable[[ContentIssuer], tuple[x509.Certificate, SignerTrust, datetime]]
REFUSED: dict[str, tuple[str, Case]] = {
    "no purpose": ("wrong_certificate_kind", lambda i: (i.content_signer(purposes=()).certificate, i.trust(), NOW)),
    "the purpose of TLS clients": (
        "wrong_certificate_kind",
        lambda i: (i.content_signer(purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)).certificate, i.trust(), NOW),
    ),
    "no signatures": (
        "wrong_certificate_kind",
        lambda i: (i.content_signer(digital_signature=False).certificate, i.trust(), NOW),
    ),
    "the policy of cardholders": (
        "wrong_policy",
        lambda i: (i.content_signer(policies=(declared_pki.CARD_POLICY,)).certificate, i.trust(), NOW),
    ),
    "another root": (
        "untrusted_root",
        lambda i: (i.signer.certificate, i.trust(root=declared_pki.root(NOW, "Other")), NOW),
    ),
    "over": ("expired", lambda i: (i.signer.certificate, i.trust(), NOW + timedelta(days=3001))),
    "revoked": ("revoked_by_crl", lambda i: (i.signer.certificate, i.trust(i.signer.certificate), NOW)),
    "no list": ("status_unavailable", lambda i: (i.signer.certificate, i.trust(lists=False), NOW)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_signer_that_may_not_sign_objects_now_is_refused(issuer: ContentIssuer, case: str) -> None:
    code, made = REFUSED[case]
    signer, trust, at = made(issuer)
    with pytest.raises(NotTrusted) as refused:
        require_content_signer(signer, trust, at=at)
    assert refused.value.code == code


def test_a_card_whose_signer_was_revoked_has_no_trusted_object(issuer: ContentIssuer, card: IssuedCard) -> None:
    with pytest.raises(NotTrusted, match="revoked_by_crl"):
        verify(card.client, issuer.trust(issuer.signer.certificate), at=NOW)


def put_into_reader(state: CardState) -> PIVClient:
    client = PIVClient(LocalTransport(PIVApplet(state, lambda _: None, SystemEntropy())))
    client.select()
    return client


def test_an_object_that_was_changed_or_taken_away_is_noticed(issuer: ContentIssuer, card: IssuedCard) -> None:
    state = card.applet.state
    changed = state.with_object(ObjectTag.DISCOVERY, encode_discovery(Discovery(0x6000)))
    with pytest.raises(NotPermitted, match="object_changed"):
        verify(put_into_reader(changed), issuer.trust(), at=NOW)
    without = {tag: content for tag, content in state.objects.items() if tag != ObjectTag.KEY_HISTORY}
    with pytest.raises(NotPermitted, match="object_missing"):
        verify(put_into_reader(replace(state, objects=without)), issuer.trust(), at=NOW)
    verify(put_into_reader(state), issuer.trust(), at=NOW)
