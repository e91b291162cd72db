# SPDX-License-Identifier: Apache-2.0
"""Every event that the issuer records is told to somebody, or there is a reason why not: a new one needs a decision."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from etymon.issuer import card_recheck, notices, request_notices
from etymon.issuer.request import RequestState

ISSUER = Path(notices.__file__).parent

PERSON: Final = {
    "card_link:moved": "notices.card_replaced",
    "credential:ended": "notices.credentials_ended",
    "credential:issued": "notices.certificate_issued",
    "credential:rekey_due": "notices.data_changed",
    "credential:rekeyed": "notices.certificate_replaced",
    "derivation:ended": "notices.link_ended",
    "derivation:expired": "notices.link_ended",
    "derivation:held": "notices.credentials_held",
    "derivation:restored": "notices.credentials_restored",
    "link:confirmed": "notices.link_confirmed",
    "link:denied": "notices.link_denied",
    "request:made": "request_notices.made",
    "request:approved": "request_notices.approved",
    "request:refused": "request_notices.refused",
    "request:ended": "request_notices.over",
    "request:expired": "request_notices.over",
    "scep_enrollment:ended": "notices.managed_certificate_ended",
    "rekey:refused": "notices.rekey_refused",
    "card_status:unavailable": "notices.officers",
    "card_status:unknown": "notices.officers",
    "incident:opened": "notices.officers",
    "revoked_authority:told": "notices.officers",
}
"""Event to what tells of it."""

SILENT: Final = {
    "attestation_authority:removed": "an Administrator's own act",
    "attestation_authority:saved": "an Administrator's own act",
    "card:authenticated": "the cardholder's own act, at the page that says so",
    "card:checked_again": "nothing was found",
    "card:found_revoked": "what ends with it is told by credential:ended, and Officers by incident:opened",
    "card:found_unbound": "what ends with it is told by credential:ended",
    "card_session:ended": "the cardholder's own act, or the end of the card, of which the directory tells",
    "card_status:asked": "an Officer's own act",
    "card_status:swept": "nothing was found, or it has an event of its own",
    "changeover:rekeyed": "an Officer's own act; each new certificate is told by credential:issued",
    "client:ended": "an Administrator's own act",
    "client:registered": "an Administrator's own act",
    "client:signed_in": "a program's everyday act",
    "credential:authorized": "the certificate follows at once, and is told by credential:issued",
    "credential:lost": "nobody has had it; the phone asks again",
    "credential:rekey_authorized": "the certificate follows at once, and is told by credential:issued",
    "derivation:begun": "the cardholder's own act, at the page that says so; nothing came of it yet",
    "derivation:completed": "each certificate was told by credential:issued",
    "incident:handled": "an Officer's own act; what ended is told by credential:ended",
    "invalidation:done": "what ended is told by credential:ended",
    "key:judged": "a finding about a key, before anything is issued on it",
    "key_history:released": "escrow tells the owner of each release",
    "link:redeemed": "the page of the card session shows it and asks",
    "link:refused": "counted; the fifth is told by link:denied",
    "registration_authority:made": "the site's own certificate",
    "rule:changed": "an Officer's own act",
    "rule:made": "an Officer's own act",
    "rule:withdrawn": "an Officer's own act",
    "self_recovery:released": "escrow tells the owner of each release",
    "scep_challenge:made": "an endpoint manager's act before anything is issued",
    "scep_connector:changed": "an Officer's own act",
    "scep_connector:made": "an Officer's own act",
    "scep_connector:withdrawn": "an Officer's own act",
    "scep_enrollment:authorized": "the certificate follows at once",
    "scep_enrollment:issued": "got by the endpoint manager for the device that it manages, without its person's doing",
}
"""Event to why nobody is told."""

COMPUTED: Final = {
    "request:{}": {f"request:{state.value}" for state in (RequestState.APPROVED, RequestState.REFUSED)},
    "derivation:{}": {"derivation:expired", "derivation:completed"},
}
FINDINGS: Final = {card_recheck.FOUND_REVOKED, card_recheck.UNBOUND.event}
REFUSED_REKEY: Final = "rekey:refused"


def recorded() -> set[str]:
    """Return the events that calls of `record` and its like name."""
    found = set(FINDINGS)
    for file in ISSUER.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call) and re.search(r"record", ast.unparse(call.func)):
                for argument in call.args:
                    found |= named(argument)
    return found


def named(argument: ast.expr) -> set[str]:
    if isinstance(argument, ast.JoinedStr):
        pattern = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in argument.values)
        return COMPUTED.get(pattern, {pattern}) if pattern.count(":") == 1 else set()
    if isinstance(argument, ast.IfExp):
        return named(argument.body) | named(argument.orelse)
    if isinstance(argument, ast.Constant) and re.fullmatch(r"[a-z_]+:[a-z_]+", str(argument.value)):
        return {str(argument.value)}
    return set()


def test_every_event_is_told_or_has_a_reason_why_not() -> None:
    assert not PERSON.keys() & SILENT.keys()
    assert recorded() == (PERSON.keys() | SILENT.keys()) - {REFUSED_REKEY}


@pytest.mark.parametrize("notice", sorted(set(PERSON.values())))
def test_every_notice_of_the_table_is_sent_somewhere(notice: str) -> None:
    module, name = notice.split(".")
    assert callable(getattr({"notices": notices, "request_notices": request_notices}[module], name))
    used = sum(len(re.findall(rf"\b{module}\.{name}\b", file.read_text("utf-8"))) for file in ISSUER.rglob("*.py"))
    assert used > 0, notice
