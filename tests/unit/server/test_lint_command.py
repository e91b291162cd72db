# SPDX-License-Identifier: Apache-2.0
"""`etymon lint certificate`: an answer for each certificate, and an exit status that says how it went."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from etymon.ca import template
from etymon.ca.policies import is_below
from etymon.ca.profiles import PROFILES
from etymon.pki.certificate import to_der
from etymon.wire import cms
from support.ca_site import pem
from support.flawed_certificates import AUTHORITY, content, policies, rebuilt
from support.typed_command import Typed, typed

DERIVED = content()
GOOD = template.draft(DERIVED)
FLAWED = rebuilt(DERIVED, CertificatePolicies=policies("2.16.840.1.101.3.2.1.3.13"), serial=77)
PUBLIC = "uri_host_is_a_public_name"
LINT = ("lint", "certificate", "--profile")


def answers(told: Typed) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.out.splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "good.pem").write_bytes(pem(GOOD))
    (tmp_path / "good.der").write_bytes(to_der(GOOD))
    (tmp_path / "both.pem").write_bytes(pem(GOOD, FLAWED))
    (tmp_path / "ca.pem").write_bytes(pem(AUTHORITY))
    (tmp_path / "cut.der").write_bytes(to_der(GOOD) + b"\x30\x03\x02\x01\x01")
    (tmp_path / "good.p7c").write_bytes(cms.encode_certificates([to_der(GOOD)]))
    (tmp_path / "text").write_text("no certificate")
    return tmp_path


@pytest.mark.parametrize("name", ["good.pem", "good.der", "good.p7c"])
def test_a_certificate_that_keeps_its_profile_is_valid(
    name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = typed(capsys, *LINT, "derived-piv-authentication", files / name)
    (answer,) = answers(told)
    assert (told.status, answer["valid"], answer["errors"], answer["warnings"]) == (0, True, [], [])
    assert "CN=Cardholder" in answer["subject"]


def test_each_certificate_is_answered_and_one_finding_is_enough(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = typed(capsys, *LINT, "derived-piv-authentication", files / "both.pem")
    good, flawed = answers(told)
    assert (told.status, good["valid"], flawed["valid"]) == (1, True, False)
    assert [error["code"] for error in flawed["errors"]] == ["policies_known"], "one fact, told once"
    assert "2.16.840.1.101.3.2.1.3.13" in flawed["errors"][0]["detail"]
    assert flawed["errors"][0].keys() == {"code", "detail", "severity", "id", "clause"}
    assert [(told["code"], told["id"]) for told in flawed["warnings"]] == [("serial_number_is_random", "P-1")]


def test_what_can_be_read_is_answered_beside_what_cannot(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = typed(capsys, *LINT, "derived-piv-authentication", files / "cut.der")
    good, cut = answers(told)
    assert (told.status, good["valid"], cut["valid"]) == (2, True, False)
    assert cut["errors"][0]["code"] == "certificate_malformed"
    assert cut["errors"][0]["detail"].startswith(f"{files / 'cut.der'}: The certificate cannot be read. ")
    assert "PEM or DER" in cut["errors"][0]["detail"]


def test_options_name_issuer_moment_policies_and_exceptions(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = typed(capsys, *LINT, "derived-piv-authentication", files / "good.pem", "--issuer", files / "ca.pem")
    assert {error["code"] for error in answers(told)[0]["errors"]} == {"signature_is_issuers"}
    told = typed(capsys, *LINT, "derived-piv-authentication", files / "good.pem", "--at", "2040-01-01T00:00:00Z")
    assert {error["code"] for error in answers(told)[0]["errors"]} == {"not_valid_at"}
    flawed = files / "flawed.pem"
    flawed.write_bytes(pem(rebuilt(DERIVED, CertificatePolicies=policies("1.3.6.1.4.1.32473.1"))))
    for further in (("--policy", "1.3.6.1.4.1.32473.1"), ("--except", "policies_known")):
        assert typed(capsys, *LINT, "derived-piv-authentication", flawed, *further).status == 0
    assert typed(capsys, *LINT, "derived-piv-authentication", flawed).status == 1


def test_what_cannot_be_used_is_told_in_one_sentence(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = files / "good.pem"
    typed(capsys, *LINT, "derived", named).refused("derived-piv-authentication, ", "(profile_not_found)")
    typed(capsys, *LINT, "derived-piv-authentication").refused("(no_certificate)")
    typed(capsys, *LINT, "derived-piv-authentication", files / "text").refused(
        f"{files / 'text'}: ", "(certificate_malformed)", "PEM or DER"
    )
    typed(capsys, *LINT, "derived-piv-authentication", named, "--issuer", files / "text").refused(f"{files / 'text'}: ")
    typed(capsys, *LINT, "derived-piv-authentication", files / "missing").refused("missing cannot be used")
    typed(capsys, *LINT, "derived-piv-authentication", "/dev/zero").refused("/dev/zero: ", "(certificate_too_large)")
    typed(capsys, *LINT, "derived-piv-authentication", named, "--at", "now").refused("RFC 3339")
    typed(capsys, *LINT, "derived-piv-authentication", named, "--at", "2026-01-01T00:00:00").refused("RFC 3339")
    typed(capsys, *LINT, "derived-piv-authentication", named, "--except", "all").refused("no lint called all")


def test_an_address_on_the_loopback_is_told_with_how_to_leave_it_out(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = x509.UniformResourceIdentifier("http://127.0.0.1:8080/crl/derived.crl")
    points = x509.CRLDistributionPoints([x509.DistributionPoint([local], None, None, None)])
    (files / "local.pem").write_bytes(pem(rebuilt(DERIVED, CRLDistributionPoints=(points, False))))
    told = typed(capsys, *LINT, "derived-piv-authentication", files / "local.pem")
    (error,) = answers(told)[0]["errors"]
    assert error["detail"].endswith("with the setting loopback_demo; leave it out there with --except " + PUBLIC + ".")
    excepted = typed(capsys, *LINT, "derived-piv-authentication", files / "local.pem", "--except", PUBLIC)
    assert (excepted.status, answers(excepted)[0]["errors"]) == (0, [])


def test_help_lists_the_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    told = typed(capsys, *LINT, "help")
    assert told.status == 0
    assert [line.split()[0] for line in told.out.splitlines()] == list(PROFILES)


def test_an_oid_is_below_its_arc_only_by_whole_numbers() -> None:
    assert is_below("2.999.1", "2.999.1")
    assert is_below("2.999.1.5", "2.999.1")
    assert not is_below("2.999.15", "2.999.1")
