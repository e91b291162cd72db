# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from etymon.ca import ceremony, policies
from etymon.ca.model import SubjectNames
from etymon.kernel.errors import Malformed
from etymon.server import config_file, settings, unsafe_settings

SAFE: dict[str, object] = {"organization": "Agency", "status_url": "http://status.agency.example"}


def test_safe_settings_give_the_public_addresses() -> None:
    made = settings.checked({**SAFE, "host": "id.agency.example", "site_port": 443})
    assert made.site_url == "https://id.agency.example"
    assert made.certauth_url == "https://id.agency.example:8444"


def test_whoever_names_no_list_of_compromised_keys_is_told_how_to_get_one() -> None:
    (told,) = unsafe_settings.advice(settings.checked(SAFE))
    assert "openssl-blacklist" in told
    for name in ("weak_key_lists", "compromised_key_lists"):
        assert not list(unsafe_settings.advice(settings.checked({**SAFE, name: ["list"]})))


FRONTED: dict[str, object] = {
    "host": "etymon.agency.example",
    "site_url": "https://Etymon.Agency.Example:443/",
    "certauth_url": "https://certauth.agency.example",
    "device_url": "https://etymon.agency.example:8445",
    "proxies": ["127.0.0.2", "2001:DB8:0::1"],
    "tls_chain_file": "chain.pem",
}


def test_behind_a_proxy_public_addresses_differ_from_what_is_bound() -> None:
    made = settings.checked({**SAFE, **FRONTED, "site_port": 9443})
    assert made.site_url == "https://etymon.agency.example", "as a browser writes the origin"
    assert made.certauth_url == "https://certauth.agency.example"
    assert made.device_url == "https://etymon.agency.example:8445"
    assert made.proxies == ("127.0.0.2", "2001:db8::1"), "as a listener sees the neighbour"


def test_a_host_may_be_an_address() -> None:
    made = settings.checked({**SAFE, "host": "2001:db8::1", "certauth_port": 443})
    assert (made.site_url, made.certauth_url) == ("https://[2001:db8::1]:8443", "https://[2001:db8::1]")


@pytest.mark.parametrize(
    ("site", "certauth"),
    [
        ("etymon.agency.example", "certauth.agency.example"),
        ("agency.example", "certauth.agency.example"),
        ("etymon.agency.example", "certauth.etymon.agency.example"),
        ("etymon.agency.example", "agency.example"),
    ],
)
def test_certauth_may_have_another_host_of_the_domain(site: str, certauth: str) -> None:
    urls = {"site_url": f"https://{site}", "certauth_url": f"https://{certauth}", "device_url": f"https://{site}:1"}
    assert settings.checked({**SAFE, **urls}).certauth_url == f"https://{certauth}"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tls_chain_file": ""}, "tls_chain_file"),
        ({"proxies": []}, "tls_key_file"),
        ({"tls_chain_file": "", "tls_key_file": "key.pem"}, "tls_chain_file"),
        ({"proxies": ["0.0.0.0"]}, "proxies"),  # noqa: S104 - refused here
        ({"proxies": ["10.0.0.0/8"]}, "proxies"),
        ({"proxies": ["224.0.0.1"]}, "proxies"),
        ({"site_url": "http://etymon.agency.example"}, "site_url"),
        ({"site_url": "https://etymon.agency.example/etymon"}, "site_url"),
        ({"site_url": "https://etymon.agency.example?a=1"}, "site_url"),
        ({"site_url": "https://ada@etymon.agency.example"}, "site_url"),
        ({"site_url": "https://etymon.agency.example:0x1"}, "site_url"),
        ({"site_url": "https://"}, "site_url"),
        ({"site_url": "https://etymon.agency.example; https://elsewhere.example"}, "site_url"),
        ({"site_url": "https://bücher.agency.example"}, "site_url"),
        ({"certauth_url": "https://etymon.agency.example"}, "certauth_url"),
        ({"certauth_url": "https://etymon.agency.example:8445"}, "certauth_url"),
        ({"device_url": "https://etymon.agency.example"}, "device_url"),
        ({"device_url": "https://device.agency.example"}, "device_url"),
        ({"certauth_url": "https://certauth.elsewhere.example"}, "certauth_url"),
        ({"certauth_url": "https://192.0.2.1"}, "certauth_url"),
    ],
)
def test_what_cannot_work_or_is_unsafe_behind_a_proxy_refuses_to_start(change: dict[str, object], named: str) -> None:
    with pytest.raises(Malformed) as refusal:
        settings.checked({**SAFE, **FRONTED, **change})
    assert refusal.value.code == "unsafe_or_wrong_settings"
    assert named in refusal.value.detail


def test_a_wrong_host_or_port_is_told_once() -> None:
    with pytest.raises(Malformed) as refusal:
        settings.checked({**SAFE, "site_port": 70000})
    assert refusal.value.detail.startswith("site_port: ")
    assert "site_url" not in refusal.value.detail


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"status_url": "http://127.0.0.1:8080"}, "status_url"),
        ({"status_url": "https://status.agency.example"}, "status_url"),
        ({"status_url": "http://localhost:8080", "loopback_demo": True, "bind": "0.0.0.0"}, "bind"),  # noqa: S104 - refused here
        ({"tls_chain_file": "chain.pem"}, "tls_key_file"),
        ({"smtp_host": "mail.agency.example"}, "mail_from"),
        ({"smtp_host": "mail.agency.example", "mail_from": "Etymon <a@b.example>"}, "mail_from"),
        ({"smtp_host": "mail.agency.example", "mail_from": "a@b.example", "smtp_tls": "none"}, "smtp_tls"),
        ({"smtp_user": "etymon"}, "smtp_password_file"),
        ({"proxies": ("proxy.agency.example",)}, "proxies"),
        ({"site_port": 8444}, "site_port"),
        ({"site_port": 70000}, "site_port"),
        ({"provisioning_component": "org.example/.Receiver"}, "provisioning_download"),
        ({"provisioning_download": "http://agency.example/a.apk"}, "provisioning_download"),
        ({"termination_hours": 19}, "termination_hours"),
        ({"rekey_grace_days": 0}, "rekey_grace_days"),
        ({"termination_hours": 12}, "termination_alarm_hours"),
        ({"card_revocation": {"superceded": "keep"}}, "card_revocation"),
        ({"card_revocation": {"superseded": "ignore"}}, "card_revocation"),
        ({"policy_arc": "federal"}, "policy_arc"),
        ({"organization": ""}, "organization"),
        ({"colour": "blue"}, "colour"),
        ({"escrow_keep_days": 364}, "escrow_keep_days"),
    ],
)
def test_an_unsafe_or_wrong_value_refuses_to_start_and_names_the_setting(change: dict[str, object], named: str) -> None:
    with pytest.raises(Malformed) as refusal:
        settings.checked({**SAFE, **change})
    assert refusal.value.code == "unsafe_or_wrong_settings"
    assert named in refusal.value.detail


def test_a_missing_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="etymon init"):
        config_file.load(tmp_path)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('organization = "Agency"\nstatus_url = "http://status.agency.example"\n')
    monkeypatch.setenv("ETYMON_LOG_LEVEL", "debug")
    assert config_file.load(tmp_path).log_level == "debug"


def test_every_setting_is_described() -> None:
    assert all(default and meaning for _, default, meaning in settings.described())
    assert ("site_url", "(host and port)") in {(name, default) for name, default, _ in settings.described()}


FEDERAL_DERIVED = "2.16.840.1.101.3.2.1.3.40"


def test_policies_come_from_the_organisations_arc_or_are_chosen_one_by_one() -> None:
    own = settings.checked({**SAFE, "policy_arc": "1.3.6.1.4.1.32473.1"}).minted_policies
    assert own["derived-piv-authentication"] == "1.3.6.1.4.1.32473.1.40"
    chosen = {"policy_oids": {"derived-piv-authentication": FEDERAL_DERIVED}, "authorized_policies": [FEDERAL_DERIVED]}
    mixed = settings.checked({**SAFE, **chosen}).minted_policies
    assert (mixed["derived-piv-authentication"], mixed["tls-server"]) == (FEDERAL_DERIVED, "2.999.1.102")


def test_the_federal_family_is_minted_by_whoever_was_authorized() -> None:
    arc = "2.16.840.1.101.3.2.1.3"
    allowed = {"policy_family": "federal", "authorized_policies": [f"{arc}.6", f"{arc}.8", f"{arc}.40"]}
    minted = settings.checked({**SAFE, **allowed}).minted_policies
    assert {minted[name] for name in policies.DEPLOYMENT_POLICIES} == {f"{arc}.6", f"{arc}.8", f"{arc}.40"}
    piv_i = settings.checked({**SAFE, "policy_family": "piv-i"}).minted_policies
    assert (piv_i["piv-i-authentication"], piv_i["subscriber"]) == (f"{arc}.45", "2.999.1.6")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"policy_family": "federal"}, "authorized_policies: 2.16.840.1.101.3.2.1.3.40 for derived-piv-authentication"),
        ({"policy_arc": "2.16.840.1.101.3.2.1.3"}, "is a policy of the United States Government"),
        ({"policy_arc": "2.16.840.1.101.3.2.1.48"}, "is a policy of the United States Government"),
        ({"policy_oids": {"subscriber": "2.16.840.1.101.2.1.11.42"}}, "2.16.840.1.101.2.1.11.42 for subscriber"),
        ({"policy_oids": {"subscriber": "2.5.29.32.0"}}, "is a policy of the X.509 standard"),
        ({"policy_oids": {"derived": "2.999.7"}}, "policy_oids: there is no policy called derived"),
        ({"policy_oids": {"subscriber": "2.999.07"}}, "policy_oids.subscriber"),
    ],
)
def test_nobody_mints_a_policy_of_somebody_elses_by_accident(change: dict[str, object], told: str) -> None:
    with pytest.raises(Malformed) as caught:
        settings.checked({**SAFE, **change})
    assert told in caught.value.detail


@pytest.mark.parametrize(
    ("name", "oid"),
    [
        *(("derived-piv-authentication", f"2.16.840.1.101.3.2.1.3.{arc}") for arc in (13, 41, 45)),
        *(("subscriber", f"2.16.840.1.101.3.2.1.3.{arc}") for arc in (4, 7, 12, 15, 16, 18)),
        ("device-identity", "2.16.840.1.101.3.2.1.3.36"),
        ("managed-endpoint", "2.16.840.1.101.3.2.1.3.38"),
        ("subscriber", "2.16.840.1.101.3.2.1.3.20"),
        ("subscriber", "2.16.840.1.101.3.2.1.3.39"),
        ("derived-piv-authentication", "2.16.840.1.101.3.2.1.3.47"),
        ("derived-piv-authentication", "2.16.840.1.101.3.2.1.48.110"),
        ("subscriber", "2.16.840.1.101.2.1.11.44"),
        ("subscriber", "2.16.840.1.101.3.2.1.12.10"),
        ("subscriber", "2.999.1.41"),
        ("derived-piv-authentication", "1.3.6.1.4.1.32473.1.41"),
    ],
)
def test_nobody_is_authorized_to_claim_hardware_for_software_keys(name: str, oid: str) -> None:
    chosen = {"policy_arc": "1.3.6.1.4.1.32473.1", "policy_oids": {name: oid}, "authorized_policies": [oid]}
    with pytest.raises(Malformed) as caught:
        settings.checked({**SAFE, **chosen})
    assert f"policy_oids: {oid} for {name} is a policy of keys in validated hardware" in caught.value.detail
    assert "biometric" in caught.value.detail


def test_what_is_recognised_counts_as_hardware_unless_software_keys_have_it() -> None:
    oids = {
        oid for name in policies.EXAMPLE_POLICY_OIDS for oid in policies.recognised(name) if policies.is_federal(oid)
    }
    of_software = {f"2.16.840.1.101.3.2.1.3.{arc}" for arc in (6, 8, 37, 40)}
    assert oids - policies.HARDWARE_POLICIES == of_software


def test_no_oid_is_chosen_for_what_is_not_issued() -> None:
    with pytest.raises(Malformed, match="nothing is issued under derived-piv-authentication-hardware"):
        settings.checked({**SAFE, "policy_oids": {"derived-piv-authentication-hardware": "2.999.7"}})


def test_the_policies_that_are_checked_are_those_the_authorities_pass_on() -> None:
    passed_on = {name for new in ceremony.deployment(SubjectNames()) for name in new.policies}
    assert passed_on == policies.DEPLOYMENT_POLICIES


def test_what_init_writes_is_read_again(tmp_path: Path) -> None:
    chosen: dict[str, object] = {
        **SAFE,
        "policy_oids": {"derived-piv-authentication": FEDERAL_DERIVED, "subscriber": "2.999.7"},
        "authorized_policies": [FEDERAL_DERIVED],
        "policy_family": "own",
    }
    (tmp_path / "config.toml").write_bytes(config_file.as_toml(settings.checked(chosen), chosen))
    assert config_file.load(tmp_path) == settings.checked(chosen)


def test_people_are_called_as_the_policy_says_where_its_policies_are_minted() -> None:
    assert settings.checked(SAFE).allowed_common_names == frozenset()
    minted = {**SAFE, "policy_family": "piv-i"}
    assert len(settings.checked(minted).allowed_common_names) == 4
    assert settings.checked({**minted, "common_name_forms": []}).allowed_common_names == frozenset()
    chosen = settings.checked({**SAFE, "common_name_forms": ["last.first.middle"]}).allowed_common_names
    assert chosen == {"last.first.middle"}
    with pytest.raises(Malformed, match="common_name_forms"):
        settings.checked({**SAFE, "common_name_forms": ["any"]})
