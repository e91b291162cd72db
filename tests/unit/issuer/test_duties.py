# SPDX-License-Identifier: Apache-2.0
"""The duties' text and its version change together: people have accepted exactly these words."""

import hashlib

from etymon.issuer import duties

TEXTS = {"2026-1": "a69c6892e0795074"}


def test_the_version_names_this_text() -> None:
    digest = hashlib.sha256("\n".join(duties.SENTENCES).encode()).hexdigest()
    assert TEXTS[duties.VERSION] == digest[:16], "the text has changed: give it a new version and list it here"
