# SPDX-License-Identifier: Apache-2.0
"""Whoever sends much, and has nothing to show, keeps nobody else from being answered."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx

from support.tls_files import trusting
from support.whole_site import WholeSite

MORE_THAN_THREADS: Final = 70
"""Requests at the same time; a process has 40 threads for all its listeners."""


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
