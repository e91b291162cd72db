# SPDX-License-Identifier: Apache-2.0
"""The phone, as its owner and the command line use it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509

from etymon.kernel.secret import Secret
from etymon.phone import check_in, derived_credential, enrollment, key_history, link, provisioning, rekey
from etymon.phone.applications import mail, web, wifi
from etymon.phone.applications.access import Approve
from etymon.phone.applications.web_view import Page
from etymon.phone.device import Device, Surroundings
from etymon.phone.key_store.activation import Activation
from etymon.phone.key_store.attestation import PhoneMaker
from etymon.phone.key_store.contract import TokenReference
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.key_store.store import UseSession
from etymon.phone.profiles.desired_state import credential_entry
from etymon.phone.screen import Screen, UserCode
from etymon.phone.state import (
    DeviceState,
    Hardware,
    Membership,
    Notification,
    Policy,
    PolicyResult,
    Purpose,
    Requirement,
)
from etymon.pki import certificate as certificates


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of the derived credential."""

    purpose: Purpose
    thumbprint: str
    not_after: datetime
    rekey: bool = False
    """Whether it is to be replaced, which the phone does by itself."""
    held: bool = False
    """Whether the phone was told that it is on hold."""


@dataclass(frozen=True, slots=True)
class Status:
    """What `etymon phone status` tells."""

    device: DeviceState
    hardware: Hardware
    membership: Membership | None
    policies: tuple[tuple[Policy, PolicyResult | None], ...]
    notifications: tuple[Notification, ...]
    requirement: Requirement | None
    certificates: tuple[Certificate, ...]
    activation: Activation
    setting_up: bool
    """Whether a derived credential is being set up."""
    key_history: tuple[Certificate, ...]
    """Whose keys only open older mail."""
    key_history_due: bool
    """Whether the issuer is still to be asked for the person's other keys."""
    key_history_not_before: datetime | None
    """When it hands them out, where that is to come."""


class Phone:
    """A simulated Android phone. It is closed after use; one program at a time has it open."""

    def __init__(self, device: Device) -> None:
        self.device = device

    @classmethod
    def new(
        cls,
        directory: Path,
        surroundings: Surroundings,
        *,
        hardware: Hardware,
        vault: VaultKind = VaultKind.SOFTWARE,
        roots: Iterable[x509.Certificate] = (),
        maker: PhoneMaker | None = None,
    ) -> Self:
        """Make a factory-new phone in an empty directory; `roots` are the authorities it trusts from the factory.

        With a `maker` it says where its keys are, up to the maker's root.
        """
        return cls(Device.new(directory, surroundings, hardware=hardware, vault=vault, roots=roots, maker=maker))

    @classmethod
    def open(cls, directory: Path, surroundings: Surroundings) -> Self:
        """Switch on the phone in a directory."""
        return cls(Device.open(directory, surroundings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch off."""
        self.device.close()

    def provision(self, qr_image: bytes) -> None:
        """Scan an enrollment code."""
        provisioning.provision_by_image(self.device, qr_image)

    def provision_by_token(self, server: str, token: Secret[str]) -> None:
        """Type an enrollment token for a server whose certificate the phone trusts."""
        provisioning.provision_by_token(self.device, server, token)

    def enroll(self, show: Callable[[UserCode], None]) -> Membership:
        """Enroll; `show` is given the code that the user types on another device."""
        return enrollment.enroll(self.device, show)

    def check_in(self, notify: Callable[[Notification], None], *, wait_seconds: int = 0) -> None:
        """Learn what is asked of the phone, do it, report."""
        check_in.check_in(self.device, notify, wait_seconds=wait_seconds)

    def keep_checking_in(self, notify: Callable[[Notification], None], *, stop: Callable[[], bool]) -> None:
        """Check in by long polls until `stop` says so or the management ends."""
        check_in.keep_checking_in(self.device, notify, stop=stop)

    def guide(self, screen: Screen) -> None:
        """Show the welcome and where to get a code for the derived credential."""
        derived_credential.guide(self.device, screen)

    def set_up_derived_credential(self, qr_image: bytes | None, screen: Screen) -> None:
        """Scan the issuer's code and go through to installed certificates; without an image go on where it stopped."""
        if qr_image is not None:
            derived_credential.scan(self.device, qr_image)
        derived_credential.set_up(self.device, screen)

    @property
    def rekeys_due(self) -> tuple[Purpose, ...]:
        """Which certificates are to be replaced."""
        return rekey.due(self.device)

    def rekey(self, screen: Screen) -> tuple[Purpose, ...]:
        """Replace keys and certificates that are due, and return which; it takes the activation secret and no card."""
        return rekey.rekey(self.device, screen)

    def fetch_key_history(self, screen: Screen) -> None:
        """Fetch the person's other encryption keys where that is still to be done; it takes the activation secret."""
        address, present = self.device.state.issuer, self.device.state.credential(Purpose.AUTHENTICATION)
        if address is None or present is None or not key_history.is_due(self.device):
            return
        with derived_credential.use_session(self.device, screen):
            key_history.fetch(self.device, address, link.service(self.device, address), present.alias)

    def give_up_setting_up(self) -> None:
        """Give up the derived credential that is being set up."""
        derived_credential.abandon(self.device)

    def unlock(self, secret: Secret[str]) -> UseSession:
        """Open a use session of the derived credential; leaving it ends it."""
        return self.device.keys.activate(secret)

    def change_activation_secret(self, current: Secret[str], new: Secret[str]) -> None:
        """Replace the activation secret."""
        self.device.keys.change_activation_secret(current, new)

    def get(self, package: str, url: str, *, approve: Approve) -> Page:
        """Let an app open a site that asks for the certificate."""
        return web.get(self.device, package, url, approve=approve)

    def sign_in(self, package: str, url: str, *, approve: Approve) -> Page:
        """Let an app sign its user in through the identity provider."""
        return web.sign_in(self.device, package, url, approve=approve)

    def sign_mail(self, address: str, content: bytes) -> bytes:
        """Return a MIME entity as signed mail."""
        return mail.sign(self.device, address, content)

    def decrypt_mail(self, address: str, message: bytes) -> bytes:
        """Return what is inside an encrypted mail."""
        return mail.decrypt(self.device, address, message)

    def wifi_network(self, ssid: str, *, tls13: bool = True) -> tuple[str, TokenReference]:
        """Return a network block for wpa_supplicant and the token whose key it uses."""
        return wifi.network(self.device, ssid, tls13=tls13)

    def wipe(self) -> None:
        """Go back to the factory, as from the recovery menu; nobody is told."""
        self.device.wipe()

    def status(self) -> Status:
        """Return what may be shown of the phone."""
        state, management = self.device.state, self.device.state.management
        results = {result.policy: result for result in management.results}
        return Status(
            device=state.device,
            hardware=state.hardware,
            membership=state.membership,
            policies=tuple((policy, results.get(policy.policy)) for policy in management.policies),
            notifications=management.notifications,
            requirement=management.requirement,
            certificates=tuple(self._certificates()),
            activation=self.device.keys.activation(),
            setting_up=state.derivation is not None,
            key_history=tuple(
                _shown(Purpose.ENCRYPTION, entry.certificate)
                for entry in key_history.entries(self.device)
                if entry.certificate is not None
            ),
            key_history_due=key_history.is_due(self.device),
            key_history_not_before=key_history.waits_until(self.device),
        )

    def _certificates(self) -> Iterable[Certificate]:
        due, held = self.rekeys_due, check_in.is_held(self.device.state.management)
        for purpose in Purpose:
            entry = credential_entry(self.device, purpose)
            if entry is not None and entry.certificate is not None:
                yield replace(_shown(purpose, entry.certificate, rekey=purpose in due), held=held)


def _shown(purpose: Purpose, certificate: x509.Certificate, *, rekey: bool = False) -> Certificate:
    thumbprint = certificates.thumbprint(certificate).hex()
    return Certificate(purpose, thumbprint, certificate.not_valid_after_utc, rekey)
