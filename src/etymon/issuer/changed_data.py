# SPDX-License-Identifier: Apache-2.0
"""A person's data changed: what their certificates say is compared with the records (SP 800-157 §2.3).

A certificate that is true no more is due for a rekey at once; the new one ends it. Where no phone comes for a new one
it ends all the same, after a time that its person is told (CP 4.9.1).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography import x509

from etymon.ca import certificates
from etymon.directory import people
from etymon.directory.model import Person
from etymon.issuer import certified_names, invalidation, notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, CredentialState, EndReason
from etymon.issuer.store import credentials, derivations
from etymon.storage import jobs
from etymon.storage.database import Transaction

END: Final = "issuer.end_untrue"
"""Kind of the job that ends a certificate that is true no more; its payload has `credential`."""


def make_due(tx: Transaction, deps: Dependencies, person_id: UUID) -> int:
    """Let the rekey of every certificate be due that calls its person something else; return how many became so.

    The person is told, and by when what no phone has replaced ends; a further change meanwhile puts nothing off.
    """
    person = people.find(tx, person_id)
    if person is None or not person.active:
        return 0
    now, due, fresh = deps.clock.now(), 0, False
    over = now + deps.changed_data_limit
    for credential in credentials.live_of_person(tx, person_id, now):
        if credential.state is not CredentialState.ACTIVE:
            continue  # what is restored later is looked at then
        if _is_true(tx, person, credential):
            jobs.forget(tx, _key(credential))  # the records say again what they said
            continue
        fresh = _end_at(tx, deps, credential, over) or fresh
        if credentials.make_due(tx, credential.id, now):
            due += 1
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
    if fresh:
        notices.data_changed(tx, deps, person, over)
    return due


def end_untrue(tx: Transaction, deps: Dependencies, credential_id: UUID) -> None:
    """End a certificate that still calls its person something else, whether or not its phone ever comes again."""
    found = credentials.find(tx, credential_id)
    derivation = derivations.lock(tx, found.derivation) if found else None
    credential = credentials.find(tx, credential_id)
    person = people.find(tx, credential.person) if credential else None
    if derivation is None or credential is None or person is None or credential.state is CredentialState.ENDED:
        return
    if _is_true(tx, person, credential):
        return  # the records say again what they said
    reason = EndReason.AFFILIATION_CHANGED
    if invalidation.end_credentials(tx, deps, [credential], reason, actor="worker", source="worker"):
        because = "they give a name or an address that is yours no more, and the phone did not come for new ones"
        invalidation.tell(tx, deps, derivation, reason, because=because)


def _is_true(tx: Transaction, person: Person, credential: Credential) -> bool:
    kept = certificates.find(tx, credential.certificate)
    if kept is None or kept.der is None:
        return True  # what is not signed yet is compared when it is
    return certified_names.is_true_of(x509.load_der_x509_certificate(kept.der), person, credential.purpose)


def _end_at(tx: Transaction, deps: Dependencies, credential: Credential, over: datetime) -> bool:
    """Have a certificate end at a time, unless it ends earlier already; say whether that is new."""
    if jobs.is_waiting(tx, _key(credential)):
        return False
    payload: dict[str, jobs.JSONValue] = {"credential": str(credential.id)}
    jobs.enqueue(tx, deps.clock, deps.entropy, END, payload, due=over, key=_key(credential))
    return True


def _key(credential: Credential) -> str:
    return f"{END}:{credential.id}"
