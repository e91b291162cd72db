# SPDX-License-Identifier: Apache-2.0
"""curl with a card: the TLS key is the card's, by OpenSSL's PKCS#11 engine and OpenSC; curl itself follows and keeps
cookies. Forms are read from the pages and sent as a browser would."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from etymon.server.demo.page import Form, Page, read_page
from support import card_reader
from support.card_stack_desk import Desk, DeskCard

PROGRAMS: Final = ("curl",)
"""What a test that uses it `needs`, besides a reader; the engine (libengine-pkcs11-openssl) is looked for as well."""


class CardCurl:
    """curl at a desk, with one cookie jar. It shows the card wherever it is asked, and a site never asks."""

    def __init__(self, desk: Desk, card: DeskCard) -> None:
        card_reader.library("*/engines-3/pkcs11.so", "libengine-pkcs11-openssl")
        self._desk = desk
        directory = desk.reader.directory
        pin = directory / "pin"
        pin.write_text(card.pin.reveal())
        pin.chmod(0o600)
        jar = str(directory / "cookies")
        key = f"{card.token};id=%01;type=private;pin-source=file:{pin}"
        self._words = [
            *("--silent", "--show-error", "--include", "--location", "--cacert", str(desk.trusted)),
            *("--cookie", jar, "--cookie-jar", jar, "--engine", "pkcs11"),
            *("--cert-type", "ENG", "--cert", f"{card.token};id=%01;type=cert", "--key-type", "ENG", "--key", key),
        ]

    def get(self, path: str) -> Page:
        """Open a page of the site."""
        return self._run(self._desk.site.url + path)

    def submit(self, page: Page, form: Form, fields: Mapping[str, str] | None = None) -> Page:
        """Send a form of a page and follow where it leads."""
        assert form.method == "post"
        seen = urlsplit(page.url)
        words = ["--header", f"Origin: {seen.scheme}://{seen.netloc}"]
        for name, value in (form.fields | dict(fields or {})).items():
            words += ["--data-urlencode", f"{name}={value}"]
        return self._run(*words, urljoin(page.url, form.action))

    def _run(self, *words: str) -> Page:
        env = {"PKCS11_MODULE_PATH": str(card_reader.pkcs11_module())}
        told = ("--write-out", "\n%{url_effective}")
        said = self._desk.reader.run("curl", *self._words, *told, *words, env=env).stdout
        answers, _, url = said.rpartition("\n")
        head, _, answers = answers.partition("\r\n\r\n")
        while answers.startswith("HTTP/"):  # that was a redirect
            head, _, answers = answers.partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        plain = [(name, value) for name, value in headers if name.lower() != "transfer-encoding"]
        return read_page(url, httpx.Response(int(status.split()[1]), headers=plain, text=answers))
