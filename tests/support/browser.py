# SPDX-License-Identifier: Apache-2.0
"""The scripted browser of the demo, under the name that tests know it by."""

from etymon.server.demo.browser import Browser
from etymon.server.demo.page import Form, Page, PageUnexpected, read_page

__all__ = ["Browser", "Form", "Page", "PageUnexpected", "read_page"]
