# SPDX-License-Identifier: Apache-2.0
"""`etymon phone`: the simulated phone, in a terminal."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy, random_text
from etymon.kernel.errors import EtymonError, Malformed
from etymon.kernel.secret import Secret
from etymon.server.command_line.signals import on_stop

if TYPE_CHECKING:
    from etymon.phone.device import Surroundings
    from etymon.phone.phone import Phone
    from etymon.phone.screen import Screen
    from etymon.phone.state import Purpose

app = typer.Typer(help="The simulated phone: make one, use it, look at it.", no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(help="Directory of the phone.")]
SERIAL_ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@app.command()
def new(
    directory: Directory,
    vault: Annotated[
        Literal["software", "pkcs11"], typer.Option(help="Where keys live; pkcs11 needs SoftHSM 2.")
    ] = "software",
    serial: Annotated[str, typer.Option(help="Serial number; made up otherwise.")] = "",
    trust: Annotated[Path | None, typer.Option(help="PEM file of CAs the phone trusts from the factory.")] = None,
    attestation_root: Annotated[
        Path | None, typer.Option(help="Have the phone attest its keys, and write the simulated maker's root here.")
    ] = None,
) -> None:
    """Make a factory-new phone."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from etymon.phone.key_store.attestation import PhoneMaker
    from etymon.phone.key_store.opening import VaultKind
    from etymon.phone.phone import Phone
    from etymon.phone.state import Hardware
    from etymon.pki.certificate import load_many

    entropy = SystemEntropy()
    hardware = Hardware(serial or random_text(entropy, SERIAL_ALPHABET, 10))
    roots = load_many(trust.read_bytes()) if trust else ()
    surroundings = _surroundings()
    maker = PhoneMaker(surroundings.clock.now()) if attestation_root else None
    Phone.new(directory, surroundings, hardware=hardware, vault=VaultKind(vault), roots=roots, maker=maker).close()
    if maker is not None and attestation_root is not None:
        attestation_root.write_bytes(maker.root.public_bytes(Encoding.PEM))
    told = f"A factory-new {hardware.model}, serial number {hardware.serial_number}, is in {directory}."
    Console().print(told, soft_wrap=True, highlight=False)


@app.command()
def run(
    directory: Directory,
    qr: Annotated[Path | None, typer.Option(help="Picture of the enrollment code, for a factory-new phone.")] = None,
    server: Annotated[str, typer.Option(help="Enrollment by typed token: the server's address.")] = "",
    token: Annotated[bool, typer.Option("--token", help="Ask for an enrollment token.")] = False,  # noqa: FBT002 - typer's way to declare a flag
    link_qr: Annotated[Path | None, typer.Option(help="Picture of the issuer's code for the credential.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Check in once instead of until Ctrl-C.")] = False,  # noqa: FBT002 - typer's way to declare a flag
) -> None:
    """Do what the phone has to do next: enroll, check in, set up its credential; then stay in touch until Ctrl-C.

    A factory-new phone with nothing but --link-qr sets up a credential without being managed.
    """
    from etymon.phone.phone import Phone
    from etymon.phone.screen import ConsoleScreen
    from etymon.phone.state import DeviceState

    console = Console(highlight=False)
    screen = ConsoleScreen(
        lambda line: console.print(line, markup=False, soft_wrap=True), lambda text: typer.prompt(text, hide_input=True)
    )
    with Phone.open(directory, _surroundings()) as phone:
        if qr is None and not token and _sets_up_unmanaged(phone, link_qr):
            phone.set_up_derived_credential(link_qr.read_bytes() if link_qr else None, screen)
            console.print("Nobody manages this phone, so there is nobody to stay in touch with.")
            return
        shown = phone.status()
        if shown.membership is None and (phone.rekeys_due or shown.key_history_due):
            _rekey(phone, screen)  # nobody manages it, and it looks after itself
            _fetch_key_history(phone, screen)
            return
        if phone.status().device is DeviceState.FACTORY_NEW:
            _provision(phone, qr, server, ask_token=token)
        if phone.status().device is DeviceState.PROVISIONING:
            membership = phone.enroll(screen.show)
            console.print(f"Enrolled with {membership.organization.display_name}.")
        phone.check_in(screen.show)
        shown = phone.status()
        if link_qr is not None or shown.setting_up:
            phone.guide(screen)
            phone.set_up_derived_credential(link_qr.read_bytes() if link_qr else None, screen)
            phone.check_in(screen.show)
        elif shown.requirement is not None and shown.requirement.required and not shown.certificates:
            phone.guide(screen)
            console.print("It scans a picture of the code: --link-qr PICTURE.")
        _rekey(phone, screen)
        _fetch_key_history(phone, screen)
        if not once:
            stopping = threading.Event()
            on_stop(stopping.set)
            console.print("In touch with its management; Ctrl-C ends it.")
            _stay_in_touch(phone, screen, stopping)


@app.command()
def status(directory: Directory) -> None:
    """Show what may be shown of the phone."""
    from etymon.phone.phone import Phone

    console = Console(highlight=False)
    with Phone.open(directory, _surroundings()) as phone:
        shown = phone.status()
    managed_by = shown.membership.organization.display_name if shown.membership else "nobody"
    console.print(
        f"{shown.hardware.model} {shown.hardware.serial_number}: {shown.device.value}, managed by {managed_by}"
    )
    policies = Table("Policy", "Type", "State", "Detail", header_style="bold")
    for policy, result in shown.policies:
        policies.add_row(
            policy.name, policy.type, result.state.value if result else "", result.detail if result else ""
        )
    certificates = Table("Certificate", "Thumbprint", "Until", "State", header_style="bold")
    for certificate in shown.certificates:
        until = f"{certificate.not_after:%Y-%m-%d}"
        rekey = "a new key is due: run the phone" if certificate.rekey else "in use"
        standing = "on hold" if certificate.held else rekey
        certificates.add_row(certificate.purpose.value, certificate.thumbprint[:16] + "…", until, standing)
    for certificate in shown.key_history:
        until = f"{certificate.not_after:%Y-%m-%d}"
        certificates.add_row(certificate.purpose.value, certificate.thumbprint[:16] + "…", until, "opens older mail")
    for table in (policies, certificates):
        if table.row_count:
            console.print(table)
    if shown.key_history_due:
        console.print("The issuer was not asked for earlier encryption keys yet: run the phone.")
    if shown.key_history_not_before:
        when = f"{shown.key_history_not_before:%Y-%m-%d %H:%M} UTC"
        console.print(f"Your card or your mail addresses are new: your earlier encryption keys come from {when} on.")


def _stay_in_touch(phone: "Phone", screen: "Screen", stopping: threading.Event) -> None:
    """Check in until Ctrl-C or the end of the management; replace what becomes due meanwhile."""
    from etymon.phone.state import DeviceState

    refused: set[Purpose] = set(phone.rekeys_due)

    def stop() -> bool:
        return stopping.is_set() or not refused.issuperset(phone.rekeys_due)

    while not stopping.is_set() and phone.status().device is DeviceState.ENROLLED:
        phone.keep_checking_in(screen.show, stop=stop)
        if not stopping.is_set() and phone.status().device is DeviceState.ENROLLED:
            _rekey(phone, screen)
            refused = set(phone.rekeys_due)


def _rekey(phone: "Phone", screen: "Screen") -> None:
    """Replace what is due; a refusal is told, and stops nothing else."""
    if not phone.rekeys_due:
        return
    try:
        phone.rekey(screen)
        if phone.status().membership is not None:
            phone.check_in(screen.show)
    except EtymonError as refused:
        Console(highlight=False).print(refused.detail, markup=False, soft_wrap=True)


def _fetch_key_history(phone: "Phone", screen: "Screen") -> None:
    """Fetch what a set-up or a rekey left; a refusal is told, and stops nothing else."""
    try:
        phone.fetch_key_history(screen)
    except EtymonError as refused:
        Console(highlight=False).print(refused.detail, markup=False, soft_wrap=True)


def _sets_up_unmanaged(phone: "Phone", link_qr: Path | None) -> bool:
    from etymon.phone.state import DeviceState

    shown = phone.status()
    managed = shown.device in {DeviceState.PROVISIONING, DeviceState.ENROLLED}
    return not managed and (link_qr is not None or shown.setting_up)


def _provision(phone: "Phone", qr: Path | None, server: str, *, ask_token: bool) -> None:
    if qr is not None:
        phone.provision(qr.read_bytes())
    elif ask_token and server:
        phone.provision_by_token(server, Secret(typer.prompt("Enrollment token", hide_input=True)))
    else:
        raise Malformed(
            "no_enrollment_code",
            "Give the enrollment code with --qr, or --server and --token; --link-qr alone where nobody manages phones.",
        )


def _surroundings() -> "Surroundings":
    from etymon.phone.device import Surroundings, SystemPause

    return Surroundings(SystemClock(), SystemEntropy(), SystemPause())
