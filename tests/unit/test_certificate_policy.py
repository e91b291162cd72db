# SPDX-License-Identifier: Apache-2.0
"""The outline of a practice statement names what is there: files, places in the code, settings, commands, targets."""

import re

from etymon.server.command_line import app
from etymon.server.settings import Settings
from support.named_code import REPOSITORY, is_place

PAGE = (REPOSITORY / "docs" / "certificate-policy.md").read_text("utf-8")
NAMED = re.findall(r"`([^`]+)`", PAGE)
HEADINGS = re.findall(r"^## (\d)\. ", PAGE, re.MULTILINE)
COMMANDS = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))


def _is_there(name: str) -> bool:
    if name.startswith("--"):
        return f'"{name}"' in "".join(
            file.read_text("utf-8") for file in (REPOSITORY / "src/etymon/server/command_line").glob("*.py")
        )
    program, _, rest = name.partition(" ")
    if program == "etymon":
        return rest.partition(" ")[0] in COMMANDS
    if program == "make":
        return rest in TARGETS
    if re.fullmatch(r"[a-z_.0-9]+:[\w.]+", name):
        return is_place(name)
    return name in Settings.model_fields or name == "keys/" or (REPOSITORY / name).exists()


def test_everything_it_names_is_there() -> None:
    assert [name for name in NAMED if not _is_there(name)] == []
    assert len(NAMED) > 50


def test_what_is_not_there_is_found() -> None:
    for name in ("etymon burn", "make coffee", "ca.crl:burn", "docs/nothing.md", "no_such_setting", "--no-such-option"):
        assert not _is_there(name)


def test_it_has_the_sections_of_rfc_3647_in_their_order() -> None:
    assert list("123456789") == HEADINGS
    numbers = [tuple(map(int, found)) for found in re.findall(r"^### (\d)\.(\d+)", PAGE, re.MULTILINE)]
    assert numbers == sorted(numbers)
