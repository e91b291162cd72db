# SPDX-License-Identifier: Apache-2.0
"""QR codes, read by a reader that others made."""

import io
import xml.etree.ElementTree as ET

import zxingcpp
from PIL import Image

from etymon.kernel.secret import Secret
from etymon.mdm import qr_images
from etymon.wire import enrollment_qr
from etymon.wire.enrollment_qr import DevicePolicyController, Invitation, Provisioning, SetupNetwork

CHECKSUM = "gJD2YwtOiWJHkSMkkIfLRlj-quNqG1fb6v100QmzM9w"
PROVISIONING = Provisioning(
    Invitation("https://mdm.agency.example:8443/mdm", Secret("MFRGGZDFMZTWQ2LKNNWG23TP"), CHECKSUM),
    DevicePolicyController("org.example.agent/.AdminReceiver", "https://mdm.agency.example/agent.apk", CHECKSUM),
    SetupNetwork("Büro", "WPA", Secret("öffne dich")),
)


def test_the_png_says_exactly_the_text() -> None:
    text = enrollment_qr.encode(PROVISIONING)
    image = Image.open(io.BytesIO(qr_images.png(text)))
    (found,) = zxingcpp.read_barcodes(image)
    assert found.format == zxingcpp.BarcodeFormat.QRCode
    assert found.text == text.reveal()
    assert enrollment_qr.decode(found.text) == PROVISIONING


def test_the_svg_is_an_image_of_the_same_size() -> None:
    text = enrollment_qr.encode(PROVISIONING)
    root = ET.fromstring(qr_images.svg(text))  # noqa: S314 - we made it
    width = Image.open(io.BytesIO(qr_images.png(text))).width
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["width"] == str(width)
