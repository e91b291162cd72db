# SPDX-License-Identifier: Apache-2.0
"""PKITS through the command, and a sample of it before OpenSSL and GnuTLS."""

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from support import pkits
from support.pkits import Case
from support.typed_command import typed

AT: Final = pkits.NOW.isoformat().replace("+00:00", "Z")

BY_OPENSSL: Final = (
    "4.1.2", "4.2.2", "4.3.4", "4.4.8", "4.4.21", "4.5.8", "4.6.16", "4.7.4", "4.8.6", "4.9.8", "4.10.1", "4.11.9",
    "4.12.3", "4.13.20", "4.14.20", "4.14.34", "4.15.3", "4.16.2",
)  # fmt: skip
"""OpenSSL judges with policies, deltas and other signers' lists: one test or two of each section."""

OPENSSL_DIFFERS: Final = {
    "4.1.4": "DSA is not among the algorithms that may sign here; OpenSSL takes it.",
    "4.14.30": "The CRL's signer is listed by the CRL itself; OpenSSL finds no path for it, NIST says valid.",
}

BY_GNUTLS: Final = ("4.1.1", "4.1.2", "4.2.6", "4.4.3", "4.6.2", "4.6.11", "4.13.22", "4.13.33")
"""GnuTLS judges neither policies nor missing lists, nor does it find distribution points; this is what is left."""

NAMES: Final = {
    "explicit": "explicit_policy",
    "inhibit-mapping": "inhibit_policy_mapping",
    "inhibit-any": "inhibit_any_policy",
}


def question(case: Case, leaf: Path) -> dict[str, Any]:
    flags = {NAMES[name]: True for name in case.settings if name in NAMES}
    return {"id": case.id, "leaf": str(leaf), "policy": list(case.settings.get("policy", ())), **flags}


def expected(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "valid": not case.code,
        "policies": sorted(case.policies),
        "codes": [case.code] if case.code else [],
    }


def found(answer: dict[str, Any]) -> dict[str, Any]:
    codes = [error["code"] for error in answer["errors"]]
    return {"id": answer["id"], "valid": answer["valid"], "policies": answer["policies"], "codes": codes}


def test_a_batch_of_all_of_pkits_finds_its_way_among_all_its_certificates_and_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every test is given all four hundred certificates and all lists, not only its own."""
    lines = []
    for case in pkits.cases():
        leaf = tmp_path / f"{case.number}.der"
        leaf.write_bytes(pkits.files(case.title).leaf)
        lines.append(json.dumps(question(case, leaf)))
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    for folder, file in (("certs", "intermediates.der"), ("crls", "lists.der")):
        paths = sorted((pkits.DATA / folder).iterdir())
        (tmp_path / file).write_bytes(b"".join(path.read_bytes() for path in paths))
    given = ("--intermediate", tmp_path / "intermediates.der", "--crl", tmp_path / "lists.der", "--at", AT)
    told = typed(capsys, "verify", "certificate", "--anchor", pkits.ANCHOR, *given, "--batch", tmp_path / "cases.jsonl")
    answers = [found(json.loads(line)) for line in told.out.splitlines()]
    assert answers == [expected(case) for case in pkits.cases()]
    assert told.status == 2  # one certificate's DSA key has no parameters, and cannot be read


@pytest.mark.parametrize(("number", "status"), [("4.1.1", 0), ("4.15.3", 1)])
def test_the_installed_command_answers_one_certificate(number: str, status: int, tmp_path: Path) -> None:
    case = next(case for case in pkits.cases() if case.number == number)
    files = write(case, tmp_path)
    command = [str(Path(sys.executable).parent / "etymon"), "verify", "certificate", "--anchor", files["anchor"]]
    options = ["--intermediate", files["others"], "--crl", files["lists"], "--at", AT, files["leaf"]]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    assert found({"id": case.id, **json.loads(done.stdout)}) == expected(case)


def write(case: Case, folder: Path) -> dict[str, str]:
    """Write the files of a test as PEM."""
    files = pkits.files(case.title)
    written = {
        "anchor": pem("CERTIFICATE", [pkits.ANCHOR.read_bytes()]),
        "others": pem("CERTIFICATE", files.intermediates),
        "leaf": pem("CERTIFICATE", [files.leaf]),
        "chain": pem("CERTIFICATE", [files.leaf, *files.intermediates]),
        "lists": pem("X509 CRL", files.crls),
    }
    for name, text in written.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in written}


def pem(kind: str, found: Sequence[bytes]) -> str:
    blocks = (base64.encodebytes(each).decode() for each in found)
    return "".join(f"-----BEGIN {kind}-----\n{block}-----END {kind}-----\n" for block in blocks)


def rows(numbers: Sequence[str]) -> list[Case]:
    """Return all rows of some tests."""
    return [case for case in pkits.cases() if case.number in numbers]


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("case", rows((*BY_OPENSSL, *OPENSSL_DIFFERS)), ids=lambda case: case.id)
def test_openssl_says_the_same(case: Case, tmp_path: Path) -> None:
    files = write(case, tmp_path)
    options = [
        "-policy_check",
        "-crl_check_all",
        "-extended_crl",
        "-use_deltas",
        "-attime",
        str(int(pkits.NOW.timestamp())),
    ]
    for policy in case.settings.get("policy", ("2.5.29.32.0",)):  # OpenSSL's own default is no policy at all
        options += ["-policy", policy]
    flags = {"explicit": "-explicit_policy", "inhibit-mapping": "-inhibit_map", "inhibit-any": "-inhibit_any"}
    options += [flags[name] for name in case.settings if name in flags]
    if pkits.files(case.title).intermediates:
        options += ["-untrusted", files["others"]]
    command = ["openssl", "verify", *options, "-CAfile", files["anchor"], "-CRLfile", files["lists"], files["leaf"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ((done.returncode == 0) == (not case.code)) != (case.number in OPENSSL_DIFFERS), done.stderr


@pytest.mark.needs("certtool")
@pytest.mark.parametrize("case", rows(BY_GNUTLS), ids=lambda case: case.id)
def test_gnutls_says_the_same(case: Case, tmp_path: Path) -> None:
    """It judges at the machine's time, which is well inside PKITS's (2010 to 2030)."""
    files = write(case, tmp_path)
    command = ["certtool", "--verify", "--load-ca-certificate", files["anchor"], "--load-crl", files["lists"]]
    done = subprocess.run([*command, "--infile", files["chain"]], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not case.code), done.stdout
