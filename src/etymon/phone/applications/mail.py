# SPDX-License-Identifier: Apache-2.0
"""S/MIME with the derived credential: signs what is sent, opens what was received (RFC 8551)."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from etymon.card.external_key import as_private_key, usual_scheme
from etymon.kernel.errors import Malformed, NotFound, NotPermitted
from etymon.phone.device import Device
from etymon.phone.key_store.contract import KeyEntry
from etymon.phone.key_store.private_key import as_decrypting_key
from etymon.phone.profiles import email
from etymon.phone.profiles.desired_state import credential_entry
from etymon.phone.profiles.email import Account
from etymon.phone.state import Purpose, ResultState

LARGEST_MESSAGE_BYTES: Final = 32 * 1024 * 1024


def account(device: Device, address: str) -> Account:
    """Return the mail account a policy set up for `address`; `NotFound` `no_account` without one."""
    done = {item.policy for item in device.state.management.results if item.state is ResultState.SUCCEEDED}
    for policy in device.state.management.policies:
        if policy.type == email.TYPE and policy.policy in done:
            found = email.account(policy)
            if found.address.lower() == address.lower():
                return found
    raise NotFound("no_account", f"There is no mail account {address} on this phone that is ready for use.")


def sign(device: Device, address: str, content: bytes) -> bytes:
    """Return `content`, a MIME entity, as multipart/signed (RFC 8551 §3.5.3) by the account's signature certificate."""
    if not account(device, address).signing:
        raise NotPermitted("signing_off", "The account does not sign with the derived credential.")
    entry = credential_entry(device, Purpose.SIGNATURE)
    if entry is None or entry.certificate is None:
        raise NotFound("no_credential", "The phone has no signature certificate.")
    key = device.keys.handle(entry.alias)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(entry.certificate, as_private_key(key), usual_scheme(key.public_key).hash)
    for issuer in entry.chain:
        builder = builder.add_certificate(issuer)
    return builder.sign(Encoding.SMIME, [pkcs7.PKCS7Options.DetachedSignature])


def decrypt(device: Device, address: str, message: bytes) -> bytes:
    """Return what is inside an encrypted mail to the account, opened with the certificate it was encrypted to.

    Certificates that were replaced still open what was sent to them. `Malformed` `not_decryptable` otherwise.
    """
    if len(message) > LARGEST_MESSAGE_BYTES:
        raise Malformed("message_too_large", "The message is too large for this phone.")
    if not account(device, address).encryption:
        raise NotPermitted("encryption_off", "The account does not decrypt with the derived credential.")
    for entry in _openers(device):
        key = device.keys.handle(entry.alias)
        if entry.certificate is None or not isinstance(key.public_key, rsa.RSAPublicKey):
            continue
        try:
            return pkcs7.pkcs7_decrypt_smime(message, entry.certificate, as_decrypting_key(key), [])
        except ValueError:
            continue
    raise Malformed("not_decryptable", "No certificate on this phone opens the message.")


def _openers(device: Device) -> list[KeyEntry]:
    aliases = [item.alias for item in device.state.credentials if item.purpose is Purpose.ENCRYPTION]
    return [entry for alias in aliases if (entry := device.keys.entry(alias))]
