# SPDX-License-Identifier: Apache-2.0
"""Every page for operators whose commands can be typed is run by a test; the others stand here with the reason."""

import re
from pathlib import Path
from typing import Final

from support.page_commands import BLOCK, PAGES, commands

TESTS: Final = Path(__file__).parents[1]

NOT_RUN: Final = {
    "behind-a-proxy.md": "needs public names, root and a proxy as a service; site/proxies runs its files from deploy/",
    "organization-file.md": "needs the reader's own file and a browser; site/apply and first-organization.md run apply",
}
"""Pages whose commands no test takes from them, and why."""

DATA: Final = {"json", "toml", "yaml", "ini", "nginx", "python", "text"}
PROGRAMS: Final = r"(?:\$ )?(?:etymon|openssl|pkcs11-tool|curl|age)\b"


def runners(page: str) -> list[str]:
    """Return the tests that take a page's commands from it: they name it, and run what they find there."""
    return [
        file.name
        for room in ("site", "conformance")
        for file in sorted((TESTS / room).rglob("test_*.py"))
        if f'"{page}"' in (text := file.read_text("utf-8")) and re.search(r"\bcommands\(|\bBLOCK\b|\bblock\(", text)
    ]


def test_every_page_with_commands_is_run_by_a_test_or_says_why_not() -> None:
    pages = {page.name for page in PAGES.glob("*.md") if list(commands(page.name))}
    assert len(pages) > 10
    assert NOT_RUN.keys() < pages
    assert {page for page in pages if not runners(page)} == NOT_RUN.keys()


def test_a_command_is_nowhere_but_in_a_block_that_says_so() -> None:
    """Neither in a block of another language or of none, nor indented: no test would find it there."""
    for page in PAGES.glob("*.md"):
        text = page.read_text("utf-8")
        assert text.count("\n```") == 2 * len(BLOCK.findall(text)), f"{page.name}: a block without a language"
        assert {language for language, _ in BLOCK.findall(text)} <= DATA | {"sh"}, page.name
        outside = BLOCK.sub("", text)
        assert not re.search(rf"^(?:    |\t){PROGRAMS}", outside, re.MULTILINE), f"{page.name}: an indented command"
        for language, block in BLOCK.findall(text):
            assert language == "sh" or not re.search(rf"^{PROGRAMS}", block, re.MULTILINE), f"{page.name}: {block}"
