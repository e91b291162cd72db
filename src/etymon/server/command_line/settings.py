# SPDX-License-Identifier: Apache-2.0
"""`etymon settings`: every setting, its default and its meaning."""

from rich.console import Console
from rich.table import Table


def show() -> None:
    """List every setting of config.toml; each can be overridden by the variable ETYMON_<NAME>."""
    from etymon.server import settings

    table = Table("Setting", "Default", "Meaning", show_lines=False, header_style="bold")
    for name, default, meaning in settings.described():
        table.add_row(name, default, meaning)
    Console(width=None if Console().is_terminal else 200).print(table)
