# SPDX-License-Identifier: Apache-2.0
"""What every command owes to whoever types it: words for everything it takes, its version, and no needless waiting."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from etymon.server import command_line
from support.named_code import REPOSITORY
from support.typed_command import typed

SERVERS = ("audit", "ca", "directory", "escrow", "graph", "idp", "issuer", "mdm", "storage", "web")
HEAVY = ("alembic", "fastapi", "sqlalchemy", "starlette", "uvicorn")
PROGRAM = """
import sys
from etymon.server import command_line
try:
    command_line.main(sys.argv[1:])
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


def commands(command: Any, *name: str) -> Iterator[tuple[str, Any]]:
    yield " ".join(name), command
    for part, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *name, part)


MISPLACED = (
    ("derivations list --data x alice", "--data here. It goes before `list`:", "derivations --data … list"),
    ("key-recovery legal-hold list --card=x", "It goes before `legal-hold`:", "key-recovery --card … legal-hold"),
    ("key-recovery legal-hold --card x list", "It goes before `legal-hold`:", "key-recovery --card … legal-hold"),
    ("audit --card x list", "--card here. It goes after the command's name", "(list)."),
)


@pytest.mark.parametrize(("command", "place", "example"), MISPLACED)
def test_an_option_at_the_wrong_place_is_told_where_it_belongs(
    capsys: pytest.CaptureFixture[str], command: str, place: str, example: str
) -> None:
    said = typed(capsys, *command.split())
    assert said.status == 2
    told = " ".join(said.err.replace("│", " ").split())
    assert place in told
    assert example in told


def test_an_option_that_is_nowhere_is_refused_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("derivations --frob list", "derivations list --frob alice", "audit --frob list"):
        said = typed(capsys, *command.split())
        assert (said.status, "No such option: --frob" in said.err, " here. " in said.err) == (2, True, False)


def test_a_word_that_is_no_choice_is_answered_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, *["derivations", "end", "x", "--reason", "stolen", "--comment", "y"])
    assert said.status == 2
    assert "'--reason': 'stolen' is not one of 'keyCompromise'," in " ".join(said.err.replace("│", " ").split())


COMMANDS = dict(commands(typer.main.get_command(command_line.app), "etymon"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_all_it_takes_is_described(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    first = command.help.strip().splitlines()[0]
    assert first.endswith("."), first
    assert len(first) <= 120
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_people_with_a_role_are_written_with_a_capital(name: str) -> None:
    command = COMMANDS[name]
    for told in (command.help, *(parameter.help for parameter in command.params)):
        words = re.sub(r"`[^`]*`", "", told)
        assert not re.search(r"\b(?:administrator|officer|auditor|operator)s?\b", words), told


def test_the_front_page_names_every_command_and_no_other() -> None:
    listed = (REPOSITORY / "README.md").read_text("utf-8").partition("\n## Run it\n")[2].partition("\n## ")[0]
    present = {name.split()[1] for name in COMMANDS if " " in name}
    assert set(re.findall(r"\betymon ([a-z-]+)", listed)) == present


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (
            ("apply", "enrollment-code", "identity-feed name", "identity-feed end", "derivations", "key-recovery"),
            {"--data", "--site", "--ca", "--card", "--pin-file", "--passphrase-file"},
        ),
        (("card bind",), {"--data", "--site", "--ca"}),
        (
            ("init", "ceremony perform"),
            {"--root-keys", "--root-passphrase-file", "--root-token", "--root-pin-file", "--root-module"},
        ),
    ],
    ids=("access", "site", "roots"),
)
def test_a_list_of_options_is_the_same_wherever_it_is_taken(names: tuple[str, ...], taken: set[str]) -> None:
    told = []
    for name in names:
        parameters = [each for each in COMMANDS[f"etymon {name}"].params if set(each.opts) & taken]
        told.append({option: (each.help, each.required) for each in parameters for option in each.opts})
    assert set(told[0]) == taken
    assert all(each == told[0] for each in told)


def test_an_option_that_is_not_taken_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("apply", "file"), ("enrollment-code", "Phones"), ("identity-feed", "end", "hr")):
        told = typed(capsys, *command, "--signing-in", "x")
        assert (told.status, told.out, "No such option" in told.err) == (2, "", True), told
    for command in (("enrollment-code", "Phones"), ("identity-feed", "end", "hr"), ("derivations", "requests")):
        typed(capsys, *command).refused("Name the site with --site")


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    told = typed(capsys, "--version")
    assert (told.status, told.out) == (0, f"etymon {importlib.metadata.version('etymon')}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("serve", "--help"),
        ("phone", "new", "{folder}/phone"),
        ("phone", "status", "{folder}/none"),
        ("card", "info", "{folder}/none.card", "--passphrase-file", "{folder}/secret"),
    ],
    ids=" ".join,
)
def test_nothing_of_a_server_is_loaded_for_what_needs_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "secret").write_text("a passphrase of some length\n")
    words = [argument.format(folder=tmp_path) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "etymon.server.command_line" in loaded
    assert not loaded & {*HEAVY, *(f"etymon.{name}" for name in SERVERS)}
