# SPDX-License-Identifier: Apache-2.0
"""The whole story on one machine, from an empty directory; design and order as the organisation would live it."""

import contextlib
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from etymon.audit import verification
from etymon.server.demo import processes, relying_parties, web_application, world
from etymon.server.demo.cast import ALICE, BOB
from etymon.server.demo.chapters import credential, enrollment, founding, rekey, revocation, use
from etymon.server.demo.story import Story
from etymon.server.demo.world import HOST, World
from etymon.web.listeners import ServerIdentity

MOST_SERVER_MEGABYTES: Final = 300


def play(console: Console, *, keep: bool, directory: Path | None, document: Path | None) -> int:
    """Play the story and return the exit status: 0 when all that was told is true.

    With `keep` the site goes on until Ctrl-C, and its directory stays. With `document` every step is written there as
    JSON, with each judge's program, version, command and raw output.
    """
    started = time.monotonic()
    story = Story(console)
    try:
        with (
            _somewhere(directory, keep=keep) as where,
            world.built(where) as built,
            founding.told(story, built) as pid,
        ):
            _tell(story, built, pid)
            seconds = time.monotonic() - started
            if keep:
                _stay(console, built)
            story.note("Stopping what was started …")
    except Exception as error:  # noqa: BLE001 - the story has told what was untrue; the demo ends with it
        if not story.told or story.told[-1].outcome != "failed":
            console.print_exception()
        console.print(f"[bold red]The story is not true: {type(error).__name__}.[/]")
        return 1
    finally:
        if document is not None:
            story.write(document)
    left_out = f", {story.not_run} not run" if story.not_run else ""
    console.print(f"[bold green]All of it is true.[/] {len(story.told)} steps{left_out}, {seconds:.0f} s")
    return 0


def _tell(story: Story, built: World, pid: int) -> None:
    founding.bring_about(story, built)
    alice, bob = (enrollment.pick_up(built, person) for person in (ALICE, BOB))
    with contextlib.closing(alice.phone), contextlib.closing(bob.phone):
        for held in (alice, bob):
            enrollment.told(story, built, held)
            credential.told(story, built, held)
        certificate = built.server_certificate(HOST)
        identity = ServerIdentity(str(certificate.certificate), str(certificate.key))
        port = processes.free_ports(5)[-1]
        with (
            relying_parties.running(built) as servers,
            web_application.serving(built, identity, port) as application,
        ):
            mail = use.told(story, built, servers, application, alice)
            use.told(story, built, servers, application, bob)
            bob = rekey.told(story, built, bob, name="Bob Braun")
            servers.renew_crls(built)
            revocation.told(story, built, servers, application, lost=alice, kept=bob, mail=mail)
    with story.step("The audit trail is whole, and the services stayed small") as step:
        report = verification.verify(built.deployment.database, built.deployment.signer("audit-seal").public_key)
        step.show(f"{report.events} events, chained and signed", report.is_intact, "audit verification")
        used = processes.memory_megabytes(pid)
        step.show(f"the services used {used:.0f} MB at most", used < MOST_SERVER_MEGABYTES, "the kernel")


def _stay(console: Console, built: World) -> None:
    console.print("\nThe site goes on until Ctrl-C. Open in a browser:")
    console.print(f"  [bold]{built.site}/[/]  cardholders")
    console.print(f"  [bold]{built.site}/devicelogin[/]  signing in a device")
    console.print("Browsers warn of its certificate: it comes from an authority of the demo's own.", soft_wrap=True)
    console.print(f"Everything is in {built.directory} and stays there, keys too.", soft_wrap=True)
    console.print("Its people's cards are in cards/, what opens them and their PINs in secrets/.", soft_wrap=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


@contextlib.contextmanager
def _somewhere(directory: Path | None, *, keep: bool) -> Iterator[Path]:
    if directory is not None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield directory
    elif keep:
        yield Path(tempfile.mkdtemp(prefix="etymon-"))
    else:
        with tempfile.TemporaryDirectory(prefix="etymon-") as name:
            yield Path(name)
