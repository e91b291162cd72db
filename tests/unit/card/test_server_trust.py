# SPDX-License-Identifier: Apache-2.0
"""Which servers are believed."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from etymon.card.server_trust import CHAIN_LIMIT, ServerNotTrusted, ServerTrust, spki_digest
from support.card_issuer import Authority, authority, server_certificate


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def root() -> Authority:
    return authority("TLS Root")


@pytest.fixture(scope="module")
def issuing(root: Authority) -> Authority:
    return authority("TLS CA", root)


@pytest.fixture(scope="module")
def chain(issuing: Authority) -> tuple[x509.Certificate, ...]:
    leaf, _ = server_certificate(issuing, dns=("login.example.org",), addresses=("127.0.0.1", "::1"))
    return (leaf, issuing.certificate)


@pytest.mark.parametrize("host", ["login.example.org", "127.0.0.1", "::1"])
def test_a_server_is_believed_by_its_anchor(root: Authority, chain: tuple[x509.Certificate, ...], host: str) -> None:
    ServerTrust((root.certificate,)).verify(chain, host, now())


def test_an_intermediate_may_be_the_anchor(issuing: Authority, chain: tuple[x509.Certificate, ...]) -> None:
    ServerTrust((issuing.certificate,)).verify(chain[:1], "127.0.0.1", now())


@pytest.mark.parametrize("pinned", ["root", "issuing", "leaf"])
def test_a_pin_and_an_anchor_hold_together(
    root: Authority, issuing: Authority, chain: tuple[x509.Certificate, ...], pinned: str
) -> None:
    keys = {"root": root.certificate, "issuing": issuing.certificate, "leaf": chain[0]}
    ServerTrust((root.certificate,), spki_digest(keys[pinned])).verify(chain, "127.0.0.1", now())


def test_a_pinned_authority_that_the_server_presents_is_enough(
    root: Authority, issuing: Authority, chain: tuple[x509.Certificate, ...]
) -> None:
    ServerTrust(pin=spki_digest(issuing.certificate)).verify(chain, "127.0.0.1", now())
    ServerTrust(pin=spki_digest(root.certificate)).verify((*chain, root.certificate), "127.0.0.1", now())


def test_an_anchor_does_not_replace_a_pin(root: Authority, chain: tuple[x509.Certificate, ...]) -> None:
    with pytest.raises(ServerNotTrusted, match="server_pin"):
        ServerTrust((root.certificate,), bytes(32)).verify(chain, "127.0.0.1", now())


def test_a_pinned_key_only_presented_but_not_in_the_path_is_no_pin(
    root: Authority, chain: tuple[x509.Certificate, ...]
) -> None:
    stranger = authority("Stranger").certificate
    trust = ServerTrust((root.certificate,), spki_digest(stranger))
    with pytest.raises(ServerNotTrusted, match="server_pin"):
        trust.verify((*chain, stranger), "127.0.0.1", now())
    with pytest.raises(ServerNotTrusted):
        ServerTrust(pin=spki_digest(stranger)).verify((*chain, stranger), "127.0.0.1", now())


def test_a_pin_alone_is_for_an_authority_not_for_a_leaf(chain: tuple[x509.Certificate, ...]) -> None:
    with pytest.raises(ServerNotTrusted, match="server_pin"):
        ServerTrust(pin=spki_digest(chain[0])).verify(chain, "127.0.0.1", now())
    with pytest.raises(ServerNotTrusted, match="server_pin"):
        ServerTrust(pin=bytes(32)).verify(chain, "127.0.0.1", now())


@pytest.mark.parametrize("host", ["example.org", "other.example.org", "127.0.0.2", "", "*.example.org", "a b"])
def test_another_host_is_not_believed(root: Authority, chain: tuple[x509.Certificate, ...], host: str) -> None:
    with pytest.raises(ServerNotTrusted, match="server_not_trusted"):
        ServerTrust((root.certificate,)).verify(chain, host, now())


@pytest.mark.parametrize("away", [timedelta(days=-1), timedelta(days=31)])
def test_a_certificate_has_its_time(root: Authority, chain: tuple[x509.Certificate, ...], away: timedelta) -> None:
    with pytest.raises(ServerNotTrusted):
        ServerTrust((root.certificate,)).verify(chain, "127.0.0.1", now() + away)


def test_a_chain_to_another_root_is_not_believed(chain: tuple[x509.Certificate, ...]) -> None:
    with pytest.raises(ServerNotTrusted):
        ServerTrust((authority("TLS Root").certificate,)).verify(chain, "127.0.0.1", now())


def test_a_chain_with_a_hole_is_not_believed(root: Authority, chain: tuple[x509.Certificate, ...]) -> None:
    with pytest.raises(ServerNotTrusted):
        ServerTrust((root.certificate,)).verify(chain[:1], "127.0.0.1", now())


def test_a_leaf_that_plays_authority_is_not_believed(root: Authority, issuing: Authority) -> None:
    leaf, key = server_certificate(issuing, dns=("login.example.org",))
    forged, _ = server_certificate(Authority(leaf, key), dns=("bank.example",))
    with pytest.raises(ServerNotTrusted):
        ServerTrust((root.certificate,)).verify((forged, leaf, issuing.certificate), "bank.example", now())


def test_no_chain_and_an_endless_one_are_refused(root: Authority, chain: tuple[x509.Certificate, ...]) -> None:
    for presented in ((), chain * CHAIN_LIMIT):
        with pytest.raises(ServerNotTrusted):
            ServerTrust((root.certificate,)).verify(presented, "127.0.0.1", now())


def test_trust_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="anchor or a pin"):
        ServerTrust()
