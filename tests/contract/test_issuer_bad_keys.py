# SPDX-License-Identifier: Apache-2.0
"""What EST answers to keys that nobody certifies: a code, an event, and nothing kept."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.issuer.model import Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, Malformed
from etymon.storage.database import Database
from etymon.wire import est
from support import weak_rsa
from support.ca_site import csr_der, rsa_key
from support.clock import TurnedClock
from support.issuer_site import IssuerSite


def test_weak_keys_and_the_key_of_the_card_that_was_proved_are_certified_for_no_phone(
    database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> None:
    site = IssuerSite(database, clock, entropy, tmp_path)
    link = site.linked()
    made = csr_der(rsa_key())
    sent = [each.request(made) for each in (weak_rsa.roca(), weak_rsa.prime())]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    other_curve = builder.sign(ec.generate_private_key(ec.SECP521R1()), hashes.SHA512())
    sent.append(other_curve.public_bytes(Encoding.DER))
    for request in sent:
        with pytest.raises(Malformed, match="weak_key"):
            link.enroll(Purpose.SIGNATURE, body=est.encode_body(request))
    with pytest.raises(Conflict, match="key_of_a_card"):
        link.enroll(Purpose.SIGNATURE, body=est.encode_body(csr_der(site.card.key)))
    refused = site.events("issuer:credential:refused")
    assert sorted(str(event.facts["code"]) for event in refused) == ["key_of_a_card", *["weak_key"] * len(sent)]
    assert site.credentials(link.begun) == {}
    assert link.enroll(Purpose.SIGNATURE).certificate.serial_number
