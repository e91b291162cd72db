# SPDX-License-Identifier: Apache-2.0
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from etymon.kernel.errors import Malformed, TooLarge
from etymon.kernel.secret import Secret
from etymon.phone import qr_image
from support.phones import code, picture, png

TEXT = Secret("https://127.0.0.1:8443/issuer/link#v=1&l=x&s=y&p=z")


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 12, 45])
def test_a_code_is_read_however_it_is_turned(degrees: float) -> None:
    assert qr_image.read(picture(TEXT, turned=degrees)) == TEXT


def test_a_code_on_a_dark_screen_or_out_of_focus_is_read() -> None:
    image = code(TEXT)
    assert qr_image.read(png(image.point([255 - value for value in range(256)]))) == TEXT
    assert qr_image.read(png(image.filter(ImageFilter.GaussianBlur(2)))) == TEXT


def test_a_small_code_in_a_large_photograph_is_read() -> None:
    photograph = Image.new("RGB", (2400, 1800), (40, 60, 50))
    photograph.paste(code(TEXT), (1300, 900))
    written = io.BytesIO()
    photograph.save(written, "JPEG", quality=80)
    assert qr_image.read(written.getvalue()) == TEXT


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_picture_is_read(mode: str) -> None:
    assert qr_image.read(png(code(TEXT).convert(mode))) == TEXT


def test_two_codes_in_one_picture_are_refused_but_the_same_code_twice_is_not() -> None:
    first, second = code(TEXT), code(Secret("another text"))
    with pytest.raises(Malformed, match="several_codes"):
        qr_image.read(png(beside(first, second)))
    assert qr_image.read(png(beside(first, first))) == TEXT


def test_a_picture_without_a_code_is_refused() -> None:
    with pytest.raises(Malformed, match="no_code"):
        qr_image.read(png(Image.new("L", (400, 400), 255)))


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_what_is_not_a_picture_is_refused(data: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"\xff\xd8\xff\xe0"):
        with pytest.raises(Malformed, match=r"not_an_image|no_code|image_too_large"):
            qr_image.read(start + data)


def test_a_cut_picture_is_refused() -> None:
    with pytest.raises(Malformed, match="not_an_image"):
        qr_image.read(picture(TEXT)[:200])


def test_more_than_a_camera_makes_is_refused() -> None:
    with pytest.raises(TooLarge):
        qr_image.read(bytes(qr_image.LIMIT_BYTES + 1))
    with pytest.raises(TooLarge):
        qr_image.read(png(Image.new("1", (10_000, 10_000))))


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("L", (left.width + right.width + 60, max(left.height, right.height)), 255)
    both.paste(left, (0, 0))
    both.paste(right, (left.width + 60, 0))
    return both
