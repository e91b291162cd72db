# SPDX-License-Identifier: Apache-2.0
"""Whoever sends much, and has nothing to show, keeps nobody else from being answered."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx

from etymon.card.external_key import ExternalKey, SignatureScheme
from etymon.pki.status_hosts import MOST_AT_A_DESK, Patience
from support import patience, phone_messages, site_pages
from support.founding import founded
from support.silent_host import silent_host
from support.tls_files import trusting
from support.whole_site import WholeSite

MORE_THAN_THREADS: Final = 70
"""Requests at the same time; a process has 40 threads for all its listeners."""

WITHOUT_END: Final = Patience(question=1000, validation=1000, silence=0)


def made_up(number: int) -> str:
    """Return a token that names a key nobody has seen."""
    header = {"alg": "ES256", "kid": f"key-{number}", "typ": "at+jwt"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, {})]
    return ".".join((*parts, "A" * 86))


def test_tokens_with_made_up_keys_do_not_stop_the_site(own_site: WholeSite) -> None:
    """The keys are fetched from the same process: with all of its threads waiting for them, nobody could give them."""

    def ask(number: int) -> int:
        headers = {"Authorization": f"Bearer {made_up(number)}"}
        with httpx.Client(verify=trusting(own_site.server_anchors), trust_env=False, timeout=60) as client:
            return client.get(f"{own_site.url}/graph/beta/users", headers=headers).status_code

    with ThreadPoolExecutor(MORE_THAN_THREADS) as pool:
        answers = list(pool.map(ask, range(MORE_THAN_THREADS)))

    assert 401 in answers  # the keys were fetched
    assert set(answers) <= {401, 503}


class InTurn:
    """A card's key of which many threads make use, one after another."""

    def __init__(self, key: ExternalKey) -> None:
        self.public_key = key.public_key
        self._key, self._lock = key, threading.Lock()

    def sign_digest(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        with self._lock:
            return self._key.sign_digest(digest, scheme)


def test_cards_whose_status_nobody_tells_do_not_stop_the_site(tmp_path: Path) -> None:
    """More people than threads sign in while the host that knows of their cards takes questions and answers none."""
    with founded(tmp_path, waits=WITHOUT_END) as site:
        held, card = site.phone_of("phone"), site.card_for("many")
        shared = replace(card.identity(), key=InTurn(card.identity().key))
        browsers = [site.browser(shared) for _ in range(MORE_THAN_THREADS)]
        with site.cards.answering_only(), ThreadPoolExecutor(len(browsers)) as people:
            with silent_host(site.cards.port) as host:
                pages = [people.submit(site_pages.present_card, browser, site.url) for browser in browsers]
                held_up = 2 * MOST_AT_A_DESK  # where the responder does not answer, the list is asked for
                patience.until(lambda: sum(not page.done() for page in pages) <= held_up, "the others are answered")
                host.wait_for(1)
                assert site.client().get("/healthz").is_success
                assert site.client(base_url=site.status_url).get("/nothing").status_code == 404
                phone = site.client(held.identity, base_url=site.device_url)
                assert phone_messages.told(phone_messages.check_in(phone)) == (200, "")
                assert any(not page.done() for page in pages), "they wait still"
            assert {(page.result().status, page.result().code) for page in pages} == {(403, "status_unavailable")}
        site_pages.expect(site_pages.present_card(site.browser(card), site.url), "home")
