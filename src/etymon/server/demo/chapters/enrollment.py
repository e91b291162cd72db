# SPDX-License-Identifier: Apache-2.0
"""A factory-new phone scans the enrollment code; its user signs in from a PC, with the card and no password."""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport, card_identity
from etymon.card.transport import LocalTransport
from etymon.kernel.secret import Secret
from etymon.phone.device import Surroundings
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.phone import Phone
from etymon.phone.screen import SecretRequest, UserCode, View
from etymon.phone.state import Hardware, Notification
from etymon.server.apply import card_sign_in
from etymon.server.apply.identity_provider import Provider
from etymon.server.demo import cast
from etymon.server.demo.cast import ADMINISTRATOR, Person
from etymon.server.demo.peers import programs
from etymon.server.demo.story import Story, Untruth, poll
from etymon.server.demo.world import World

SCREEN_LIMIT_SECONDS: Final = 60


class RealPause:
    """Lets real time pass."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds`."""
        time.sleep(seconds)


@dataclass
class Hand:
    """The hand that holds a phone: sees its screen and types the activation secret."""

    secret: Secret[str]
    seen: list[View] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def show(self, view: View) -> None:
        """See what the phone shows."""
        with self.arrived:
            self.seen.append(view)
            self.arrived.notify_all()

    def ask_secret(self, _request: SecretRequest) -> Secret[str]:
        """Type the activation secret."""
        return self.secret

    def wait_for(self, kind: type[View], phone: threading.Thread) -> View:
        """Return the latest view of a kind as soon as the phone shows one; end the story if it never does."""
        end = time.monotonic() + SCREEN_LIMIT_SECONDS
        with self.arrived:
            while not (found := [view for view in self.seen if isinstance(view, kind)]):
                if not phone.is_alive() or time.monotonic() > end:
                    raise Untruth(f"the phone never showed {kind.__name__}")
                self.arrived.wait(0.2)
        return found[-1]


class Acting(threading.Thread):
    """What a phone does by itself while its user is at the PC; an error is raised when it is waited for."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(name="phone", daemon=True)
        self._act = act
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Act and keep what went wrong."""
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the story waits for it
            self._error = error

    def finish(self) -> None:
        """Wait for the end and raise what went wrong."""
        self.join(SCREEN_LIMIT_SECONDS)
        if self._error is not None:
            raise self._error
        if self.is_alive():
            raise Untruth("the phone did not come to an end")


@dataclass
class Held:
    """A phone and the hand that holds it."""

    person: Person
    phone: Phone
    hand: Hand


def pick_up(world: World, person: Person) -> Held:
    """Take a factory-new phone out of its box. Its keys are in SoftHSM where that is installed."""
    vault = VaultKind.SOFTWARE if programs.missing("softhsm2-util") else VaultKind.PKCS11
    hardware = Hardware(f"SN-{person.key.upper()}-0001")
    surroundings = Surroundings(world.clock, world.entropy, RealPause())
    directory = world.folder("phones") / person.key
    phone = Phone.new(directory, surroundings, hardware=hardware, vault=vault, maker=world.phone_maker)
    return Held(person, phone, Hand(world.secret(f"{person.key}-activation")))


def told(story: Story, world: World, held: Held) -> None:
    """Tell how a phone is enrolled."""
    person, phone, hand = held.person, held.phone, held.hand
    with story.step(f"{person.display_name}'s factory-new phone scans the enrollment code") as step:
        image = enrollment_code(world)
        phone.provision(image)
        step.show("the QR image was read and the server's key pinned", True, "the phone")  # noqa: FBT003 - it got here
    with story.step(
        "It has no password to ask for: it shows a code, and the user signs in from a PC with the card"
    ) as step:
        enrolling = Acting(lambda: phone.enroll(hand.show))
        shown = hand.wait_for(UserCode, enrolling)
        code = shown.code if isinstance(shown, UserCode) else ""
        with cast.pc(world, person) as browser:
            page = browser.get(f"{world.site}/devicelogin")
            page = browser.submit(page.form(action="/idp/device"), {"code": code.lower().replace("-", " ")})
            serial = phone.status().hardware.serial_number
            step.show("the page shows which phone that is", serial in page.words, "device-login page")
            page = browser.submit(page.form(action="/idp/device/proof"))
            step.show("the page says who approves", person.display_name in page.words, "device-login page")
            page = browser.submit(page.form(action="/idp/device/decision"), button="approve")
        enrolling.finish()
        membership = phone.status().membership
        step.show("the phone is enrolled in the user's name", membership is not None, "endpoint manager")
    with story.step("Policies reach the phone; it and an e-mail ask for the derived credential") as step:
        notified: list[Notification] = []
        poll(lambda: _asks_for_credential(phone, notified), what="the request for a derived credential")
        policies = [policy.type for policy, _ in phone.status().policies]
        step.show(f"it has {', '.join(sorted(policies))}", len(policies) == 4, "the phone")
        step.show("it notified its user", any(n.action == "setUpDerivedCredential" for n in notified), "the phone")
        mail = world.mail.wait_for(person.address, lambda content: b"credential" in content.lower())
        step.show("an e-mail went out as well", mail is not None, "SMTP server")


def enrollment_code(world: World) -> bytes:
    """Fetch the enrollment profile's QR image as the Administrator does, through the administration API."""
    profiles = "deviceManagement/androidDeviceOwnerEnrollmentProfiles"
    found = administration(world, "GET", profiles).json()["value"]
    whole = administration(world, "GET", f"{profiles}/{found[0]['id']}?$select=qrCodeImage")
    return base64.b64decode(whole.json()["qrCodeImage"]["value"])


def administration(world: World, method: str, path: str, body: Mapping[str, str] | None = None) -> httpx.Response:
    """Call the administration API as the Administrator, signed in with the card for this one call."""
    with storage.load(cast.card_file(world, ADMINISTRATOR), world.secret("ada-card")) as stored:
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, world.entropy)))
        client.select()
        client.verify_pin(world.secret("ada-pin"))
        transport = CardTLSTransport(
            trust=ServerTrust(world.anchors), clock=world.clock, identity=card_identity(client)
        )
        granted = card_sign_in.sign_in(Provider(world.web, world.site, world.clock), transport, world.entropy)
    headers = {"Authorization": f"Bearer {granted.access_token.reveal()}"}
    url = f"{world.site}/graph/beta/{path}"
    return world.web.request(method, url, headers=headers, json=body).raise_for_status()


def _asks_for_credential(phone: Phone, notified: list[Notification]) -> bool:
    phone.check_in(notified.append)
    requirement = phone.status().requirement
    return requirement is not None and requirement.required and bool(notified)
