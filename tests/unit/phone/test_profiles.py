# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.card.external_key import SoftwareKey
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.phone.key_store.contract import KeyEntry, TokenReference
from etymon.phone.profiles import certificate_access, email, wifi
from etymon.phone.profiles.certificate_access import Access
from etymon.phone.profiles.outcome import Outcome
from etymon.phone.state import Policy, Purpose, ResultState
from support.card_issuer import authority
from support.phone_keys import self_signed

ROOT = UUID("11111111-2222-4333-8444-555555555555")
NETWORK = {
    "ssid": "Corp",
    "hidden": False,
    "connectAutomatically": True,
    "security": "wpaEnterprise",
    "eap": "tls",
    "serverNames": ["aaa.agency.example", "bbb.agency.example"],
    "trustedRoots": [str(ROOT)],
    "outerIdentity": "anonymous@agency.example",
    "credential": "derived",
}
ACCOUNT = {"accountName": "Mail", "host": "mail", "address": "alice@agency.example"}


def policy(kind: str, settings: dict[str, Any]) -> Policy:
    return Policy(uuid4(), 1, kind, kind, settings)


def entry() -> KeyEntry:
    key = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
    return KeyEntry("derived", key.public_key, requires_activation=True, certificate=self_signed(key), chain=())


def block(settings: dict[str, Any], token: TokenReference | None = None) -> list[str]:
    network = wifi.network(policy("wifi", NETWORK | settings))
    return [line.strip() for line in wifi.network_block(network, Path("/phone/applied/x"), entry(), token).splitlines()]


def test_a_network_block_believes_the_named_servers_below_the_named_roots_only() -> None:
    lines = block({})
    assert 'ca_cert="/phone/applied/x/network-roots.pem"' in lines
    assert 'domain_suffix_match="aaa.agency.example;bbb.agency.example"' in lines
    assert 'identity="anonymous@agency.example"' in lines
    assert not any(line.startswith(("pin=", "key_id=", "disabled=", "scan_ssid=")) for line in lines)


def test_without_an_outer_identity_the_certificate_says_who_it_is() -> None:
    assert 'identity="Self-signed"' in block({"outerIdentity": ""})


def test_a_hidden_network_is_looked_for_and_one_that_is_not_automatic_waits() -> None:
    lines = block({"hidden": True, "connectAutomatically": False})
    assert {"scan_ssid=1", "disabled=1"} <= set(lines)


@pytest.mark.parametrize("ssid", ['a"\nnetwork={', "Köln", "\\"])
def test_a_name_cannot_end_its_line_or_its_block(ssid: str) -> None:
    lines = block({"ssid": ssid})
    assert lines.count("network={") == 1
    assert any(line in {f"ssid={ssid.encode().hex()}", f'ssid="{ssid}"'} for line in lines)


@pytest.mark.parametrize("settings", [{"serverNames": ['a"']}, {"serverNames": ["a\nb"]}])
def test_a_server_name_cannot_end_its_line(settings: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        block(settings)


def test_a_block_with_a_token_names_engine_key_and_pin() -> None:
    token = TokenReference(Path("/m.so"), Path("/c"), "credential", b"\x01\xfe", Secret("the-pin"))
    lines = block({}, token)
    assert 'key_id="pkcs11:token=credential;id=%01%FE;type=private"' in lines
    assert 'pin="the-pin"' in lines


def test_a_network_waits_for_its_roots_and_then_for_the_credential(tmp_path: Path) -> None:
    asked = policy("wifi", NETWORK)
    waits = wifi.apply(asked, tmp_path, credential=entry(), roots={}, reachable=True)
    assert (waits.state, str(ROOT) in waits.detail) == (ResultState.PENDING, True)
    roots = {ROOT: authority("RADIUS CA").certificate}
    assert wifi.apply(asked, tmp_path, credential=None, roots=roots, reachable=True).state is ResultState.PENDING
    assert list(tmp_path.iterdir()) == []
    assert wifi.apply(asked, tmp_path, credential=entry(), roots=roots, reachable=True).state is ResultState.SUCCEEDED
    hidden = wifi.apply(asked, tmp_path, credential=entry(), roots=roots, reachable=False)
    assert hidden.state is ResultState.NOT_APPLICABLE


def test_apps_get_nothing_without_a_policy_and_are_asked_about_unless_named() -> None:
    asks = policy("derivedCredential", {"certificateAccess": "userApproval"})
    names = policy("derivedCredential", {"certificateAccess": "specificApps", "packages": ["a.b"]})
    assert certificate_access.decide([], "a.b") is Access.DENIED
    assert certificate_access.decide([asks], "a.b") is Access.ASK_USER
    assert certificate_access.decide([names], "a.b") is Access.GRANTED
    assert certificate_access.decide([asks, names], "a.b") is Access.GRANTED
    assert certificate_access.decide([names], "a.b.c") is Access.ASK_USER


@pytest.mark.parametrize(
    ("uses", "held", "state"),
    [
        ({}, (), ResultState.SUCCEEDED),
        ({"signing": "derived"}, (), ResultState.PENDING),
        ({"signing": "derived"}, (Purpose.SIGNATURE,), ResultState.SUCCEEDED),
        ({"encryption": "derived"}, (Purpose.SIGNATURE,), ResultState.PENDING),
        ({"signing": "none", "encryption": "derived"}, (Purpose.ENCRYPTION,), ResultState.SUCCEEDED),
    ],
)
def test_a_mail_account_waits_for_the_certificates_it_uses(
    tmp_path: Path, uses: dict[str, str], held: tuple[Purpose, ...], state: ResultState
) -> None:
    assert email.apply(policy("email", ACCOUNT | uses), tmp_path, purposes=held).state is state


def test_a_detail_is_as_long_as_it_may_be_reported() -> None:
    assert len(Outcome(ResultState.FAILED, "x" * 900).detail) == 500
