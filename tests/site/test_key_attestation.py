# SPDX-License-Identifier: Apache-2.0
"""A phone proves every key, that of its key history too; officers and auditors look at it, and OpenSSL judges again."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.directory import groups
from etymon.directory.model import Role
from etymon.issuer import issuance_rules
from etymon.issuer.attestation import authorities
from etymon.issuer.attestation.model import AttestationAuthority
from etymon.issuer.model import Attestation, IssuanceRule, Purpose
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotPermitted
from etymon.phone.device import Device
from etymon.phone.key_store.attestation import PhoneMaker
from etymon.pki.attestation_status import AttestationStatusList
from support.desk import Desk
from support.page_commands import commands
from support.programs import required
from support.standing import let_stand
from support.whole_site import DOMAIN, TEST, WholeSite

GROUP: Final = "Attested staff"
PAGE: Final = "key-attestation.md"


@pytest.fixture
def maker(site: WholeSite) -> PhoneMaker:
    """Return a maker of phones that the site believes, with a group whose rule requires attestation of every key."""
    maker = PhoneMaker(datetime(2025, 1, 1, tzinfo=UTC))
    believe(site, maker)
    with site.deployment.database.transaction() as tx:
        group = groups.create(tx, site.wiring.directory, name=GROUP, actor=TEST).id
    demand(site, group, key_history=True)
    return maker


def believe(site: WholeSite, maker: PhoneMaker, status: AttestationStatusList | None = None) -> None:
    with site.deployment.database.transaction() as tx:
        authority = AttestationAuthority("simulated", (maker.root,), status)
        authorities.save(tx, site.wiring.issuer, authority, actor=TEST)


def demand(site: WholeSite, group: UUID, *, key_history: bool) -> None:
    officer = site.person("otto").id
    wanted = IssuanceRule(
        id=random_id(site.entropy),
        name="attested",
        groups=frozenset({group}),
        purposes=tuple(Purpose),
        lifetime=timedelta(days=30),
        created_by=officer,
        created_at=site.clock.now(),
        most_derivations=5,
        key_history=key_history,
        attestation=Attestation.REQUIRED,
    )
    with site.deployment.database.transaction() as tx:
        issuance_rules.save(tx, site.wiring.issuer, wanted, officer=officer)


@pytest.mark.needs("openssl")
def test_a_phone_proves_every_key_and_whoever_may_look_judges_it_again(
    site: WholeSite, maker: PhoneMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "attested-alice"
    card = site.card_for(name, group=GROUP)
    with site.deployment.database.snapshot() as tx:
        group = next(rule for rule in issuance_rules.in_force(tx) if rule.name == "attested").groups
    site.derive(site.enroll(site.new_phone(maker=maker), card), card)
    demand(site, *group, key_history=False)
    second = site.derive(site.enroll(site.new_phone(maker=maker), card), card)
    demand(site, *group, key_history=True)
    let_stand(site.deployment.database, site.person(name).id, site.clock.now())
    second.phone.device.change(history=None)  # as a phone whose set-up ended before it asked

    serial = format(x509.load_der_x509_certificate(attesting(second.phone.device)).serial_number, "x")
    believe(site, maker, AttestationStatusList(frozenset({serial})))
    with pytest.raises(NotPermitted, match="attestation_revoked"):
        second.phone.fetch_key_history(second)
    assert second.phone.status().key_history_due, "with a new key it may be given"
    believe(site, maker)
    second.phone.fetch_key_history(second)
    assert len(second.phone.status().key_history) == 1

    desk = Desk(site, tmp_path, capsys, f"auditor-{uuid4().hex[:8]}", Role.AUDITOR)
    (tmp_path / "roots.pem").write_bytes(maker.root.public_bytes(Encoding.PEM))
    told = walk(desk, tmp_path, name)
    assert told["list"].count("attested  trusted environment") == 7
    assert "transport key of key history  attested" in told["show"]
    shown = told["show"].split("transport key of key history")[1]
    for line in ("security level: trusted environment", "boot state: verified", "boot loader: locked"):
        assert line in shown
    assert "application: AndroidSystem" in shown
    assert json.loads(told["verify"])["attestation"]["securityLevel"] == "trusted_environment"
    openssl_takes(tmp_path)


def attesting(device: Device) -> bytes:
    """Return the certificate of the key that a phone attests with."""
    keys = device.keys.entries()
    return next(entry.attestation[1] for entry in keys if entry.attestation)


def walk(desk: Desk, folder: Path, name: str) -> dict[str, str]:
    """Type every command of the page; return what each told, by its name."""
    told: dict[str, str] = {}
    derivation = attestation = ""
    for command in commands(PAGE):
        if "--challenge" in command:
            continue  # of an example's chain: test_operations_pages
        typed, _, into = command.partition(" > ")
        files = {file: str(folder / file) for file in ("roots.pem", "chain.pem")}
        named = {"$OFFICER": desk.options, "alice@agency.example": f"{name}@{DOMAIN}", **files}
        done = desk.type(typed, **named, DERIVATION=derivation, ATTESTATION=attestation)
        assert (done.status, done.err) == (0, ""), command
        if into:
            (folder / into).write_text(done.out)
        told["verify" if "verify" in typed else typed.split("$OFFICER")[1].split()[0]] = done.out
        derivation = derivation or re.findall(r"^[0-9a-f-]{36}", done.out, re.MULTILINE)[0]
        found = re.search(r"key history  attested  judged  \S+  ([0-9a-f-]{36})", done.out)
        attestation = found[1] if found else attestation
    return told


def openssl_takes(folder: Path) -> None:
    """Let OpenSSL judge the chain as it was downloaded, and refuse it under another root."""
    whole = (folder / "chain.pem").read_bytes()
    leaf, *above = x509.load_pem_x509_certificates(whole)
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    (folder / "other.pem").write_bytes(PhoneMaker(datetime(2025, 1, 1, tzinfo=UTC)).root.public_bytes(Encoding.PEM))
    assert len(above) == 3
    for root, status in (("roots.pem", 0), ("other.pem", 2)):
        command = [str(required("openssl")), "verify", "-CAfile", root, "-untrusted", "chain.pem", "leaf.pem"]
        judged = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert judged.returncode == status, judged.stderr
