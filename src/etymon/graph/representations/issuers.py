# SPDX-License-Identifier: Apache-2.0
"""The derived-credential issuer of an organisation."""

from typing import Annotated, Any, Final

from pydantic import Field

from etymon.graph.representations.body import Body, Text, required
from etymon.kernel.errors import Malformed
from etymon.mdm.credential_issuer import CredentialIssuer, IssuerKind, IssuerTerms

TYPE: Final = "#microsoft.graph.deviceManagementDerivedCredentialSettings"
FLAGS: Final = frozenset({"none", "companyPortal", "email"})


class IssuerBody(Body):
    """An issuer that is set or changed."""

    display_name: Text | None = None
    help_url: Text | None = None
    issuer: Text | None = None
    notification_type: Text | None = None
    renewal_threshold_percentage: Annotated[int, Field(ge=1, le=99)] | None = None
    etymon_issuer_url: Text | None = None

    def terms(self, before: IssuerTerms | None = None) -> IssuerTerms:
        """Return what is wanted, where nothing is said as before; raises Malformed."""
        flags = self._flags()
        return IssuerTerms(
            display_name=required(self.display_name or (before.display_name if before else None), "displayName"),
            url=required(self.etymon_issuer_url or (before.url if before else None), "etymonIssuerUrl"),
            kind=self._kind(before),
            help_url=self.told("help_url", before.help_url if before else ""),
            notify_phone=("companyPortal" in flags) if flags else (before.notify_phone if before else True),
            notify_mail=("email" in flags) if flags else (before.notify_mail if before else True),
            renewal_threshold_percentage=self.told(
                "renewal_threshold_percentage", before.renewal_threshold_percentage if before else 20
            ),
        )

    def _kind(self, before: IssuerTerms | None) -> IssuerKind:
        named = required(self.issuer or (before.kind.value if before else None), "issuer")
        try:
            return IssuerKind(named)
        except ValueError as exc:
            raise Malformed("issuer_not_supported", "There is no connector to this issuer; issuer is etymon.") from exc

    def _flags(self) -> frozenset[str]:
        if self.notification_type is None:
            return frozenset()
        flags = frozenset(part.strip() for part in self.notification_type.split(","))
        if not flags <= FLAGS or ("none" in flags and len(flags) > 1):
            raise Malformed("malformed", "notificationType is none, companyPortal, email or companyPortal,email.")
        return flags


def issuer(shown: CredentialIssuer) -> dict[str, Any]:
    """Show an issuer."""
    ways = (("companyPortal", shown.terms.notify_phone), ("email", shown.terms.notify_mail))
    return {
        "@odata.type": TYPE,
        "id": shown.id,
        "displayName": shown.terms.display_name,
        "helpUrl": shown.terms.help_url,
        "issuer": shown.terms.kind.value,
        "notificationType": ",".join(name for name, is_used in ways if is_used) or "none",
        "renewalThresholdPercentage": shown.terms.renewal_threshold_percentage,
        "etymonIssuerUrl": shown.terms.url,
        "etymonIssuerName": shown.described_name,
        "etymonSelfServiceUrl": shown.self_service_url,
    }
