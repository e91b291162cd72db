# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from etymon.kernel.errors import Malformed
from etymon.server import settings

SAFE: dict[str, object] = {"organization": "Agency", "status_url": "http://status.agency.example"}


def test_safe_settings_give_the_public_addresses() -> None:
    made = settings.checked({**SAFE, "host": "id.agency.example", "site_port": 443})
    assert made.site_url == "https://id.agency.example"
    assert made.certauth_url == "https://id.agency.example:8444"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"status_url": "http://127.0.0.1:8080"}, "status_url"),
        ({"status_url": "https://status.agency.example"}, "status_url"),
        ({"status_url": "http://localhost:8080", "loopback_demo": True, "bind": "0.0.0.0"}, "bind"),  # noqa: S104 - refused here
        ({"tls_chain_file": "chain.pem"}, "tls_key_file"),
        ({"smtp_host": "mail.agency.example"}, "mail_from"),
        ({"smtp_host": "mail.agency.example", "mail_from": "a@b.example", "smtp_tls": "none"}, "smtp_tls"),
        ({"smtp_user": "etymon"}, "smtp_password_file"),
        ({"proxies": ("proxy.agency.example",)}, "proxies"),
        ({"site_port": 8444}, "site_port"),
        ({"site_port": 70000}, "site_port"),
        ({"provisioning_component": "org.example/.Receiver"}, "provisioning_download"),
        ({"provisioning_download": "http://agency.example/a.apk"}, "provisioning_download"),
        ({"policy_arc": "federal"}, "policy_arc"),
        ({"organization": ""}, "organization"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_an_unsafe_or_wrong_value_refuses_to_start_and_names_the_setting(change: dict[str, object], named: str) -> None:
    with pytest.raises(Malformed) as refusal:
        settings.checked({**SAFE, **change})
    assert refusal.value.code == "unsafe_or_wrong_settings"
    assert named in refusal.value.detail


def test_a_missing_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="etymon init"):
        settings.load(tmp_path)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('organization = "Agency"\nstatus_url = "http://status.agency.example"\n')
    monkeypatch.setenv("ETYMON_LOG_LEVEL", "debug")
    assert settings.load(tmp_path).log_level == "debug"


def test_every_setting_is_described() -> None:
    assert all(meaning for _, _, meaning in settings.described())
