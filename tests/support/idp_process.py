# SPDX-License-Identifier: Apache-2.0
"""One process of an identity provider that several processes make up; run as `python -m support.idp_process`.

Reads its settings as one JSON line on standard input, prints the port of its site once it listens, and stops when
standard input ends.
"""

import json
import sys

import structlog

from etymon.audit.refusals import Refusals
from etymon.idp.dependencies import Dependencies
from etymon.idp.signing_keys import SigningKey
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import DigestKey, Secret
from etymon.storage.database import Database
from etymon.web.branding import Branding
from etymon.web.listeners import ServerIdentity
from support.declared_pki import AllGood
from support.idp_listeners import applications, serving


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the test's
    settings = json.loads(sys.stdin.readline())
    database, clock, entropy = Database(settings["database"]), SystemClock(), SystemEntropy()
    deps = Dependencies(
        database=database,
        clock=clock,
        entropy=entropy,
        refusals=Refusals(database, clock, entropy),
        digest_key=DigestKey(Secret(bytes.fromhex(settings["digest_key"]))),
        site_url=settings["site_url"],
        certauth_url=settings["certauth_url"],
        branding=Branding("Test Agency"),
        signing_key=SigningKey.from_pem(Secret(settings["signing_key"].encode())),
        status_of=lambda _: AllGood(),
    )
    identity = ServerIdentity(settings["chain_file"], settings["key_file"])
    with serving(identity, "", lambda _site, _certauth: applications(deps)) as (site_url, _):
        print(site_url, flush=True)  # noqa: T201 - how the test learns the port
        sys.stdin.read()


main()
