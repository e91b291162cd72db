# SPDX-License-Identifier: Apache-2.0
"""What settings must not say, each alone or beside another."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography.x509 import ReasonFlags

from etymon.ca import policies
from etymon.directory import mailbox
from etymon.escrow.model import RETENTION
from etymon.pki.revocation_data import UNSPECIFIED
from etymon.server import addresses

if TYPE_CHECKING:
    from etymon.server.settings import Settings

DATABASES: Final = ("sqlite:", "postgresql:", "postgresql+psycopg:")
"""How addresses of databases begin."""


NO_KEY_LISTS: Final = (
    "No list of keys known to be compromised is set: such keys are certified. Debian's package openssl-blacklist "
    "has files for the setting weak_key_lists; compromised_key_lists takes digests of others "
    "(docs/certificate-profiles.md)."
)


def advice(settings: "Settings") -> Iterator[str]:
    """Yield what settings leave undone that an operator should know of, and how to do it."""
    if not settings.weak_key_lists and not settings.compromised_key_lists:
        yield NO_KEY_LISTS


def faults(settings: "Settings") -> Iterator[str]:
    """Yield what would make a site unsafe, or could not work: the setting's name and what to write instead."""
    ports = [settings.site_port, settings.certauth_port, settings.device_port, settings.status_port]
    fixed = [port for port in ports if port]
    checks = (
        (
            addresses.is_loopback(urlsplit(settings.status_url).hostname or "") and not settings.loopback_demo,
            "status_url: names this machine only, so nobody else learns of a revocation; to try it, loopback_demo=true",
        ),
        (
            0 < settings.escrow_keep_days < RETENTION.days,
            f"escrow_keep_days: keys are kept for at least {RETENTION.days} days; 0 keeps them all",
        ),
        (
            settings.loopback_demo and not addresses.is_loopback(settings.bind),
            "bind: a loopback demo must not listen on other addresses",
        ),
        (
            bool(settings.tls_chain_file) != bool(settings.tls_key_file)
            and not (settings.tls_chain_file and settings.proxies),
            "tls_chain_file, tls_key_file: set both or neither",
        ),
        (
            bool(settings.proxies) and not settings.tls_chain_file,
            "tls_chain_file: name the chain that the proxies show, leaf first: phones pin its CA",
        ),
        (
            len({settings.site_url, settings.certauth_url, settings.device_url}) < 3,
            "site_url, certauth_url, device_url: must differ; each asks for client certificates in a way of its own",
        ),
        (
            urlsplit(settings.device_url).hostname != urlsplit(settings.site_url).hostname,
            "device_url: must be on the host of site_url, whose CA phones pin; take another port",
        ),
        (
            not addresses.may_be_same_site(settings.site_url, settings.certauth_url),
            "certauth_url: must be under the domain of site_url, or browsers keep back the cookie that a proof needs",
        ),
        (
            settings.termination_alarm_hours >= settings.termination_hours,
            "termination_alarm_hours: must come before termination_hours, or nobody can do anything any more",
        ),
        (
            not settings.card_revocation.keys() <= {flag.value for flag in ReasonFlags} | {UNSPECIFIED},
            "card_revocation: name reasons as RFC 5280 does, such as keyCompromise or superseded",
        ),
        (
            bool(settings.smtp_host) and not mailbox.is_one(settings.mail_from),
            "mail_from: set the sender address that goes with smtp_host, as name@host alone",
        ),
        (
            settings.smtp_tls == "none" and bool(settings.smtp_host) and not addresses.is_loopback(settings.smtp_host),
            "smtp_tls: notices must not cross a network in the clear; use starttls or tls",
        ),
        (
            bool(settings.smtp_user) != bool(settings.smtp_password_file),
            "smtp_user, smtp_password_file: set both or neither",
        ),
        (
            bool(settings.pkcs11_module) != _names_a_token(settings),
            "pkcs11_module: goes with pkcs11_token_label, pkcs11_token_serial or pkcs11_slot, which name the token",
        ),
        (
            bool(settings.intune_tenant) and not (settings.intune_client_id and settings.intune_client_secret_file),
            "intune_tenant: needs intune_client_id and intune_client_secret_file",
        ),
        (
            bool(settings.database_url) and not settings.database_url.startswith(DATABASES),
            "database_url: give an address such as postgresql+psycopg://HOST/NAME, or none",
        ),
        (
            len(set(fixed)) != len(fixed),
            "site_port, certauth_port, device_port, status_port: must differ",
        ),
        (
            bool(settings.provisioning_component)
            and not (settings.provisioning_download and settings.provisioning_checksum),
            "provisioning_component: needs provisioning_download and provisioning_checksum",
        ),
        (
            bool(settings.provisioning_download) and not settings.provisioning_download.startswith("https://"),
            "provisioning_download: must be an https address",
        ),
    )
    yield from (told for unsafe, told in checks if unsafe)
    yield from policies.faults(settings.minted_policies, settings.policy_oids, settings.authorized_policies)


def _names_a_token(settings: "Settings") -> bool:
    return bool(settings.pkcs11_token_label or settings.pkcs11_token_serial) or settings.pkcs11_slot is not None
