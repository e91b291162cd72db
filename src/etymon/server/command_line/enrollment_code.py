# SPDX-License-Identifier: Apache-2.0
"""`etymon enrollment-code`: what a factory-new phone scans, or what is typed on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.server.command_line import options
from etymon.server.command_line.options import Access

if TYPE_CHECKING:
    from etymon.server.enrollment_code import EnrollmentCode

PICTURES = (".png", ".svg")


@options.taken_as("access", options.access)
def enrollment_code(
    profile: Annotated[str, typer.Argument(help="Name of the enrollment profile, such as Phones.")],
    output: Annotated[
        Path | None, typer.Option(help="New file for the QR code, .png or .svg; else it is shown in the terminal.")
    ] = None,
    *,
    access: Access,
) -> None:
    """Fetch an enrollment profile's QR code and token, as an Administrator. Whoever has it may enroll a phone.

    Example: etymon enrollment-code Phones --output phones.png --site https://HOST:8443
    """
    from etymon.server import enrollment_code as enrollment
    from etymon.server.command_line import site_access

    if output is not None:
        _require_fit(output)
    console = Console(stderr=True)
    meant = site_access.chosen(access.site)
    with site_access.administration(meant, access.card, console) as (api, _):
        code = enrollment.fetch(api, profile)
    _present(code, output)


def _require_fit(output: Path) -> None:
    if output.suffix.lower() not in PICTURES:
        raise Malformed("output", f"{output} is neither a .png nor an .svg file. Name the file by what it is to be.")
    if not output.parent.is_dir():
        raise NotFound("output", f"There is no directory {output.parent} for {output.name}.")
    if output.exists():
        raise Conflict("output", f"{output} is there already. Choose another name.")


def _present(code: "EnrollmentCode", output: Path | None) -> None:
    from etymon.pki.keys import write_once

    console = Console(highlight=False)
    if output is None:
        _draw(code)
    else:
        write_once(output, code.svg if output.suffix.lower() == ".svg" else code.png)
        console.print(f"The QR code is in {output}.", markup=False, soft_wrap=True)
    console.print(f"token    {code.token.reveal()}", markup=False, soft_wrap=True)
    console.print(f"expires  {code.expires or 'when it is revoked'}", markup=False)
    if code.simulator_only:
        told = "The code is for simulated phones only: no Android agent is configured (`etymon settings`)."
        console.print(told, soft_wrap=True)


def _draw(code: "EnrollmentCode") -> None:
    import segno

    segno.make(code.text.reveal(), error="m", micro=False).terminal(compact=True)
