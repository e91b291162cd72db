# SPDX-License-Identifier: Apache-2.0
"""A key in a card as a handle that signs: for certificate requests, CMS and TLS."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from etymon.card.client import PIVClient
from etymon.card.errors import CardUnavailable
from etymon.card.external_key import SignatureScheme, library_padding
from etymon.card.host_padding import pad_for_signature
from etymon.card.private_keys import CardPublicKey, algorithm_of
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.wire.piv import KeyReference


class CardKey:
    """One of a card's keys; an `ExternalKey`. Each signature is verified before it is handed on."""

    def __init__(
        self,
        client: PIVClient,
        slot: int,
        *,
        public_key: CardPublicKey | None = None,
        pin: Secret[str] | None = None,
    ) -> None:
        """Without `public_key` it is read from the key's certificate.

        With `pin` the PIN is shown before every signature, as the signature key (9C) demands; without, whoever holds
        the client has verified it.
        """
        if pin is None and slot == KeyReference.SIGNATURE:
            raise Malformed("card_pin_always", "The signature key wants the PIN before each signature; pass it.")
        self._client = client
        self._slot = slot
        self._pin = pin
        self._public_key = public_key or _certified(client, slot)

    @property
    def public_key(self) -> CardPublicKey:
        """The public half."""
        return self._public_key

    def sign_digest(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return the card's signature over a digest made with the scheme's hash."""
        key = self._public_key
        algorithm = algorithm_of(key)
        if len(digest) != scheme.hash.digest_size:
            raise Malformed("digest_length", "The digest is not of the scheme's hash.")
        block = digest
        if isinstance(key, rsa.RSAPublicKey):
            block = pad_for_signature(digest, scheme, key.key_size, self._client.entropy)
        if self._pin:
            self._client.verify_pin(self._pin)
        signature = self._client.sign(self._slot, algorithm, block)
        _require_valid(key, signature, digest, scheme, library_padding(scheme))
        return signature


def _certified(client: PIVClient, slot: int) -> CardPublicKey:
    key = client.read_certificate(slot).public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise Malformed("card_key_type", "The card's certificate is for a key that no PIV card holds.")
    return key


def _require_valid(
    key: CardPublicKey, signature: bytes, digest: bytes, scheme: SignatureScheme, padding: AsymmetricPadding
) -> None:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding, Prehashed(scheme.hash))
        else:
            key.verify(signature, digest, ec.ECDSA(Prehashed(scheme.hash)))
    except InvalidSignature as exc:
        detail = "The card's signature does not fit its certificate; it may hold another key now."
        raise CardUnavailable("card_signature", detail) from exc
