# SPDX-License-Identifier: Apache-2.0
"""`etymon init`, `serve`, `worker`, `upgrade` and `proxy-files`: making an organisation and running it."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, Malformed
from etymon.server.command_line import options
from etymon.server.command_line.options import Passphrase, RootChoice
from etymon.server.command_line.signals import on_stop

if TYPE_CHECKING:
    from etymon.server.wiring import Wiring

Data = Annotated[Path, typer.Option("--data", help="Data directory of the organisation.")]
PERSON = "'user@agency.example,Display Name,mail@agency.example'"


@options.taken_as("roots", options.root_choice)
def init(
    data: Data,
    organization: Annotated[str, typer.Option(help="Name of the organisation.")],
    status_url: Annotated[
        str, typer.Option(help="Where relying parties find CRL and OCSP (http://…); fixed for good.")
    ],
    trust: Annotated[
        Path, typer.Option(help="YAML list of whose cards are trusted (docs/operations/first-organization.md).")
    ],
    administrator: Annotated[str, typer.Option(help=f"First Administrator: {PERSON}.")],
    officer: Annotated[str, typer.Option(help=f"First Officer: {PERSON}.")],
    passphrase_file: Passphrase = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Further settings, NAME=VALUE; see `etymon settings`.")
    ] = None,
    *,
    roots: RootChoice,
) -> None:
    """Make an organisation from nothing and print one-time codes for its Administrator and its Officer."""
    from etymon.directory.model import Role
    from etymon.server import keyring, trust_documents, unsafe_settings
    from etymon.server.command_line.root_place import root_place
    from etymon.server.config_file import load
    from etymon.server.initialization import Founder, initialize

    console = Console()
    configuration: dict[str, object] = {"organization": organization, "status_url": status_url}
    configuration.update(assignment(text) for text in settings or ())
    root_keys = root_place(roots, str(configuration.get("pkcs11_module", "")))
    with console.status("…") as status:
        codes = initialize(
            data,
            configuration,
            passphrase=keyring.read_passphrase(passphrase_file),
            root_keys=root_keys,
            founders=(
                Founder(Role.ADMINISTRATOR, *person("Administrator", administrator)),
                Founder(Role.OFFICER, *person("Officer", officer)),
            ),
            trust_entries=trust_documents.read(trust),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            progress=lambda what: status.update(f"making {what} …"),
        )
    where = roots.directory or f"the token {roots.token}"
    console.print(
        f"The organisation is in {data}. Its root keys are in {where}: take it to a safe place.", soft_wrap=True
    )
    console.print("One person made these keys, which is for trying. Otherwise hold `etymon ceremony organization`.")
    console.print("One-time codes, good for a day; hand them over in person:")
    for name, code in codes.items():
        console.print(f"  {name}  [bold]{code.reveal()}[/]")
    read = load(data)
    for told in unsafe_settings.advice(read):
        console.print(told, soft_wrap=True)
    opened = "".join(f" --passphrase-file {file}" for file in passphrase_file or ())
    console.print(f"Run `etymon serve --data {data}{opened}`.", soft_wrap=True)
    console.print("Then each opens this address with card and code:")
    console.print(f"  [bold]{read.site_url}/idp/binding[/]")
    console.print(f"A software card needs no browser: `etymon card bind CARD --data {data}`.", soft_wrap=True)


def serve(
    data: Data,
    passphrase_file: Passphrase = None,
    without_worker: Annotated[bool, typer.Option("--no-worker", help="Run follow-ups elsewhere.")] = False,  # noqa: FBT002 - typer's way to declare a flag
) -> None:
    """Run the listeners, and the worker unless told otherwise, until SIGTERM or Ctrl-C."""
    from etymon.server import entrances, open_files, service_manager
    from etymon.server.site import Site

    wiring = opened(data, passphrase_file)
    read = wiring.deployment.settings
    open_files.provide(read.most_connections)
    with entrances.opened(read) as doors:
        site = Site(wiring, with_worker=not without_worker)
        on_stop(site.stop)
        site.run(doors, ready=partial(service_manager.tell_ready, os.environ.get("NOTIFY_SOCKET", "")))


def work(data: Data, passphrase_file: Passphrase = None) -> None:
    """Run follow-ups and regular duties in a process of their own; any number of them may run."""
    from etymon.server import process_events, software_integrity
    from etymon.server.metrics import Metrics
    from etymon.server.site import worker

    wiring = opened(data, passphrase_file)
    made = wiring.deployment
    process_events.started(made.database, made.clock, made.entropy, "worker", software_integrity.installed())
    running = worker(wiring, Metrics())
    on_stop(running.stop)
    running.run()


def upgrade(data: Data) -> None:
    """Bring the database to the schema of this program. Make a backup before; what runs meanwhile may go on running."""
    from etymon.server.config_file import load
    from etymon.server.deployment import open_database, require_database
    from etymon.storage import migrations

    read = load(data)
    database = open_database(data, read)
    try:
        require_database(database, read)
    except Conflict as refusal:
        if refusal.code != "database_older":
            raise
        migrations.upgrade(database)
    finally:
        database.close()
    Console().print("The database has the schema of this program.")


def write_proxy_files(
    directory: Annotated[Path, typer.Argument(help="Where the proxy looks for them; it has to exist.")], data: Data
) -> None:
    """Write client-cas.pem and upstream-cas.pem for a proxy in front, and name those that have changed."""
    from etymon.server import proxy_files

    for file in proxy_files.write(data, directory):
        typer.echo(file)


def opened(data: Path, passphrase_file: list[Path] | None) -> "Wiring":
    """Return what is needed to work on an organisation of this machine."""
    from etymon.server import keyring, logs
    from etymon.server.deployment import Deployment, require_database
    from etymon.server.wiring import Wiring

    passphrase = keyring.read_passphrase(passphrase_file)
    deployment = Deployment.open(data, passphrase, SystemClock(), SystemEntropy())
    require_database(deployment.database, deployment.settings)
    deployment.require_keys()
    logs.configure(deployment.settings.log_level)
    return Wiring(deployment)


def assignment(text: str) -> tuple[str, object]:
    """Return a setting that was typed as NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise Malformed("setting", f"{text!r} is not NAME=VALUE.")
    return name, value


def person(role: str, text: str) -> tuple[str, str, str]:
    """Return user principal name, display name and mail address of somebody who was typed as `PERSON`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(parts):
        raise Malformed("founder", f"Give the {role} as {PERSON}.")
    return parts[0], parts[1], parts[2]
