# SPDX-License-Identifier: Apache-2.0
"""The phone's camera: an image in, the text of the one QR code in it out."""

import io
import struct
import warnings
from typing import Final

import zxingcpp
from PIL import Image, UnidentifiedImageError

from etymon.kernel.errors import Malformed, TooLarge
from etymon.kernel.secret import Secret

LIMIT_BYTES: Final = 16 * 1024 * 1024
LIMIT_PIXELS: Final = 40_000_000
"""A little more than the photograph of a phone's camera."""

_QR_CODES: Final = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
FORMATS: Final = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")

_UNREADABLE: Final = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
)
"""What the image library raises for broken files of one format or another."""


def read(image: bytes) -> Secret[str]:
    """Return what the QR code in an image says, turned or tilted as it may be.

    `TooLarge` for an image nobody photographs, `Malformed` with `not_an_image`, `no_code` or `several_codes`.
    """
    if len(image) > LIMIT_BYTES:
        raise _too_large()
    texts = {code.text for code in zxingcpp.read_barcodes(_picture(image), _QR_CODES)}
    if not texts:
        raise Malformed("no_code", "There is no QR code in the picture. Try again, closer and straight on.")
    if len(texts) > 1:
        raise Malformed("several_codes", "There is more than one QR code in the picture. Show one alone.")
    return Secret(texts.pop())


def _picture(image: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its limit is above ours
            with Image.open(io.BytesIO(image), formats=FORMATS) as picture:
                if picture.width * picture.height > LIMIT_PIXELS:
                    raise _too_large()
                return picture.convert("L")
    except Image.DecompressionBombError as exc:
        raise _too_large() from exc
    except _UNREADABLE as exc:
        raise Malformed("not_an_image", "This is not a picture the phone can read.") from exc


def _too_large() -> TooLarge:
    return TooLarge("image_too_large", "The image is too large. Take a smaller picture.")
