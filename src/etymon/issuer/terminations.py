# SPDX-License-Identifier: Apache-2.0
"""Accounts that ended, until everybody can see that their credentials have (FIPS 201-3 §2.9.4: within 18 hours).

An end is over when the revocation list that is published, as it is published, and the responder say so of every
certificate that is still valid. What was meant to be done counts for nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from cryptography import x509

from etymon.ca import certificates, crl, issuance, ocsp
from etymon.ca.model import CertificateRecord, CertificateState
from etymon.directory import terminations
from etymon.directory.model import Termination
from etymon.issuer import notices
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import OPEN, CredentialState
from etymon.issuer.scep import store as scep_store
from etymon.issuer.store import credentials, derivations
from etymon.kernel.errors import Unavailable
from etymon.pki import revocation_data
from etymon.pki.errors import NotTrusted
from etymon.storage import jobs
from etymon.storage.database import Transaction

log = structlog.get_logger("etymon.issuer")

CLOSE: Final = "issuer.close_termination"
"""Kind of the job; its payload has `person`."""

LOOK_EVERY: Final = timedelta(minutes=1)
ALARMS_AT_A_TIME: Final = 200


def watch(tx: Transaction, deps: Dependencies, person: UUID, *, again: bool = False) -> None:
    """Have somebody look whether the end of an account is over, until it is."""
    due = deps.clock.now() + LOOK_EVERY if again else None
    payload: dict[str, jobs.JSONValue] = {"person": str(person)}
    jobs.enqueue(tx, deps.clock, deps.entropy, CLOSE, payload, due=due, key=f"{CLOSE}:{person}")


def close(deps: Dependencies, person: UUID) -> bool:
    """Close the end of an account if it is over; False while it is not."""
    found = _published(deps, person)
    if found is None:
        return False
    with deps.database.transaction() as tx:
        terminations.close(tx, deps, person, certificates=found)
    return True


def alarm(deps: Dependencies) -> int:
    """Tell of ends that take too long, of each once a day until it is over, in one mail; return of how many."""
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        late = terminations.late(tx, now, deps.termination_alarm, ALARMS_AT_A_TIME)
    if not late:
        return 0
    with deps.database.transaction() as tx:
        told = [one for one in late if terminations.note_late(tx, deps, one)]
        if told:
            _tell(tx, deps, told)
    for one in told:
        log.error("termination_late", person=str(one.person), due_at=one.due_at.isoformat(timespec="minutes"))
    return len(told)


def count(tx: Transaction, deps: Dependencies) -> tuple[int, int]:
    """Return how many ends are not over, and how many of them take too long."""
    return terminations.count(tx), terminations.count(tx, reported_before=deps.clock.now() - deps.termination_alarm)


def _tell(tx: Transaction, deps: Dependencies, late: Sequence[Termination]) -> None:
    listed = "".join(
        f"  The account {one.person} ended at {one.reported_at.isoformat(timespec='minutes')}; "
        f"all has to be published by {one.due_at.isoformat(timespec='minutes')}.\n"
        for one in late
    )
    text = (
        f"It is not published yet that all credentials of these accounts are revoked:\n\n{listed}\n"
        "See whether the worker runs, and whether the revocation list is published. This mail is repeated daily until "
        "it is done.\n"
    )
    notices.officers(tx, deps, "The end of an account takes too long", text)


def _published(deps: Dependencies, person: UUID) -> int | None:
    """Return how many valid certificates of a person are published as revoked; None unless all are, and all is over."""
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        if derivations.of_person(tx, person, OPEN):
            return None
        valid = credentials.of_person_valid_at(tx, person, now)
        if any(credential.state is not CredentialState.ENDED for credential in valid):
            return None
        if scep_store.enrollments_of_person(tx, person):
            return None
        ids = [credential.certificate for credential in valid]
        ids += scep_store.certificates_of_person(tx, person, valid_at=now)
        found = [certificates.find(tx, one) for one in ids]
        issued = [one for one in found if one is not None and one.der is not None]
        if any(one.state is not CertificateState.REVOKED for one in issued):
            return None
        lists = {ca: _list(tx, deps, ca) for ca in {one.ca for one in issued}}
    seen = all(_is_listed(lists[one.ca], one) and _is_answered(deps, one) for one in issued)
    return len(issued) if seen else None


def _list(tx: Transaction, deps: Dependencies, ca: str) -> x509.CertificateRevocationList | None:
    """Read the list that is published, as anybody would; None where it would not be believed."""
    published = crl.find(tx, ca)
    if published is None:
        return None
    authority = issuance.find_authority(tx, ca).certificate
    read = revocation_data.verify_crl(published.der, authority, at=deps.clock.now())
    return None if read is None else read.revocation_list


def _is_listed(read: x509.CertificateRevocationList | None, certificate: CertificateRecord) -> bool:
    return read is not None and read.get_revoked_certificate_by_serial_number(certificate.serial) is not None


def _is_answered(deps: Dependencies, record_: CertificateRecord) -> bool:
    """Ask the responder as a relying party does."""
    if record_.der is None:
        return False
    with deps.database.snapshot() as tx:
        issuer = issuance.find_authority(tx, record_.ca).certificate
    certificate, nonce = x509.load_der_x509_certificate(record_.der), deps.entropy.octets(16)
    try:
        answer = ocsp.answer(deps.ca, record_.ca, revocation_data.ocsp_request(certificate, issuer, nonce))
        revocation_data.judge_ocsp(answer.der, certificate, issuer, nonce=nonce, at=deps.clock.now())
    except NotTrusted as said:
        return said.code == "revoked_by_ocsp"
    except Unavailable:
        return False
    return False
