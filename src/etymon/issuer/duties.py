# SPDX-License-Identifier: Apache-2.0
"""What a subscriber accepts before a credential is made (CP 4.4.1, 9.6.3); the version that was accepted is kept.

Whoever changes a sentence changes the version too.
"""

from typing import Final

VERSION: Final = "2026-1"

SENTENCES: Final = (
    "The credentials are for me alone. I let nobody else use them, my phone's screen lock or the code that opens them.",
    "I use them only for work that my card is meant for.",
    "I keep the phone under my control, locked when I do not use it, and its software up to date.",
    "When the phone is lost, stolen, given away or behaves strangely, I end its credentials here at once.",
    "What I told my organization about myself is true, and I say so when it changes.",
    "My organization keeps a copy of the key that decrypts my mail, so that mail stays readable without the phone.",
)
