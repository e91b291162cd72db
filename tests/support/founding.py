# SPDX-License-Identifier: Apache-2.0
"""A whole site from nothing: chosen ports, keys, authorities, first people, rules, and everything running."""

import contextlib
import os
import random
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from etymon.directory import groups
from etymon.directory.model import Role
from etymon.issuer import issuance_rules
from etymon.issuer.model import IssuanceRule, Purpose
from etymon.kernel.entropy import SystemEntropy, random_id
from etymon.mdm import configuration_profiles, derived_credentials, enrollment_profiles
from etymon.mdm.configuration_profiles import ProfileContent
from etymon.mdm.credential_issuer import IssuerTerms
from etymon.mdm.enrollment_profile import ProfileTerms
from etymon.mdm.settings import DerivedCredentialForApps
from etymon.mdm.targets import Target, TargetKind
from etymon.pki.algorithms import KeyType
from etymon.pki.status_hosts import USUAL, Patience
from etymon.server import initialization
from etymon.server.demo.peers import mail_server
from etymon.server.demo.peers.mail_server import MailServer
from etymon.server.deployment import Deployment
from etymon.server.initialization import Founder, RootKeys
from etymon.server.site import Site
from etymon.server.wiring import Wiring
from etymon.web.listeners import Listeners
from support import patience
from support.card_office import PASSPHRASE, CardOffice
from support.proxies import LISTENERS, Proxy
from support.running_clock import RunningClock
from support.whole_site import ALL_PURPOSES, DOMAIN, LONG_KEYS, OWN_PHONES, SIGN_IN_ONLY, TEST, WITH_PASSWORD, WholeSite

OFFICER: Final = f"otto@{DOMAIN}"
FOUNDERS: Final = (
    Founder(Role.ADMINISTRATOR, f"ada@{DOMAIN}", "Ada Adler", f"ada@{DOMAIN}"),
    Founder(Role.OFFICER, OFFICER, "Otto Olsen", OFFICER),
)
RULES: Final[Mapping[str, Mapping[str, Any]]] = {
    ALL_PURPOSES: {},
    SIGN_IN_ONLY: {"purposes": (Purpose.AUTHENTICATION,)},
    WITH_PASSWORD: {"link_password": True},
    OWN_PHONES: {"managed_devices_only": False},
    LONG_KEYS: {"encryption_key_type": KeyType.RSA3072},
}
"""Group to what its members' rule says beside the usual."""


LOWEST_PORT: Final = 20_000
PORTS_IN_A_RANGE: Final = 1_500
PORT_RANGES: Final = 8


@contextmanager
def founded(
    directory: Path,
    *,
    organization: str = "Example Agency",
    database_url: str = "",
    proxy: Proxy | None = None,
    waits: Patience = USUAL,
) -> Iterator[WholeSite]:
    """Make cards, an organisation and everything around it in an empty directory, and run it until the block ends.

    With a proxy, everybody goes through that one.
    """
    clock, entropy = RunningClock(), SystemEntropy()
    chosen = free_ports(2 * len(LISTENERS) + 1)
    ports = dict(zip((*LISTENERS, "cards"), chosen, strict=False))
    fronted = dict(zip(LISTENERS, chosen[-len(LISTENERS) :], strict=True))
    with ExitStack() as stack:
        mail = stack.enter_context(mail_server.serving(directory / "mail", domains=frozenset({DOMAIN})))
        cards = CardOffice(_made(directory / "cards"), organization, clock, entropy, ports["cards"])
        codes = initialization.initialize(
            directory / "data",
            {
                **_configuration(organization, ports, mail, database_url),
                **(proxy.settings(fronted, {name: ports[name] for name in LISTENERS}) if proxy else {}),
            },
            passphrase=PASSPHRASE,
            root_keys=RootKeys(directory / "roots", PASSPHRASE),
            founders=FOUNDERS,
            trust_entries=[cards.entry()],
            clock=clock,
            entropy=entropy,
            progress=lambda _: None,
        )
        deployment = Deployment.open(directory / "data", PASSPHRASE, clock, entropy)
        stack.callback(deployment.database.close)
        site = WholeSite(directory, clock, Wiring(deployment, waits), cards, mail)
        site.codes = codes
        if proxy:
            stack.enter_context(proxy.serving(directory / "data"))
        stack.enter_context(site.services).enter_context(_running(site))
        stack.callback(site.close)
        stack.enter_context(cards.answering())
        _configure(site)
        yield site


@contextmanager
def restored(before: WholeSite, data: Path) -> Iterator[WholeSite]:
    """Stop a site for good, its browsers and phones too, and run what was restored from its backup; cards stay."""
    before.clients.close()
    before.services.close()
    deployment = Deployment.open(data, PASSPHRASE, before.clock, before.entropy)
    site = WholeSite(before.directory, before.clock, Wiring(deployment), before.cards, before.mail)
    with contextlib.closing(deployment.database), _running(site), contextlib.closing(site.clients):
        yield site


@contextmanager
def _running(site: WholeSite) -> Iterator[None]:
    running = Site(site.wiring, with_worker=True)
    spoken = running.listeners._listeners  # noqa: SLF001 - the recorder stands between listener and application
    running.listeners = Listeners([site.traffic.at(listener) for listener in spoken])
    site.running = running
    thread = threading.Thread(target=running.run, name="site")
    thread.start()
    try:
        patience.until(lambda: running.listeners.started or not thread.is_alive(), "the site starts")
        assert running.listeners.started
        yield
    finally:
        running.stop()
        thread.join()
        site.wiring.peer_client.close()


def _configuration(
    organization: str, ports: Mapping[str, int], mail: MailServer, database_url: str
) -> Mapping[str, object]:
    return {
        "organization": organization,
        "loopback_demo": True,
        "status_url": f"http://127.0.0.1:{ports['status']}",
        **{f"{name}_port": ports[name] for name in LISTENERS},
        "smtp_host": mail.host,
        "smtp_port": mail.port,
        "smtp_tls": "none",
        "mail_from": f"etymon@{DOMAIN}",
        **({"database_url": database_url} if database_url else {}),
    }


def _configure(site: WholeSite) -> None:
    """Do what administrator and officer do once: groups, rules, an enrollment code, the issuer, one policy for all."""
    directory, mdm, issuer = site.wiring.directory, site.wiring.mdm, site.wiring.issuer
    officer = site.person("otto").id
    with site.deployment.database.transaction() as tx:
        for name, further in RULES.items():
            group = groups.create(tx, directory, name=name, actor=TEST)
            usual = IssuanceRule(
                id=random_id(site.entropy),
                name=name,
                groups=frozenset({group.id}),
                purposes=tuple(Purpose),
                lifetime=timedelta(days=1000),
                created_by=officer,
                created_at=site.clock.now(),
            )
            issuance_rules.save(tx, issuer, replace(usual, **further), officer=officer)
        profile = enrollment_profiles.create(tx, mdm, ProfileTerms("Phones"), actor=TEST)
        enrollment_profiles.create_token(tx, mdm, profile.id, lifetime=timedelta(days=3650), actor=TEST)
        derived_credentials.create(tx, mdm, IssuerTerms("Agency issuer", f"{site.url}/issuer"), actor=TEST)
        policy = configuration_profiles.create(tx, mdm, ProfileContent("Apps", DerivedCredentialForApps()), actor=TEST)
        configuration_profiles.assign(tx, mdm, policy.id, [Target(TargetKind.ALL_USERS)], actor=TEST)
    site.settle()


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700)
    return directory


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody has; certificates carry some, so that they are chosen beforehand.

    They lie below those that the system gives to whoever connects, and each test process has some of its own: what is
    free now still is when it is bound.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_RANGES
    lowest = LOWEST_PORT + worker * PORTS_IN_A_RANGE
    found: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(range(lowest, lowest + PORTS_IN_A_RANGE), PORTS_IN_A_RANGE):
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    message = "no ports are free"
    raise AssertionError(message)
