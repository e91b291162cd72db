# SPDX-License-Identifier: Apache-2.0
"""What the phone's camera sees of a PC's screen: the QR code of a page, drawn as the page's SVG says."""

import io
import re
from typing import Final

from PIL import Image, ImageDraw

from etymon.kernel.errors import Malformed

PIXELS_A_MODULE: Final = 6
_SVG: Final = re.compile(r"<svg\b[^>]*\bviewBox=\"0 0 (\d+) (\d+)\"[^>]*>.*?</svg>", re.DOTALL)
_PATH: Final = re.compile(
    r"<path\b[^>]*\bclass=\"qrline\"[^>]*\bd=\"([^\"]+)\"|<path\b[^>]*\bstroke=[^>]*\bd=\"([^\"]+)\""
)
_STEP: Final = re.compile(r"([Mmh])\s*(-?[\d.]+)(?:[\s,]+(-?[\d.]+))?")


def photograph(page: str) -> bytes:
    """Return a PNG of the one QR code that the page shows."""
    svg = _SVG.search(page)
    path = _PATH.search(svg.group(0)) if svg else None
    if svg is None or path is None:
        raise Malformed("no_qr_code_on_page", "The page shows no QR code.")
    size = (int(svg.group(1)) * PIXELS_A_MODULE, int(svg.group(2)) * PIXELS_A_MODULE)
    picture = Image.new("L", size, 255)
    pencil = ImageDraw.Draw(picture)
    x = y = 0.0
    for step, first, second in _STEP.findall(path.group(1) or path.group(2)):
        if step == "M":
            x, y = float(first), float(second)
        elif step == "m":
            x, y = x + float(first), y + float(second)
        else:
            _bar(pencil, x, y, float(first))
            x += float(first)
    image = io.BytesIO()
    picture.save(image, "PNG")
    return image.getvalue()


def _bar(pencil: ImageDraw.ImageDraw, x: float, y: float, length: float) -> None:
    """Draw a line of modules; `y` is the middle of its row."""
    left, top = x * PIXELS_A_MODULE, (y - 0.5) * PIXELS_A_MODULE
    pencil.rectangle((left, top, left + length * PIXELS_A_MODULE - 1, top + PIXELS_A_MODULE - 1), fill=0)
