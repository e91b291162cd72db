# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium inside a card reader's network, with the card in its certificate store.

    with reader(tmp_path) as slot, slot.inserted(applet), relay(slot, site.port):
        with chromium(slot, trusted=tls_root_pem, pin=PIN) as context:
            context.new_page().goto(f"https://localhost:{site.port}/")

The PIN is entered outside the browser, by the shim. `Reader.allow_certificates` says beforehand which certificate is
taken for which origin; without it the browser would ask, and nobody answers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import BrowserContext, sync_playwright

from etymon.kernel.secret import Secret
from support import card_reader, pin_shim
from support.card_reader import Reader

PROGRAMS: Final = ("chromium", "prlimit", "certutil", "modutil", *pin_shim.PROGRAMS, *card_reader.PROGRAMS)
"""What a test that uses the browser `needs`."""

_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP *.agency.example 127.0.0.1",  # a site's hosts, in the reader's network as outside
)
_MAY_LOCK_NO_MEMORY: Final = ("setpriv", "--bounding-set=-ipc_lock", "prlimit", "--memlock=0")
"""OpenSC locks the memory of a PIN and does not unlock all of it (0.23). Chromium's allocator stops the browser when it
cannot give such a page back."""


@contextmanager
def chromium(
    slot: Reader, *, trusted: Path, pin: Secret[str], name: str = "browser", shim: Path | None = None
) -> Iterator[BrowserContext]:
    """Start a browser with a fresh profile of its own; `trusted` is the PEM of a CA that it believes.

    `name` keeps the files of several browsers of one test apart; `shim` is a shim built before.
    """
    home = slot.directory / name
    database = home / ".local/share/pki/nssdb"
    database.mkdir(parents=True)
    pin_file = home / "pin"
    pin_file.write_text(pin.reveal() + "\n")
    pin_file.chmod(0o600)
    module = shim or pin_shim.build_pin_shim(home)
    store = f"sql:{database}"
    slot.run("certutil", "-N", "-d", store, "--empty-password")
    slot.run("certutil", "-A", "-d", store, "-n", "trusted", "-t", "C,,", "-i", str(trusted))
    slot.run("modutil", "-dbdir", store, "-force", "-add", "Card", "-libfile", str(module))
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            home / "profile",
            executable_path=slot.wrapper("chromium", *_MAY_LOCK_NO_MEMORY),
            headless=True,
            args=list(_ARGUMENTS),
            env={"HOME": str(home), pin_shim.PIN_FILE_VARIABLE: str(pin_file), "PATH": "/usr/bin:/bin"},
        )
        try:
            yield context
        finally:
            context.close()
