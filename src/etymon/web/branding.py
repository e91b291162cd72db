# SPDX-License-Identifier: Apache-2.0
"""How an organisation's pages look: its name, one colour, a logo. Text on the colour is always readable."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

LOGO_TYPES: Final = {"image/png": "png", "image/jpeg": "jpg"}
"""What a logo may be. SVG is left out: it can carry script."""

LARGEST_LOGO_BYTES: Final = 512 * 1024

READABLE: Final = 4.5
"""Contrast of text to its ground (WCAG 2.2, 1.4.3 level AA)."""

COLOR: Final = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Logo:
    """An image file."""

    media_type: str
    content: bytes

    def __post_init__(self) -> None:
        if self.media_type not in LOGO_TYPES:
            message = f"a logo is one of {', '.join(LOGO_TYPES)}"
            raise ValueError(message)
        if len(self.content) > LARGEST_LOGO_BYTES:
            message = f"a logo has at most {LARGEST_LOGO_BYTES} bytes"
            raise ValueError(message)

    @property
    def file_name(self) -> str:
        """A name that changes with the content."""
        return f"logo-{hashlib.sha256(self.content).hexdigest()[:16]}.{LOGO_TYPES[self.media_type]}"


@dataclass(frozen=True, slots=True)
class Branding:
    """Values of an organisation; `color` is `#rrggbb` in lower case."""

    organization: str
    color: str = "#0b5cad"
    logo: Logo | None = None
    support: str = ""

    def __post_init__(self) -> None:
        if not COLOR.fullmatch(self.color):
            message = "a colour is written #rrggbb in lower case"
            raise ValueError(message)

    @property
    def text_color(self) -> str:
        """Black or white, whichever reads better on the colour; one of them always reaches 4.5 : 1."""
        return max(("#ffffff", "#000000"), key=lambda text: contrast(text, self.color))

    @property
    def link_color(self) -> str:
        """The colour, darkened until it can be read as text on the pages' ground."""
        channels = _channels(self.color)
        while contrast(_written(channels), GROUND) < READABLE:
            channels = tuple(int(channel * 0.92) for channel in channels)
        return _written(channels)

    def style_sheet(self) -> str:
        """Return the organisation's part of the design system."""
        link = self.link_color
        return (
            ":root:not([data-theme=dark]), [data-theme=light] {\n"
            f"  --brand: {self.color};\n  --brand-text: {self.text_color};\n"
            f"  --pico-primary: {link};\n  --pico-primary-hover: color-mix(in srgb, {link} 80%, #000);\n"
            f"  --pico-primary-background: {self.color};\n  --pico-primary-border: {link};\n"
            f"  --pico-primary-hover-background: color-mix(in srgb, {self.color} 88%, {_opposite(self.text_color)});\n"
            f"  --pico-primary-hover-border: {link};\n"
            f"  --pico-primary-inverse: {self.text_color};\n"
            f"  --pico-primary-underline: color-mix(in srgb, {link} 50%, transparent);\n"
            f"  --pico-primary-focus: color-mix(in srgb, {link} 45%, transparent);\n"
            f"  --pico-form-element-active-border-color: {link};\n"
            f"  --pico-form-element-focus-color: {link};\n"
            "}\n"
        )


GROUND: Final = "#f4f6f9"
"""The darkest ground that links stand on."""


def contrast(left: str, right: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    lighter, darker = sorted((_luminance(left), _luminance(right)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(color))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _written(channels: tuple[int, ...]) -> str:
    return "#" + bytes(channels).hex()


def _opposite(text: str) -> str:
    return "#000000" if text == "#ffffff" else "#ffffff"
