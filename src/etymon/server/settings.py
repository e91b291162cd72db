# SPDX-License-Identifier: Apache-2.0
"""Settings of a deployment: made once of `config.toml` and `ETYMON_…` variables, frozen, checked before use.

Values that would make the site unsafe are refused here, with the setting's name and what to write instead.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from etymon.ca import policies
from etymon.ca.common_names import CommonNameForm
from etymon.ca.policies import PolicyFamily
from etymon.issuer.model import CardRevocation
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.server import addresses, unsafe_settings


def _made_of(port: str) -> Callable[[dict[str, Any]], str]:
    """Return what makes a listener's address of the host and of the setting `port`."""
    return lambda read: addresses.https_address(read["host"], read[port])


PolicyOID = Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9]\d*))+$", max_length=100)]


def _words_of(value: object) -> object:
    """Return a list for words that are typed in one text: `etymon init --set` knows no lists."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


class Settings(BaseSettings):
    """Every setting, with its meaning as its description. `etymon settings` prints this class."""

    model_config = SettingsConfigDict(env_prefix="ETYMON_", frozen=True, extra="forbid")

    organization: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Name of the organisation, as people and certificates show it."
    )
    host: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        default="localhost", description="DNS name of the site; its own server certificate is for it."
    )
    bind: str = Field(default="127.0.0.1", description="Address the listeners bind to; loopback unless told otherwise.")
    site_port: int = Field(default=8443, ge=0, le=65535, description="Port of the site: pages, sign-in, API.")
    certauth_port: int = Field(default=8444, ge=0, le=65535, description="Port where cards are proved.")
    device_port: int = Field(default=8445, ge=0, le=65535, description="Port for managed phones: check-in, EST.")
    status_port: int = Field(default=8080, ge=0, le=65535, description="Plain HTTP port for CRL and OCSP.")
    site_url: Annotated[str, AfterValidator(addresses.https_origin)] = Field(
        default_factory=_made_of("site_port"),
        description="Where people and phones reach the site, if not at host and site_port: behind a proxy.",
    )
    certauth_url: Annotated[str, AfterValidator(addresses.https_origin)] = Field(
        default_factory=_made_of("certauth_port"),
        description="Where browsers reach certauth, if not at host and certauth_port.",
    )
    device_url: Annotated[str, AfterValidator(addresses.https_origin)] = Field(
        default_factory=_made_of("device_port"),
        description="Where phones check in, if not at host and device_port; on the host of `site_url`.",
    )
    most_connections: int = Field(
        default=800,
        ge=16,
        le=100_000,
        description="Connections each listener keeps at a time; one for each phone that waits for news, and some more.",
    )
    status_url: Annotated[str, AfterValidator(addresses.http_origin)] = Field(
        description="Where relying parties find CRL and OCSP. Fixed at `init`: certificates carry it."
    )
    public_directory: str = Field(
        default="", description="Where CRLs and CA certificates lie for web servers; empty: `public` in the data."
    )
    ocsp_nonces: bool = Field(
        default=True, description="OCSP answers carry the nonce they were asked with; off: all are kept ones."
    )
    maximum_hold_days: int = Field(
        default=30, ge=1, le=3 * 365, description="Days after which a held certificate that nobody restored is revoked."
    )
    loopback_demo: bool = Field(
        default=False,
        description="Allows a loopback `status_url`; certificates issued so are of no use on another machine.",
    )
    database_url: str = Field(
        default="", description="SQLAlchemy address of the database; empty means SQLite in the data directory."
    )
    tls_chain_file: str = Field(
        default="",
        description="PEM chain that people and phones are shown; empty means a certificate of the deployment's TLS CA.",
    )
    tls_key_file: str = Field(
        default="", description="PEM key that goes with `tls_chain_file`; empty where only the proxies hold it."
    )
    proxies: tuple[Annotated[str, AfterValidator(addresses.neighbour)], ...] = Field(
        default=(), description="Addresses of reverse proxies, which set Client-Cert and X-Forwarded-For anew."
    )
    metrics_readers: tuple[str, ...] = Field(
        default=("127.0.0.1", "::1"), description="Addresses that may read /metrics; a proxy's never counts."
    )
    pkcs11_module: str = Field(
        default="",
        description="PKCS#11 module of the token that keeps the keys of `pkcs11_holds`; empty: files of `keys/`.",
    )
    pkcs11_token_label: str = Field(default="", description="Label of the token; its serial number or slot may do.")
    pkcs11_token_serial: str = Field(default="", description="Serial number of the token.")
    pkcs11_slot: int | None = Field(default=None, ge=0, description="Slot of the token; modules may number them anew.")
    pkcs11_pin_file: str = Field(
        default="",
        description="File whose first line is the token's PIN; empty: the service credential etymon-token-pin.",
    )
    pkcs11_holds: Annotated[
        tuple[Literal["derived", "device", "tls", "managed", "escrow"], ...], NoDecode, BeforeValidator(_words_of)
    ] = Field(
        default=("derived", "device", "tls", "managed", "escrow"),
        description="Whose keys are made in the token: authorities with their responders, and escrow.",
    )
    policy_arc: str = Field(
        default="2.999.1",
        pattern=r"^[0-2](\.\d+)+$",
        description="OID arc under which the organisation mints certificate policies (2.999 is the example arc).",
    )
    policy_family: PolicyFamily = Field(
        default=PolicyFamily.OWN,
        description="Whose policies are minted: own (policy_arc), piv-i or federal (the Common Policy's).",
    )
    policy_oids: dict[str, PolicyOID] = Field(
        default={}, description="Policy OIDs chosen one by one, by name (docs/certificate-profiles.md)."
    )
    authorized_policies: tuple[PolicyOID, ...] = Field(
        default=(), description="Policy OIDs of somebody else's arc that the organisation was authorized to assert."
    )
    common_name_forms: tuple[CommonNameForm, ...] | None = Field(
        default=None,
        description="Forms of people's names in certificates: nickname-last, first-initial-last, first-middle-last, "
        "last.first.middle. Unset: any, and these four where policy_family is not own.",
    )
    weak_key_lists: tuple[str, ...] = Field(
        default=(),
        description="Files of keys that nobody certifies, in the form of Debian's openssl-blacklist, whose package has "
        "them. Set this or compromised_key_lists: none is shipped.",
    )
    compromised_key_lists: tuple[str, ...] = Field(
        default=(), description="Files of keys that nobody certifies: SHA-256 of a SubjectPublicKeyInfo on each line."
    )
    rekey_days: int = Field(
        default=30,
        ge=1,
        le=365,
        description="Days before its end from which a derived credential is rekeyed; at most its last third.",
    )
    rekey_grace_days: int = Field(
        default=7, ge=1, le=90, description="Days after which a replaced credential ends, used or not."
    )
    changed_data_days: int = Field(
        default=30,
        ge=1,
        le=90,
        description="Days after which a credential ends that gives a name or address its person no longer has.",
    )
    termination_hours: float = Field(
        default=18,
        gt=0,
        le=18,
        description="By when everything of an account that ended is revoked and published (FIPS 201-3: 18 hours).",
    )
    termination_alarm_hours: float = Field(
        default=12, gt=0, le=18, description="When Officers are told that the end of an account takes so long."
    )
    card_status_hours: float = Field(
        default=24, ge=0.25, le=168, description="How often the status of the cards behind credentials is asked."
    )
    card_revocation: dict[str, CardRevocation] = Field(
        default={},
        description="What follows from a card's revocation, by reason: lookback (otherwise), end, or keep and tell.",
    )
    card_lookback_days: int = Field(
        default=7, ge=7, le=90, description="Days in which a card's end makes what it derived suspect (SP 800-157: 7)."
    )
    escrow_keep_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Days from its certificate's end to the destruction of an escrowed key, at least 365; 0 keeps all.",
    )
    smtp_host: str = Field(default="", description="Mail server for notices; empty means no mail can be sent.")
    smtp_port: int = Field(default=25, ge=1, le=65535, description="Port of the mail server.")
    smtp_tls: Literal["none", "starttls", "tls"] = Field(default="starttls", description="Protection towards it.")
    smtp_user: str = Field(default="", description="Name to sign in to the mail server with; empty for none.")
    smtp_password_file: str = Field(default="", description="File that holds the password for `smtp_user`.")
    mail_from: str = Field(default="", description="Sender address of notices, as name@host alone.")
    provisioning_component: str = Field(
        default="", description="Android component of the agent (package/.Receiver); empty: QR for the simulator only."
    )
    provisioning_download: str = Field(default="", description="https address of the agent's package file.")
    provisioning_checksum: str = Field(default="", description="base64url SHA-256 of the agent's signing certificate.")
    ndes_connector: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$")] = Field(
        default="", description="SCEP connector that is at /certsrv/mscep/mscep.dll too; empty for none."
    )
    intune_tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,100}$")] = Field(
        default="", description="Microsoft Entra tenant whose Intune confirms SCEP requests; empty for none."
    )
    intune_client_id: str = Field(default="", description="Application id that signs in at the tenant.")
    intune_client_secret_file: str = Field(default="", description="File that holds the application's secret.")
    intune_login_url: Annotated[str, AfterValidator(addresses.https_origin)] = Field(
        default="https://login.microsoftonline.com", description="Where the tenant's tokens come from."
    )
    intune_graph_url: Annotated[str, AfterValidator(addresses.https_origin)] = Field(
        default="https://graph.microsoft.com", description="Where Intune's services are looked up."
    )
    intune_scope: str = Field(
        default="https://api.manage.microsoft.com//.default",
        description="Scope of the token for Intune's services; some tenants take it with one slash.",
    )
    intune_service_hosts: tuple[str, ...] = Field(
        default=("manage.microsoft.com",),
        description="Domains under which Intune's services may be; no other host is talked to.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over `config.toml`; read nothing else."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        problems = list(unsafe_settings.faults(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def minted_policies(self) -> Mapping[str, str]:
        """Policy names to the OIDs that certificates assert."""
        return policies.policy_oids(self.policy_family, self.policy_arc, self.policy_oids)

    @property
    def allowed_common_names(self) -> frozenset[CommonNameForm]:
        """The forms of a person's common name; any where none is named."""
        if self.common_name_forms is None and self.policy_family is not PolicyFamily.OWN:
            return frozenset(CommonNameForm)
        return frozenset(self.common_name_forms or ())

    def intune_client_secret(self) -> Secret[str]:
        """Read the secret of the application at the tenant."""
        return _kept_in("intune_client_secret_file", self.intune_client_secret_file)

    def smtp_password(self) -> Secret[str] | None:
        """Read the password for `smtp_user`; None where none is configured."""
        return _kept_in("smtp_password_file", self.smtp_password_file) if self.smtp_password_file else None


def _kept_in(setting: str, file: str) -> Secret[str]:
    try:
        return Secret(Path(file).read_text("utf-8").strip())
    except OSError as exc:
        raise Malformed(setting, f"{file} cannot be read.") from exc


def checked(values: dict[str, object]) -> Settings:
    """Return the settings made of `values` and the environment; raise Malformed with what to change."""
    try:
        return Settings(**values)  # type: ignore[arg-type]  # pydantic checks each of them
    except ValidationError as exc:
        causes = [fault for fault in exc.errors() if fault["type"] != "default_factory_not_called"]
        faults = [(".".join(map(str, fault["loc"])), _words(fault)) for fault in causes]
        told = "; ".join(f"{name or 'settings'}: {text}" for name, text in faults)
        raise Malformed("unsafe_or_wrong_settings", told) from exc


def _words(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such setting; see `etymon settings`"
    if fault["type"] == "tuple_type":
        return 'a list, which config.toml and the environment take: ["192.0.2.1", "192.0.2.2"]'
    return fault["msg"].removeprefix("Value error, ")


def described() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of every setting."""
    for name, field in Settings.model_fields.items():
        default = "(required)" if field.is_required() else repr(field.default)
        if field.default_factory is not None:
            default = "(host and port)"
        yield name, default, field.description or ""
