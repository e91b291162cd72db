# SPDX-License-Identifier: Apache-2.0
"""The phones use their credentials; the same relying parties refuse the one that was revoked and keep the other."""

from etymon.kernel.errors import EtymonError
from etymon.phone.state import Purpose
from etymon.server.demo import relying_parties
from etymon.server.demo.chapters.enrollment import Held
from etymon.server.demo.peers import openssl_status
from etymon.server.demo.peers.programs import Judgement, ProgramsMissing, Verdict, missing
from etymon.server.demo.relying_parties import Servers
from etymon.server.demo.story import Step, Story, Untruth
from etymon.server.demo.web_application import Application
from etymon.server.demo.world import World

BROWSER: str = "org.example.browser"
MESSAGE: bytes = b"Content-Type: text/plain\r\n\r\nThe meeting is at noon.\r\n"


def told(story: Story, world: World, servers: Servers, application: Application, held: Held) -> bytes:
    """Tell how a phone uses its credential; returns a mail that it signed."""
    who = held.person.display_name
    signed = b""
    with story.step(f"{who}'s phone signs in to a web application: no password, no card") as step:
        with held.phone.unlock(held.hand.secret):
            page = held.phone.sign_in(BROWSER, application.url, approve=lambda _: True)
        claims = application.signed_in[-1] if application.signed_in else {}
        step.show("the application greets the person", claims.get("name") == who, "web application, OpenID Connect")
        step.show("and knows how", claims.get("acr") == "urn:etymon:acr:derived", "ID token")
        step.show("the phone saw its page", page.status == 200, "the phone")
    _web(story, world, servers, held, accepted=True)
    _network(story, world, servers, held, accepted=True)
    with story.step(f"{who}'s phone signs and decrypts mail") as step:
        _require("openssl")
        with held.phone.unlock(held.hand.secret):
            signed = held.phone.sign_mail(held.person.address, MESSAGE)
            judgement = relying_parties.judge_signed_mail(world, signed, held.person.address)
            step.judged("the signature holds and is the sender's", judgement, accepted=True)
            sealed = relying_parties.encrypt_mail(world, held, MESSAGE)
            step.judged("a mail is encrypted to the phone's certificate", sealed.judgement, accepted=True)
            opened = held.phone.decrypt_mail(held.person.address, sealed.content)
        step.show("the phone reads it", b"The meeting is at noon." in opened, "the phone")
    return signed


def refused(
    story: Story, world: World, servers: Servers, application: Application, *, revoked: Held, kept: Held, mail: bytes
) -> None:
    """Tell how the revoked credential is refused everywhere, and the other still accepted."""
    who = revoked.person.display_name
    with story.step(f"{who}'s phone is refused by the identity provider") as step:
        before = len(application.signed_in)
        with revoked.phone.unlock(revoked.hand.secret):
            told = _refusal(revoked, application)
        step.show("nobody was signed in", len(application.signed_in) == before, "web application")
        step.show("the page says why", "revoked" in told.lower(), "identity provider")
        with kept.phone.unlock(kept.hand.secret):
            kept.phone.sign_in(BROWSER, application.url, approve=lambda _: True)
        name = application.signed_in[-1].get("name")
        step.show(f"{kept.person.display_name} still signs in", name == kept.person.display_name, "web application")
    _web(story, world, servers, revoked, accepted=False)
    _web(story, world, servers, kept, accepted=True)
    _network(story, world, servers, revoked, accepted=False)
    _network(story, world, servers, kept, accepted=True)
    with story.step("A mail signed before is not believed any more; the other person's is") as step:
        _require("openssl")
        judgement = relying_parties.judge_signed_mail(world, mail, revoked.person.address)
        step.judged("the signer is revoked", judgement, accepted=False, naming="revoked")
        with kept.phone.unlock(kept.hand.secret):
            other = kept.phone.sign_mail(kept.person.address, MESSAGE)
        judgement = relying_parties.judge_signed_mail(world, other, kept.person.address)
        step.judged("the other signature holds", judgement, accepted=True)
    with story.step("OpenSSL asks OCSP about both") as step:
        _require("openssl")
        for held, good in ((revoked, False), (kept, True)):
            judgement = ocsp(world, held)
            naming = "" if good else "revoked"
            step.judged(
                f"{held.person.display_name}: {'good' if good else 'revoked'}", judgement, accepted=good, naming=naming
            )


def ocsp(world: World, held: Held) -> Judgement:
    """Ask our OCSP responder about a phone's authentication certificate, with OpenSSL."""
    file = world.folder("judges") / f"{held.person.key}-ocsp.pem"
    file.write_bytes(relying_parties.certificate_pem(held.phone.device, Purpose.AUTHENTICATION))
    return openssl_status.ask(
        file,
        issuer=world.authority_pem("derived"),
        responder=f"{world.status}/ocsp/derived",
        anchors=world.authority_pem("derived-root", "derived"),
        directory=world.folder("judges"),
    )


def _web(story: Story, world: World, servers: Servers, held: Held, *, accepted: bool) -> None:
    verb = "is accepted by" if accepted else "is refused by"
    with story.step(f"{held.person.display_name}'s credential {verb} nginx (mutual TLS)") as step:
        _require("nginx", "curl", "softhsm2-util")
        with held.phone.unlock(held.hand.secret):
            for kind, server in servers.web.items():
                judgement = relying_parties.visit_web_server(world, server, held)
                _judged(step, f"by {kind.upper()}", judgement, accepted=accepted)


def _network(story: Story, world: World, servers: Servers, held: Held, *, accepted: bool) -> None:
    verb = "joins" if accepted else "is kept out of"
    with story.step(f"{held.person.display_name}'s phone {verb} the office network (EAP-TLS)") as step:
        _require("freeradius", "eapol_test", "softhsm2-util")
        with held.phone.unlock(held.hand.secret):
            for kind, server in servers.radius.items():
                supplicant, judgement = relying_parties.join_network(world, server, held)
                if (supplicant.verdict is Verdict.ACCEPTED) is not accepted:
                    raise Untruth(f"the supplicant says {supplicant.verdict.value}: {supplicant.output[-1500:]}")
                step.judgements.append(supplicant)
                _judged(step, f"by {kind.upper()}", judgement, accepted=accepted)


def _judged(step: Step, claim: str, judgement: Judgement, *, accepted: bool) -> None:
    naming = "" if accepted else "revoked"
    step.judged(
        f"{'accepted' if accepted else 'refused'}, revocation {claim}", judgement, accepted=accepted, naming=naming
    )


def _refusal(held: Held, application: Application) -> str:
    """Try to sign in and return what the person is told."""
    try:
        return held.phone.sign_in(BROWSER, application.url, approve=lambda _: True).text
    except EtymonError as refusal:
        return f"{refusal.code} {refusal.detail}"


def _require(*names: str) -> None:
    lacking = missing(*names)
    if lacking:
        raise ProgramsMissing(lacking)
