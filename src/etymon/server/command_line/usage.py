# SPDX-License-Identifier: Apache-2.0
"""What is said of a command line that cannot be understood, beyond what typer says of itself."""

from typing import Any, Final

import typer
import typer.core

OF_THE_LIBRARY: Final = "Value error, "
"""How words about a value begin that mean nothing to whoever typed it."""


class Commands(typer.core.TyperGroup):
    """Commands whose refusal of an option says where it belongs, if a command before or below takes it."""

    def invoke(self, ctx: Any) -> Any:
        """Run what was typed."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            error.message = error.message.removeprefix(OF_THE_LIBRARY)
            option, place = getattr(error, "option_name", None), getattr(error, "ctx", None)
            if isinstance(option, str) and place is not None:
                error.message += _belongs(option, place)
            raise


def _belongs(option: str, place: Any) -> str:
    """Return what to add where a command around this place, or below it, takes the option."""
    inner, outer = place, place.parent
    while outer is not None:
        if _takes(outer.command, option):
            return f" here. It goes before `{inner.info_name}`: {outer.command_path} {option} … {inner.info_name}"
        inner, outer = outer, outer.parent
    below = [name for name, each in getattr(place.command, "commands", {}).items() if _takes(each, option)]
    return f" here. It goes after the command's name ({', '.join(below)})." if below else ""


def _takes(command: Any, option: str) -> bool:
    return any(option in each.opts for each in command.params)
