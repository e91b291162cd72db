# SPDX-License-Identifier: Apache-2.0
"""A stand-in web application and the identity provider it sends people to, by docs/protocols/certificate-proof.md."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from support.card_issuer import authority, server_certificate
from support.https_site import HOST, Answer, Asked, listening, server_context
from support.tls_files import certificates_pem, key_pem


@dataclass
class RelyingParty:
    """Three listeners: the application, the provider's site, its certauth, which alone asks for a certificate."""

    client_ca: x509.Certificate
    application: str = ""
    provider: str = ""
    certauth: str = ""
    refuse: str = ""
    """A code with which certauth refuses whatever it is shown."""
    shown: list[x509.Certificate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tls = authority("Web CA")

    def at_application(self, asked: Asked) -> Answer:
        path = asked.path.partition("?")[0]
        if path == "/login":
            return Answer.redirect(f"{self.provider}/idp/authorize?state=s1")
        if path == "/callback" and asked.query == {"code": "the-code", "state": "s1"}:
            return Answer.redirect("/home", Set_Cookie="session=1; Secure; Path=/")
        if path == "/home" and "session=1" in asked.headers.get("Cookie", ""):
            return Answer.html(
                '<main data-code="home">Hello Alice<form method="post" action="/sign-out"></form></main>'
            )
        return Answer.html("<p>public</p>")

    def at_provider(self, asked: Asked) -> Answer:
        path = asked.path.partition("?")[0]
        cookies = asked.headers.get("Cookie", "")
        if path == "/idp/authorize" and "signed-in=1" in cookies:
            return Answer.redirect(f"{self.application}/callback?code=the-code&state=s1")
        if path == "/idp/authorize":
            form = '<form method="post" action="/idp/sign-in"><input type="hidden" name="csrf" value="a&amp;b">'
            return Answer.html(f'<main data-code="sign_in">{form}<button>Sign in</button></form></main>')
        if path == "/idp/sign-in" and asked.form == {"csrf": "a&b"}:
            proof = "__Host-etymon-idp-proof=p; Secure; HttpOnly; SameSite=Lax; Path=/"
            return Answer.redirect(f"{self.certauth}/idp/certauth?request=r", Set_Cookie=proof)
        if path == "/idp/certauth/return" and asked.form == {"code": "once"} and "idp-proof=p" in cookies:
            return Answer.redirect("/idp/authorize?state=s1", Set_Cookie="signed-in=1; Secure; Path=/")
        return Answer.html('<main data-code="not_found"></main>', 404)

    def at_certauth(self, asked: Asked) -> Answer:
        if self.refuse or asked.peer is None:
            code = self.refuse or "certificate_required"
            return Answer.html(f'<main data-code="{code}"></main>', 403 if self.refuse else 401)
        self.shown.append(asked.peer)
        form = f'<form method="post" action="{self.provider}/idp/certauth/return">'
        field = '<input type="hidden" name="code" value="once"><button type="submit">Continue</button></form>'
        return Answer.html(f"<main>{form}{field}</main>")


@contextmanager
def relying_party(directory: Path, client_ca: x509.Certificate) -> Iterator[RelyingParty]:
    """Run the three listeners until the block ends."""
    party = RelyingParty(client_ca)
    certificate, key = server_certificate(party.tls, addresses=(HOST,))
    chain, private = directory / "web.pem", directory / "web.key"
    chain.write_text(certificates_pem([certificate]))
    private.write_bytes(key_pem(key))
    with ExitStack() as running:
        plain = server_context(chain, private)
        asking = server_context(chain, private, client_ca=client_ca)
        party.application = f"https://{HOST}:{running.enter_context(listening(party.at_application, plain))}"
        party.provider = f"https://{HOST}:{running.enter_context(listening(party.at_provider, plain))}"
        party.certauth = f"https://{HOST}:{running.enter_context(listening(party.at_certauth, asking))}"
        yield party
