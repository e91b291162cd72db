# SPDX-License-Identifier: Apache-2.0
"""Policy `wifi`: a WPA-Enterprise network joined by EAP-TLS, as a network block of wpa_supplicant.

The block names certificates by file and the key by what its store lets other programs use: an engine, a PKCS#11 URI and
a PIN. A key that no other program can use leaves the network without a supplicant, and the policy says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed
from etymon.phone.document import Document
from etymon.phone.key_store.contract import KeyEntry, TokenReference
from etymon.phone.profiles.outcome import SUCCEEDED, WAITS_FOR_CREDENTIAL, Outcome
from etymon.phone.state import Policy, ResultState
from etymon.pki import certificate as certificates

TYPE: Final = "wifi"
ROOTS_FILE: Final = "network-roots.pem"
CERTIFICATE_FILE: Final = "network-certificate.pem"
NETWORK_FILE: Final = "network.conf"
LONGEST_SSID_BYTES: Final = 32
"""IEEE 802.11-2020 §9.4.2.2."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network to be joined with the derived credential."""

    ssid: str
    hidden: bool
    connect_automatically: bool
    server_names: tuple[str, ...]
    trusted_roots: tuple[UUID, ...]
    outer_identity: str


def network(policy: Policy) -> Network:
    """Read the policy's settings; `Malformed` for what this phone cannot join."""
    members = Document(policy.settings)
    asked = (members.text("security"), members.text("eap"), members.text("credential", "derived"))
    if asked != ("wpaEnterprise", "tls", "derived"):
        raise Malformed("policy_malformed", "The phone joins WPA-Enterprise networks by EAP-TLS with the credential.")
    found = Network(
        ssid=members.text("ssid"),
        hidden=members.flag("hidden", default=False),
        connect_automatically=members.flag("connectAutomatically", default=True),
        server_names=members.texts("serverNames"),
        trusted_roots=tuple(UUID(root) for root in members.texts("trustedRoots")),
        outer_identity=members.text("outerIdentity", ""),
    )
    if not 1 <= len(found.ssid.encode()) <= LONGEST_SSID_BYTES:
        raise Malformed("policy_malformed", "A network name has 1 to 32 bytes.")
    if not found.server_names or not found.trusted_roots:
        # without both, anyone with a certificate of any authority could pose as the network (RFC 5216 §5.2)
        raise Malformed("policy_malformed", "The policy names no server or no root, so nobody could be believed.")
    return found


def apply(
    policy: Policy,
    directory: Path,
    *,
    credential: KeyEntry | None,
    roots: Mapping[UUID, x509.Certificate],
    reachable: bool,
) -> Outcome:
    """Write the network's files once roots and credential are there; `reachable`: other programs may use its key."""
    settings = network(policy)
    missing = [root for root in settings.trusted_roots if root not in roots]
    if missing:
        return Outcome(ResultState.PENDING, f"Waits for the trusted root {missing[0]}.")
    if credential is None or credential.certificate is None:
        return WAITS_FOR_CREDENTIAL
    named = [roots[root].public_bytes(Encoding.PEM) for root in settings.trusted_roots]
    (directory / ROOTS_FILE).write_bytes(b"".join(named))
    chain = (credential.certificate, *credential.chain)
    (directory / CERTIFICATE_FILE).write_bytes(b"".join(item.public_bytes(Encoding.PEM) for item in chain))
    (directory / NETWORK_FILE).write_text(network_block(settings, directory, credential, None))
    if not reachable:
        return Outcome(
            ResultState.NOT_APPLICABLE, "The key store keeps its keys from other programs, the supplicant among them."
        )
    return SUCCEEDED


def network_block(
    settings: Network, directory: Path, credential: KeyEntry, token: TokenReference | None, *, tls13: bool = True
) -> str:
    """Return the network block; with `token` it can connect, and carries the token's PIN."""
    if credential.certificate is None:
        raise Malformed("no_certificate", "The credential has no certificate yet.")
    lines = [
        f"ssid={_string(settings.ssid)}",
        "key_mgmt=WPA-EAP IEEE8021X",
        "eap=TLS",
        f"identity={_string(settings.outer_identity or _identity(credential.certificate))}",
        f"ca_cert={_quoted(str(directory / ROOTS_FILE))}",
        f"domain_suffix_match={_quoted(';'.join(settings.server_names))}",
        f"client_cert={_quoted(str(directory / CERTIFICATE_FILE))}",
        f'phase1="tls_disable_tlsv1_3={0 if tls13 else 1}"',  # wpa_supplicant 2.10 leaves TLS 1.3 off by itself
        "eapol_flags=0",
    ]
    if settings.hidden:
        lines.append("scan_ssid=1")
    if not settings.connect_automatically:
        lines.append("disabled=1")
    if token is not None:
        lines += [
            "engine=1",
            'engine_id="pkcs11"',
            f"key_id={_quoted(token.key_uri)}",
            f"pin={_quoted(token.pin.reveal())}",
        ]
    return "\n".join(["network={", *(f"    {line}" for line in lines), "}", ""])


def _identity(certificate: x509.Certificate) -> str:
    """Return whom the network knows the holder as: the user principal name, else mail address or common name."""
    addresses = certificates.mail(certificate)
    name = certificates.upn(certificate) or (addresses[0] if addresses else certificates.common_name(certificate))
    if not name:
        raise Malformed("no_identity", "The certificate names nobody the network could know.")
    return name


def _string(value: str) -> str:
    """Return a string setting: quoted where wpa_supplicant reads it as it stands, else in hexadecimal."""
    plain = value.isascii() and value.isprintable() and '"' not in value
    return f'"{value}"' if plain else value.encode().hex()


def _quoted(value: str) -> str:
    if '"' in value or not value.isprintable():
        raise Malformed("policy_malformed", "A name or path holds a character that wpa_supplicant cannot read.")
    return f'"{value}"'
