# SPDX-License-Identifier: Apache-2.0
"""QR codes as images."""

import io
from typing import Final

import segno

from etymon.kernel.secret import Secret

ERROR_CORRECTION: Final = "m"
"""15 %: enough for a screen; more would make the modules too small."""

SCALE_PIXELS: Final = 5
QUIET_ZONE_MODULES: Final = 4
"""ISO/IEC 18004 asks for four."""


def png(text: Secret[str]) -> bytes:
    """Return the code as a PNG image."""
    return _saved(text, "png")


def svg(text: Secret[str]) -> bytes:
    """Return the code as an SVG image."""
    return _saved(text, "svg")


def _saved(text: Secret[str], kind: str) -> bytes:
    buffer = io.BytesIO()
    code = segno.make(text.reveal(), error=ERROR_CORRECTION, boost_error=False, micro=False)
    code.save(buffer, kind=kind, scale=SCALE_PIXELS, border=QUIET_ZONE_MODULES)
    return buffer.getvalue()
