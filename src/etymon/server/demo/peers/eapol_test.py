# SPDX-License-Identifier: Apache-2.0
"""wpa_supplicant's eapol_test: a real EAP-TLS supplicant that reaches a RADIUS server over UDP, without radio or root.

It takes the same network blocks as wpa_supplicant, so what the phone writes for its Wi-Fi is what is tried.
"""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from etymon.kernel.secret import Secret
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.credentials import Credential, PEMFiles, TokenKey, pkcs11_engine
from etymon.server.demo.peers.freeradius import FreeRADIUS
from etymon.server.demo.peers.programs import Judgement, Verdict

ANSWER_LIMIT: Final = timedelta(seconds=15)
VERSION: Final = re.compile(r"SSL: Using TLS version (\S+)")
DUMPED_KEY: Final = re.compile(
    r"^((?:pin|password|private_key\d?_passwd|EAP-TLS: Derived (?:key|EMSK)|PMK from EAPOL"
    r"|MS-MPPE-(?:Send|Recv)-Key.*)"
    r" - hexdump(?:_ascii)?\(len=\d+\):).*(?:\n {5}.*)*",
    re.MULTILINE,
)
"""A PIN, password or session key as eapol_test dumps it: octet by octet, so that no search for the word finds it."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """How an authentication ended; `tls_version` is empty when no handshake got that far."""

    succeeded: bool
    tls_version: str
    judgement: Judgement


def network_block(
    identity: str, credential: Credential, *, server_anchors: Path, server_name: str, tls13: bool = True
) -> str:
    """Return a wpa_supplicant network block for EAP-TLS.

    wpa_supplicant 2.10 leaves TLS 1.3 off unless told otherwise.
    """
    settings = [
        "key_mgmt=IEEE8021X",
        "eap=TLS",
        f"identity={_quoted(identity)}",
        f"ca_cert={_quoted(str(server_anchors))}",
        f"domain_suffix_match={_quoted(server_name)}",
        f'phase1="tls_disable_tlsv1_3={0 if tls13 else 1}"',
        "eapol_flags=0",
        f"client_cert={_quoted(str(credential.certificate))}",
    ]
    if isinstance(credential, PEMFiles):
        settings.append(f"private_key={_quoted(str(credential.key))}")
    else:
        settings += [
            "engine=1",
            'engine_id="pkcs11"',
            f"key_id={_quoted(credential.uri)}",
            f"pin={_quoted(credential.pin.reveal())}",
        ]
    return "\n".join(["network={", *(f"    {setting}" for setting in settings), "}", ""])


def authenticate(
    network: str,
    server: FreeRADIUS,
    *,
    directory: Path,
    token: TokenKey | None = None,
    secrets: Iterable[Secret[str]] = (),
    limit: timedelta = ANSWER_LIMIT,
) -> Authentication:
    """Try a network block at a RADIUS server; without an end in `limit` (whole seconds) it failed.

    `token` says where a key in PKCS#11 is found. `secrets` are what the block holds and no record may.
    """
    hidden = (server.secret, *secrets, *((token.pin,) if token else ()))
    with tempfile.NamedTemporaryFile("w", dir=directory, prefix="network", suffix=".conf") as configuration:
        if token is not None:
            configuration.write(f"pkcs11_engine_path={pkcs11_engine()}\npkcs11_module_path={token.module}\n")
        configuration.write(network)
        configuration.flush()
        done = programs.run(
            "eapol_test",
            [
                *("-c", configuration.name),
                *("-a", server.host),
                *("-p", str(server.port)),
                *("-s", server.secret.reveal()),
                *("-t", str(int(limit.total_seconds()))),
            ],
            directory=directory,
            settings=token.engine_settings() if token else None,
            limit=limit + ANSWER_LIMIT,
        )
    lines = done.output.splitlines()
    succeeded = done.exit_status == 0 and "SUCCESS" in lines
    version = VERSION.search(done.output)
    judgement = done.judgement(
        Verdict.ACCEPTED if succeeded else Verdict.REFUSED,
        reason="" if succeeded else _complaint(lines),
        secrets=hidden,
    )
    return Authentication(
        succeeded,
        version.group(1) if version else "",
        replace(judgement, output=without_dumped_keys(judgement.output)),
    )


def without_dumped_keys(output: str) -> str:
    """Return what eapol_test wrote without the keys and PINs that it dumps in hexadecimal."""
    return DUMPED_KEY.sub(rf"\1 {programs.REMOVED}", output)


def _quoted(value: str) -> str:
    if '"' in value or "\n" in value:
        message = "a quoted value of wpa_supplicant has no escape for quotes and line ends"
        raise ValueError(message)
    return f'"{value}"'


def _complaint(lines: list[str]) -> str:
    marked = [line for line in lines if "alert" in line or "timed out" in line or "EAP-Failure" in line]
    return marked[0] if marked else "FAILURE"
