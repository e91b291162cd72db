# SPDX-License-Identifier: Apache-2.0
"""A phone is lost, and a person leaves: what they had ends everywhere."""

from cryptography import x509

from etymon.phone.state import DeviceState, Purpose
from etymon.server.demo import relying_parties
from etymon.server.demo.chapters import use
from etymon.server.demo.chapters.enrollment import Held, administration
from etymon.server.demo.relying_parties import Servers
from etymon.server.demo.story import Story, poll
from etymon.server.demo.web_application import Application
from etymon.server.demo.world import World


def told(
    story: Story, world: World, servers: Servers, application: Application, *, lost: Held, kept: Held, mail: bytes
) -> None:
    """Tell how the lost phone's credentials end, and how everybody who left loses theirs."""
    who, serial = lost.person.display_name, lost.phone.status().hardware.serial_number
    with story.step(f"{who}'s phone is lost: the Administrator wipes it, and its credentials end") as step:
        devices = administration(world, "GET", "deviceManagement/managedDevices").json()["value"]
        device = next(found["id"] for found in devices if found["serialNumber"] == serial)
        answer = administration(world, "POST", f"deviceManagement/managedDevices/{device}/wipe")
        step.show("the order was taken", answer.status_code == 204, "administration API")
        poll(lambda: _is_revoked(world, lost), what="the revocation")
        step.show("the CRL lists its certificates", True, "CRL at the status address")  # noqa: FBT003 - the poll ended
        told = world.mail.wait_for(lost.person.address, lambda content: b"ended" in content.lower())
        step.show("its user was told by e-mail", told is not None, "SMTP server")
        servers.renew_crls(world)
    use.refused(story, world, servers, application, revoked=lost, kept=kept, mail=mail)
    with story.step("Found again, the phone learns of it at its next check-in and erases itself") as step:
        poll(lambda: _erased(lost), what="the erasing")
        step.show("it is factory-new and has no key left", not lost.phone.status().certificates, "the phone")
    gone = kept.person.display_name
    with story.step(f"{gone} leaves: the account ends, and with it everything") as step:
        users = administration(world, "GET", "users").json()["value"]
        leaver = next(user["id"] for user in users if user["userPrincipalName"] == kept.person.address)
        answer = administration(world, "DELETE", f"users/{leaver}")
        step.show("the account ended", answer.status_code == 204, "administration API")
        poll(lambda: _is_revoked(world, kept), what="the revocation")
        step.show("the CRL lists the certificates", True, "CRL at the status address")  # noqa: FBT003 - the poll ended


def _is_revoked(world: World, held: Held) -> bool:
    certificate = x509.load_pem_x509_certificate(
        relying_parties.certificate_pem(held.phone.device, Purpose.AUTHENTICATION)
    )
    crl = x509.load_pem_x509_crl(world.crls("derived"))
    return crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def _erased(held: Held) -> bool:
    if held.phone.status().device is DeviceState.ENROLLED:
        held.phone.check_in(held.hand.show)
    return held.phone.status().device is not DeviceState.ENROLLED
