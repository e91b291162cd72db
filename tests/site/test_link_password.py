# SPDX-License-Identifier: Apache-2.0
"""The number beside the code, from the page to the phone on a whole site, and typed at `etymon phone run`."""

import shutil
from pathlib import Path

import pytest

from etymon.kernel.errors import NotPermitted
from etymon.phone.state import Purpose
from etymon.server.demo.browser import Browser
from support import site_pages
from support.held_phone import HeldPhone
from support.phone_messages import Linking, told
from support.site_pages import ShownCode, expect
from support.terminal import typing
from support.whole_site import WITH_PASSWORD, WholeSite


def at_the_code(site: WholeSite, name: str) -> tuple[HeldPhone, Browser, ShownCode]:
    """Return an enrolled phone and a PC that shows a code with a number."""
    card = site.card_for(name, group=WITH_PASSWORD)
    held, browser = site.enroll(site.new_phone(), card), site.browser(card)
    expect(site_pages.present_card(browser, site.url), "home")
    return held, browser, site_pages.show_code(browser, site.url)


def other(number: str) -> str:
    return f"{(int(number) + 1) % 10**8:08}"


def test_a_person_types_it_wrong_then_right(either_site: WholeSite) -> None:
    held, browser, shown = at_the_code(either_site, "typist")
    held.numbers = ["12", other(shown.password)]
    either_site.link(held, browser, shown)
    assert held.problems[:2] == ["", "The number beside the code has 8 digits."]
    assert "4 tries are left" in held.problems[2]
    assert [certificate.purpose for certificate in held.phone.status().certificates] == list(Purpose)
    expect(browser.get(shown.page), "completed")


def test_typed_wrong_five_times_the_link_is_refused_on_both_screens(either_site: WholeSite) -> None:
    held, browser, shown = at_the_code(either_site, "mistypist")
    held.numbers = [other(shown.password)] * 5
    with pytest.raises(NotPermitted, match="link_denied"):
        either_site.link(held, browser, shown)
    expect(browser.get(shown.page), "denied")
    assert not held.phone.status().setting_up
    tool = Linking(either_site, shown)
    assert told(tool.redeem(tool.client(held.identity), password=shown.password)) == (403, "link_denied")


def test_it_is_typed_at_the_command_line_and_not_shown(site: WholeSite, tmp_path: Path) -> None:
    held, browser, shown = at_the_code(site, "commander")
    (tmp_path / "code.png").write_bytes(shown.image)
    shutil.copytree(held.phone.device.directory, tmp_path / "phone")  # the one in this process stays as it is
    arguments = ("phone", "run", str(tmp_path / "phone"), "--link-qr", str(tmp_path / "code.png"), "--once")
    with typing(*arguments) as terminal:
        terminal.wait_for(r"Number beside the code on the computer \(8 digits\): ")
        terminal.type(other(shown.password))
        terminal.wait_for(r"not the number that stands beside the code.*4 tries are left")
        terminal.wait_for(r"\(8 digits\): ")
        terminal.type(f"{shown.password[:4]} {shown.password[4:]}")
        digits = "".join(terminal.wait_for(r"\n\s+(\d{3}) (\d{3})\s").groups())
        site_pages.confirm(browser, shown.page, digits)
        for prompt in ("Choose an activation secret.*: ", "The same again: "):
            terminal.wait_for(prompt)
            terminal.type(held.secret.reveal())
        terminal.wait_for("Your derived credential is ready: authentication, signature, encryption")
        assert terminal.end() == 0, terminal.text
    expect(browser.get(shown.page), "completed")
    for secret in (shown.password, f"{shown.password[:4]} {shown.password[4:]}", held.secret.reveal()):
        assert secret not in terminal.text
