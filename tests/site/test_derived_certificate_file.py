# SPDX-License-Identifier: Apache-2.0
"""A derived credential's certificate as a file, for Officers and Auditors, and what docs/operations makes of it."""

import json
import re
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography import x509

from etymon.directory.model import Role
from support import page_commands
from support.desk import Desk
from support.page_commands import commands
from support.typed_command import Typed, typed
from support.whole_site import WholeSite

pytestmark = pytest.mark.needs("curl")

CERTIFICATE = "etymon derivations --data /var/lib/etymon {} certificate {} --purpose {}"


def derivation_of(site: WholeSite, name: str) -> UUID:
    person = site.person(name).id
    (found,) = {row["derivation_id"] for row in site.rows("issuer_credentials") if row["person_id"] == person}
    assert isinstance(found, UUID)
    return found


def test_an_auditor_gets_verifies_and_lints_a_derived_certificate(
    site: WholeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site.phone_of("file-fay")
    derivation = derivation_of(site, "file-fay")
    auditor = Desk(site, tmp_path, capsys, "file-aude", Role.AUDITOR)
    shell = page_commands.Typed(tmp_path, {"http://status.agency.example": site.status_url})
    _, *own, _ = commands("verifying-certificates.md")
    besides = {"verify": f"--at {site.clock.now().isoformat()}", "lint": "--except uri_host_is_a_public_name"}
    told: dict[str, Typed] = {}
    for command in own:
        if command.startswith("curl"):
            shell.run(command)
            continue
        name = command.split()[1]
        typed_in = f"{command} {besides.get(name, '')}"
        told[name] = auditor.type(typed_in, **{"$AUDITOR": auditor.options, "DERIVATION": str(derivation)})
        assert (told[name].status, told[name].err) == (0, ""), told
    (row,) = [row for row in site.rows("issuer_credentials") if row["derivation_id"] == derivation]
    written = (tmp_path / "phone.pem").read_bytes()
    assert f"{x509.load_pem_x509_certificate(written).serial_number:x}" == row["serial_number"].lower().lstrip("0")
    assert json.loads(told["verify"].out)["valid"]
    shown = auditor.type(CERTIFICATE.format(auditor.options, derivation, "authentication"))
    assert (shown.status, shown.out.encode(), shown.err) == (0, written, "")
    linted = typed(capsys, "lint", "certificate", "--profile", "derived-piv-authentication", "phone.pem")
    assert linted.status == 1
    assert all("loopback_demo" in error["detail"] for error in json.loads(linted.out)["errors"])
    unlisted = auditor.type(f"{own[-2].replace('--crl derived-root.crl', '')} {besides['verify']}")
    (error,) = json.loads(unlisted.out)["errors"]
    assert error["code"] == "status_unavailable"
    assert re.search(
        r"whether CN=.* was revoked\. Give .* issuer, CN=.* \(http://\S+/crl/derived-root\.crl\)", error["detail"]
    )


def test_who_may_not_and_what_is_not_there_is_refused_and_no_file_is_touched(
    site: WholeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.phone_of("file-finn")
    derivation = derivation_of(site, "file-finn")
    officer = Desk(site, tmp_path, capsys, "file-olga", Role.OFFICER)
    nobody = Desk(site, tmp_path, capsys, "file-nora")
    kept = tmp_path / "kept.pem"
    kept.write_text("mine")
    get = CERTIFICATE.format
    refusals = {
        get(officer.options, uuid4(), "authentication"): "(derivation_unknown)",
        get(officer.options, derivation, "signature"): "It has credentials for: authentication. (no_credential)",
        get(officer.options, derivation, "authentication") + f" --output {kept}": "(file_exists)",
        get(nobody.options, derivation, "authentication"): "(sign_in_refused)",
    }
    for command, told in refusals.items():
        refused = officer.type(command)
        assert (refused.status, refused.out, told in refused.err) == (2, "", True), refused
    assert kept.read_text() == "mine"
    assert officer.type(get(officer.options, derivation, "everything")).status == 2
    assert officer.type(get(officer.options, derivation, "authentication")).status == 0
