# SPDX-License-Identifier: Apache-2.0
"""A key that the server made: asked for under a transport key, opened and kept inside the store (RFC 7030 §4.4)."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509 import SubjectKeyIdentifier

from etymon.phone import certificate_chain
from etymon.phone.certification_request import certification_request
from etymon.phone.device import Device
from etymon.phone.key_store.contract import KeyHandle, WrappedKey
from etymon.pki.certificate import to_der
from etymon.wire import est


def request(device: Device, transport: KeyHandle) -> bytes:
    """Return a request that names the transport key by its identifier, with its attestation."""
    identifier = SubjectKeyIdentifier.from_public_key(transport.public_key).digest  # RFC 5280 §4.2.1.2 method 1
    named = est.decrypt_key_identifier_attribute(identifier)
    return certification_request(
        transport, device.state.hardware.serial_number, named, *attestation(device, transport.alias)
    )


def attestation(device: Device, alias: str) -> tuple[bytes, ...]:
    """Return the attribute that says where a key is; none where the phone cannot attest."""
    entry = device.keys.entry(alias)
    return (est.attestation_attribute(entry.attestation),) if entry and entry.attestation else ()


def keep(
    device: Device,
    alias: str,
    transport_alias: str,
    envelope: bytes,
    certificate: x509.Certificate,
    known: Sequence[x509.Certificate],
) -> None:
    """Keep the key and its certificate; a key that is there already stays."""
    chain = certificate_chain.chain(certificate, known)
    open_into_store(device, alias, transport_alias, envelope, known)
    device.keys.set_certificate(alias, certificate, chain)


def open_into_store(
    device: Device, alias: str, transport_alias: str, envelope: bytes, known: Sequence[x509.Certificate]
) -> None:
    """Keep a key signed by the key-generation signer of a `known` authority; one that is there already stays."""
    if device.keys.entry(alias) is None:
        package = WrappedKey(envelope, tuple(to_der(issuer) for issuer in known), device.surroundings.clock.now())
        device.keys.import_wrapped(alias, package, transport=transport_alias, requires_activation=True)
