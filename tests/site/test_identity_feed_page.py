# SPDX-License-Identifier: Apache-2.0
"""The page about identity feeds: its commands are run as they stand there, against a whole site."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.directory import bindings, people, roles
from etymon.directory.model import Role
from etymon.directory.tables import terminations
from support import patience
from support.card_office import ENTRY, PASSPHRASE
from support.founding import founded
from support.whole_site import DOMAIN, TEST, WholeSite

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations" / "identity-feed.md"
BLOCK: Final = re.compile(r"^```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS: Final = 60


def officers_card(site: WholeSite, folder: Path) -> None:
    """Give an Officer a software card, as the page's files."""
    card = site.unbound_card("olga")
    card.stored.close()
    deps = site.wiring.directory
    with site.deployment.database.transaction() as tx:
        person = people.create(
            tx, deps, user_principal_name=f"olga@{DOMAIN}", display_name="Olga Example", mail_addresses=(), actor=TEST
        )
        roles.assign(tx, deps, person.id, Role.OFFICER, actor=TEST, authority="letter")
        bindings.bind(tx, deps, trust_entry=ENTRY, identifier=card.made.uuid, person_id=person.id, actor=TEST)
    (folder / "officer.card").symlink_to(card.made.file)
    (folder / "card.pin").write_text(card.pin.reveal())
    for name in ("card.pass", "site.pass"):
        (folder / name).write_text(PASSPHRASE.reveal())


def run(folder: Path, command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        umask=0o077,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.needs("openssl")
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with founded(tmp_path) as site:
        (folder / "site").symlink_to(site.deployment.directory)
        (folder / "anchors.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in site.server_anchors))
        officers_card(site, folder)
        shown = []
        for kind, block in BLOCK.findall(PAGE.read_text("utf-8")):
            if kind == "python":
                name = re.match(r"# (\S+)\n", block)
                assert name
                (folder / name[1]).write_text(block, "utf-8")
            else:
                shown.append(run(folder, block.replace("https://localhost:8443", site.url)))
        _, named, listed, left, swept, ended = shown
        assert "may not bind cards" in named
        assert re.fullmatch(r"hr  Human resources  no  0  \S+\n", listed)
        assert left.startswith("e-4711@agency.example terminated until 20")
        assert "0 cards at 0 sources" in swept
        assert "The feed hr has ended." in ended
        patience.until(lambda: bool(site.events("directory:termination:closed")), "the account's end is over")
        a_late_end_is_told_everywhere(site)


def a_late_end_is_told_everywhere(site: WholeSite) -> None:
    """Have the end of the account take thirteen hours."""
    program = site.client()
    assert program.get("/healthz").json()["status"] == "ok"
    assert 'etymon_terminations{state="pending"} 0.0' in program.get("/metrics").text
    with site.deployment.database.transaction() as tx:
        reported = site.clock.now() - timedelta(hours=13)
        tx.execute(terminations.update().values(closed_at=None, alarmed_at=None, reported_at=reported))
    health = program.get("/healthz")
    assert (health.status_code, health.json()["alarms"]) == (200, ["termination_late"])
    assert 'etymon_terminations{state="late"} 1.0' in program.get("/metrics").text
