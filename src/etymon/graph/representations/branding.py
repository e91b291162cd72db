# SPDX-License-Identifier: Apache-2.0
"""The organisation's branding."""

from typing import Annotated, Any, Final

from pydantic import Field

from etymon.graph.representations.body import Base64, Body, Text, octets, required
from etymon.kernel.errors import Malformed
from etymon.mdm.branding_profile import BrandingProfile
from etymon.web.branding import Branding, Logo

TYPE: Final = "#microsoft.graph.intuneBrandingProfile"
Channel = Annotated[int, Field(ge=0, le=255)]
SIGNATURES: Final = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class ColorBody(Body):
    """A colour."""

    r: Channel
    g: Channel
    b: Channel


class ImageBody(Body):
    """An image file."""

    type: Text
    value: Base64


class BrandingBody(Body):
    """Branding that is set or changed."""

    profile_name: Annotated[str, Field(max_length=200)] | None = None
    display_name: Annotated[str, Field(max_length=64)] | None = None
    theme_color: ColorBody | None = None
    theme_color_logo: ImageBody | None = None
    support: Annotated[str, Field(max_length=200)] | None = Field(default=None, alias="contactITNotes")

    def name(self, before: BrandingProfile | None = None) -> str:
        """Return the profile's own name; raises Malformed."""
        return _line(self.told("profile_name", before.profile_name if before else "Default"), "profileName")

    def branding(self, before: Branding | None = None) -> Branding:
        """Return what is wanted, where nothing is said as before; raises Malformed."""
        name = required(self.display_name or (before.organization if before else None), "displayName")
        color = before.color if before else "#0b5cad"
        if self.theme_color is not None:
            color = "#" + bytes([self.theme_color.r, self.theme_color.g, self.theme_color.b]).hex()
        logo = before.logo if before else None
        if self.says("theme_color_logo"):
            logo = _logo(self.theme_color_logo)
        support = self.told("support", before.support if before else "")
        return Branding(_line(name, "displayName"), color, logo, _line(support, "contactITNotes"))


def branding(shown: BrandingProfile) -> dict[str, Any]:
    """Show the branding."""
    red, green, blue = bytes.fromhex(shown.branding.color[1:])
    logo = shown.branding.logo
    return {
        "@odata.type": TYPE,
        "id": shown.id,
        "profileName": shown.profile_name,
        "isDefaultProfile": True,
        "displayName": shown.branding.organization,
        "themeColor": {"r": red, "g": green, "b": blue},
        "themeColorLogo": {"type": logo.media_type, "value": logo.content} if logo else None,
        "showLogo": logo is not None,
        "showDisplayNameNextToLogo": True,
        "contactITNotes": shown.branding.support,
        "createdDateTime": shown.created_at,
        "lastModifiedDateTime": shown.modified_at,
        "roleScopeTagIds": ["0"],
    }


def _logo(image: ImageBody | None) -> Logo | None:
    if image is None:
        return None
    content = octets(image.value, "themeColorLogo.value")
    signature = SIGNATURES.get(image.type)
    if signature is None or not content.startswith(signature):
        raise Malformed("logo_not_supported", "A logo is a PNG or JPEG image, and its type says which.")
    try:
        return Logo(image.type, content)
    except ValueError as exc:
        raise Malformed("logo_not_supported", f"The logo cannot be used: {exc}.") from exc


def _line(text: str, name: str) -> str:
    if not text.isprintable():
        raise Malformed("malformed", f"{name} is one line of printable characters.")
    return text
