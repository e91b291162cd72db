# SPDX-License-Identifier: Apache-2.0
"""A camera for pages: draws the inline SVG of a QR code and lets zxing read it."""

import re

import zxingcpp
from PIL import Image, ImageDraw

SCALE = 6


def scan(page: str) -> str:
    """Return what the one QR code on a page says."""
    found = re.search(r"<svg\b.*?</svg>", page, re.DOTALL)
    assert found, "there is no code on the page"
    (size,) = {int(side) for side in re.findall(r'viewBox="0 0 (\d+) (\d+)"', found[0])[0]}
    (path,) = re.findall(r'class="qrline" stroke="#000" d="([^"]+)"', found[0])
    image = Image.new("L", (size * SCALE, size * SCALE), 255)
    pen = ImageDraw.Draw(image)
    x, y = 0.0, 0.0
    for kind, numbers in re.findall(r"([Mmh])([-0-9. ]+)", path):
        values = [float(number) for number in numbers.split()]
        if kind == "h":  # a row of dark modules, half a module above and below the line
            pen.rectangle((x * SCALE, (y - 0.5) * SCALE, (x + values[0]) * SCALE - 1, (y + 0.5) * SCALE - 1), fill=0)
            x += values[0]
        elif kind == "M":
            x, y = values
        else:
            x, y = x + values[0], y + values[1]
    (code,) = zxingcpp.read_barcodes(image)
    return str(code.text)
