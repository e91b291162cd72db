# SPDX-License-Identifier: Apache-2.0
"""What escrow keeps comes back from a backup: OpenSSL opens the same key there, or the token of the site is missed."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.directory import people
from etymon.escrow import deposit
from etymon.escrow.model import EscrowedKey
from etymon.kernel.errors import Unavailable
from etymon.pki.algorithms import KeyType
from etymon.server import follow_ups, wiring
from etymon.server.deployment import Deployment
from support import escrowed, vault
from support.backup_office import ADA, Office, made
from support.killed_certificates import key_opened_by_openssl
from support.tokens import PIN, Tokens

pytestmark = pytest.mark.needs("openssl")


@dataclass
class Depositor:
    """A person whose encryption key is in escrow at a site, and who has a transport key."""

    site: Office
    key: EscrowedKey
    transport: rsa.RSAPrivateKey

    @classmethod
    def at(cls, site: Office) -> "Depositor":
        opened = site.opened(site.data)
        follow_ups.seal(opened)
        deps = wiring.escrow(opened)
        with opened.database.snapshot() as tx:
            person = people.by_user_principal_name(tx, ADA.user_principal_name)
        assert person is not None
        key = escrowed.kept(deps, person)
        opened.database.close()
        return cls(site, key, rsa.generate_private_key(65537, 2048))

    def recovered(self, deployment: Deployment) -> rsa.RSAPublicKey:
        """Return the public half of what a site releases, after OpenSSL has opened it."""
        enveloped = deposit.release_to_transport_key(
            wiring.escrow(deployment),
            self.key.id,
            self.transport.public_key(),
            owner=self.key.person_id,
            reason="new phone",
            actor=f"person:{self.key.person_id}",
        )
        found = key_opened_by_openssl(enveloped, self.transport, self.site.directory)
        assert isinstance(found, rsa.RSAPublicKey)
        return found


def restored(site: Office) -> Deployment:
    """Take a backup, restore it, and have the restored site's trail sealed."""
    done = site.restore(site.backup())
    assert done.status == 0, done
    opened = site.opened(site.directory / "restored")
    follow_ups.seal(opened)
    return opened


def test_an_escrowed_key_opens_at_the_restored_site_and_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Office(tmp_path, capsys, made(tmp_path))
    depositor = Depositor.at(site)
    opened = restored(site)
    assert depositor.recovered(opened) == vault.made(0, KeyType.RSA2048).public_key() == depositor.key.public_key
    assert wiring.escrow(opened).key_encryption_key.id == wiring.escrow(site.opened(site.data)).key_encryption_key.id


@pytest.mark.needs("softhsm2-util")
def test_an_escrow_in_a_token_opens_at_the_restored_site_with_that_token_alone(
    tokens: Tokens, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token, another, pin = tokens.make(), tokens.make(), tmp_path / "token.pin"
    pin.write_text(PIN.reveal())
    code = made(tmp_path, pkcs11_module=str(token.module), pkcs11_token_label=token.label, pkcs11_pin_file=str(pin))
    site = Office(tmp_path, capsys, code)
    depositor = Depositor.at(site)
    told = site.restore(site.backup())
    assert f"keys in the token '{token.label}'" in told.err
    opened = site.opened(tmp_path / "restored")
    follow_ups.seal(opened)
    assert depositor.recovered(opened) == depositor.key.public_key
    opened.database.close()
    for label, at_start, at_release in (
        ("nowhere", "token_not_present", "token_not_present"),
        (another.label, "keys_missing", "token_key_missing"),
    ):
        monkeypatch.setenv("ETYMON_PKCS11_TOKEN_LABEL", label)
        without = site.opened(tmp_path / "restored")
        with pytest.raises(Unavailable, match=at_start):
            without.require_keys()  # as `etymon serve` does
        with pytest.raises(Unavailable, match=at_release):
            depositor.recovered(without)
        without.database.close()
