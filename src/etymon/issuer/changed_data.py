# SPDX-License-Identifier: Apache-2.0
"""A person's data changed: what their certificates say is compared with the records (SP 800-157 §2.3).

A certificate that is true no more is due for a rekey at once; the new one ends it.
"""

from uuid import UUID

from cryptography import x509

from etymon.ca import certificates
from etymon.directory import people
from etymon.issuer import certified_names
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import CredentialState
from etymon.issuer.store import credentials
from etymon.storage.database import Transaction


def make_due(tx: Transaction, deps: Dependencies, person_id: UUID) -> int:
    """Let the rekey of every certificate be due that calls its person something else; return how many became so."""
    person = people.find(tx, person_id)
    if person is None or not person.active or not person.mail_addresses:
        return 0
    now, found = deps.clock.now(), 0
    for credential in credentials.live_of_person(tx, person_id, now):
        kept = certificates.find(tx, credential.certificate)
        if credential.state is not CredentialState.ACTIVE or kept is None or kept.der is None:
            continue
        if certified_names.is_true_of(x509.load_der_x509_certificate(kept.der), person, credential.purpose):
            continue
        if credentials.make_due(tx, credential.id, now):
            found += 1
            record(
                tx,
                deps,
                "credential:rekey_due",
                actor="worker",
                subject=credential.id,
                purpose=credential.purpose.value,
                derivation=str(credential.derivation),
                because="names changed",
            )
    return found
