# SPDX-License-Identifier: Apache-2.0
"""Coming back from certauth, seeing who is signed in, signing out."""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.directory import people
from etymon.idp import sign_in
from etymon.idp.http.authorize import ACCOUNT_PATH
from etymon.idp.http.site import Site, Visiting
from etymon.idp.model import ACR_CARD, Purpose
from etymon.idp.store.proofs import ProofTable
from etymon.web.exchange import Request


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the session."""
    face = _Face(site)
    return [
        site.route(site.proof.return_path, face.come_back, methods=["POST"]),
        site.route(ACCOUNT_PATH, face.account, methods=["GET"]),
        site.route("/idp/sign-out", face.account, methods=["GET"]),
        site.route("/idp/sign-out", face.sign_out, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Face:
    site: Site

    def come_back(self, request: Request) -> Response:
        """Take the code of a certificate proof and go on with what it was made for."""
        with (
            self.site.noted("idp:proof:refused", request, "proof"),
            self.site.visiting(request) as visiting,
        ):
            redeemed = self.site.proof.redeem(ProofTable(visiting.tx, visiting.browser), request)
            purpose = Purpose(redeemed.request.purpose.partition(":")[0])
            target = redeemed.request.continue_at
            if purpose in {Purpose.SIGN_IN, Purpose.SIGN_IN_WITH_CARD}:
                visit = sign_in.begin(visiting.tx, self.site.deps, visiting.visit, redeemed.request.id, redeemed.proof)
                return self.site.proof.forget(self.site.go(visit, target))
            separator = "&" if "?" in target else "?"
            target += separator + urlencode({"proof": str(redeemed.request.id)})
            return self.site.proof.forget(self.site.go(visiting.visit, target))

    def account(self, request: Request) -> Response:
        """Say who is signed in at this browser."""
        with self.site.looking(request) as visiting:
            who = sign_in.signed_in(visiting.tx, visiting.visit)
            person = people.find(visiting.tx, who.person) if who is not None else None
            if who is None or person is None:
                return self.site.page(visiting, "sign_in.html", {"client": "", "card_only": False, "continue_at": ""})
            return self.site.page(
                visiting,
                "account.html",
                {
                    "name": person.display_name,
                    "principal": person.user_principal_name,
                    "with_card": who.acr == ACR_CARD,
                    "since": who.at,
                },
            )

    def sign_out(self, request: Request) -> Response:
        """End the session at this browser."""
        with self.site.submitted(request) as (visiting, _):
            visit = sign_in.end(visiting.tx, self.site.deps, visiting.visit)
            return self.site.page(Visiting(visiting.tx, request, visit, ""), "signed_out.html")
