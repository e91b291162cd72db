# SPDX-License-Identifier: Apache-2.0
"""`etymon verify certificate`: its answers, its batch, and everything it is given that cannot be used."""

import base64
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.pki.certificate import LIMIT_BYTES, to_der
from etymon.server import certificate_questions, questions
from etymon.wire import cms
from support import declared_pki
from support.declared_pki import CARD_POLICY
from support.typed_command import typed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = "2026-03-01T12:00:00Z"
OTHER_POLICY = "2.999.7.6"
VALID = {"valid": True, "errors": [], "policies": [CARD_POLICY]}

Ask = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of one path: root, CA, leaf and their CRLs, in PEM, DER and bundles."""
    made = tmp_path_factory.mktemp("files")
    root = declared_pki.root(NOW)
    issuer = root.issue(NOW, "CA", authority=True)
    leaf, revoked = issuer.issue(NOW), issuer.issue(NOW, "Revoked")
    lists = (root.crl(NOW), issuer.crl(NOW, revoked.certificate))
    for name, found in {"root": root, "issuer": issuer, "leaf": leaf, "revoked": revoked}.items():
        (made / f"{name}.pem").write_bytes(found.certificate.public_bytes(Encoding.PEM))
        (made / f"{name}.der").write_bytes(to_der(found.certificate))
    (made / "root.crl").write_bytes(lists[0])
    (made / "issuer.crl").write_bytes(lists[1])
    (made / "both.crl").write_bytes(b"".join(lists))
    (made / "bundle.pem").write_bytes((made / "root.pem").read_bytes() + (made / "issuer.pem").read_bytes())
    message = cms.encode_certificates([to_der(root.certificate), to_der(issuer.certificate)])
    (made / "issuer.p7c").write_bytes(message)
    (made / "issuer.p7b").write_bytes(_pkcs7(message) + (made / "root.pem").read_bytes())
    (made / "none.p7c").write_bytes(cms.encode_certificates([]))
    (made / "cut.p7c").write_bytes(message[:-1])
    (made / "cut.p7b").write_bytes(_pkcs7(message[:-1]))
    (made / "large.p7c").write_bytes(cms.encode_certificates([to_der(issuer.certificate)] * 1000))
    (made / "odd.pem").write_bytes(declared_pki.with_null_parameters(root))
    (made / "key.pem").write_bytes(
        root.key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (made / "text.txt").write_text("no certificate\n")
    (made / "empty").write_bytes(b"")
    (made / "huge").write_bytes(bytes(LIMIT_BYTES + 1))
    return made


def _pkcs7(message: bytes) -> bytes:
    return b"-----BEGIN PKCS7-----\n" + base64.encodebytes(message) + b"-----END PKCS7-----\n"


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return what types the command in the folder of files; it answers its status and its lines."""
    monkeypatch.chdir(folder)

    def asked(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        told = typed(capsys, "verify", "certificate", *arguments)
        assert told.err == ""
        return told.status, [json.loads(line) for line in told.out.splitlines()]

    return asked


PATH = ("--anchor", "root.pem", "--intermediate", "issuer.pem", "--at", AT)
LISTS = ("--crl", "root.crl", "--crl", "issuer.crl")
UNTAKEN = ("none.p7c", "cut.p7c", "cut.p7b", "large.p7c")
"""Messages that carry no certificate, cannot be read, or are too large."""


def code(answers: list[dict[str, Any]]) -> str:
    (answer,) = answers
    (error,) = answer["errors"]
    assert (answer["valid"], answer["policies"]) == (False, [])
    assert error["detail"]
    return str(error["code"])


@pytest.mark.parametrize(
    "arguments",
    [
        (*PATH, *LISTS, "leaf.pem"),
        (*PATH, "--crl", "both.crl", "leaf.der"),
        (*PATH, "--revocation", "off", "leaf.pem"),
        (
            "--anchor",
            "root.der",
            "--intermediate",
            "issuer.der",
            "--at",
            "2026-03-01t13:00:00.5+01:00",
            *LISTS,
            "leaf.pem",
        ),
        ("--anchor", "root.der", "--intermediate", "bundle.pem", "--at", AT, *LISTS, "leaf.pem"),
        ("--anchor", "root.der", "--intermediate", "issuer.p7c", "--at", AT, *LISTS, "leaf.pem"),
        ("--anchor", "root.der", "--intermediate", "issuer.p7b", "--at", AT, *LISTS, "leaf.pem"),
        (*PATH, *LISTS, "--policy", CARD_POLICY, "--policy", OTHER_POLICY, "--explicit-policy", "leaf.pem"),
        (*PATH, *LISTS, "--inhibit-any-policy", "--inhibit-policy-mapping", "--explicit-policy", "leaf.pem"),
    ],
    ids=" ".join,
)
def test_a_good_certificate_is_valid(ask: Ask, arguments: tuple[str, ...]) -> None:
    assert ask(*arguments) == (0, [VALID])


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("status_unavailable", (*PATH, "leaf.pem")),
        ("status_unavailable", (*PATH, "--crl", "root.crl", "leaf.pem")),
        ("revoked_by_crl", (*PATH, *LISTS, "revoked.pem")),
        ("untrusted_root", ("--anchor", "root.pem", *LISTS, "--at", AT, "leaf.pem")),
        ("untrusted_root", (*PATH, *LISTS, "root.pem")),
        ("wrong_policy", (*PATH, *LISTS, "--policy", OTHER_POLICY, "--explicit-policy", "leaf.pem")),
        ("expired", (*PATH[:-1], "2046-03-01T12:00:00Z", *LISTS, "leaf.pem")),
        ("not_yet_valid", (*PATH[:-1], "2026-02-01T12:00:00Z", *LISTS, "leaf.pem")),
    ],
)
def test_a_certificate_that_is_not_valid_says_why(ask: Ask, expected: str, arguments: tuple[str, ...]) -> None:
    status, answers = ask(*arguments)
    assert (status, code(answers)) == (1, expected)


@pytest.mark.parametrize("name", [*UNTAKEN, "text.txt", "empty"])
def test_a_file_that_holds_no_certificate_is_named(ask: Ask, name: str) -> None:
    _, (answer,) = ask(*PATH, "--intermediate", name, "leaf.pem")
    assert answer["errors"][0]["detail"].startswith(name)


def test_a_list_that_lacks_is_asked_for_by_its_issuer_and_address(ask: Ask, folder: Path) -> None:
    root = declared_pki.root(NOW)
    issuer = root.issue(NOW, "CA", authority=True, crl_url="http://crl.agency.example/root.crl")
    for name, found in {"own-root.pem": root, "own-ca.pem": issuer, "own.pem": issuer.issue(NOW, "Alice")}.items():
        (folder / name).write_bytes(found.certificate.public_bytes(Encoding.PEM))
    (folder / "own-root.crl").write_bytes(root.crl(NOW))
    asked = ("--anchor", "own-root.pem", "--intermediate", "own-ca.pem", "--at", AT)
    for given, whose, wanted in (
        ((), "CA", "Card Root (http://crl.agency.example/root.crl)"),
        (("--crl", "own-root.crl"), "Alice", "CA"),
    ):
        _, (answer,) = ask(*asked, *given, "own.pem")
        told = f"No usable CRL says whether CN={whose} was revoked. Give the current CRL of its issuer, CN={wanted}."
        assert answer["errors"] == [{"code": "status_unavailable", "detail": told}]


@pytest.mark.parametrize("name", ["wrong_policy", "expired", "revoked_by_crl"])
def test_an_auditor_is_not_told_what_cardholders_are(ask: Ask, name: str) -> None:
    asked = {
        "wrong_policy": (*PATH, *LISTS, "--policy", OTHER_POLICY, "--explicit-policy", "leaf.pem"),
        "expired": (*PATH[:-1], "2046-03-01T12:00:00Z", *LISTS, "leaf.pem"),
        "revoked_by_crl": (*PATH, *LISTS, "revoked.pem"),
    }[name]
    _, (answer,) = ask(*asked)
    (error,) = answer["errors"]
    assert error["code"] == name
    assert not any(word in error["detail"] for word in ("your", "you ", "Renew", "Ask"))


def test_a_revoked_certificate_is_valid_where_revocation_is_left_out(ask: Ask) -> None:
    assert ask(*PATH, *LISTS, "--revocation", "off", "revoked.pem") == (0, [VALID])


def test_without_explicit_policy_no_policy_is_needed(ask: Ask) -> None:
    none = {"valid": True, "errors": [], "policies": []}
    assert ask(*PATH, *LISTS, "--policy", OTHER_POLICY, "leaf.pem") == (0, [none])


UNUSABLE = [
    ("file_unreadable", (*PATH, "nowhere.pem")),
    ("file_unreadable", ("--anchor", "nowhere.pem", "leaf.pem")),
    ("file_unreadable", (*PATH, "--crl", "nowhere.crl", "leaf.pem")),
    ("file_unreadable", (*PATH, ".")),
    ("certificate_malformed", (*PATH, "text.txt")),
    ("certificate_malformed", (*PATH, "empty")),
    ("certificate_malformed", (*PATH, "bundle.pem")),
    ("certificate_malformed", (*PATH, "root.crl")),
    ("certificate_malformed", ("--anchor", "text.txt", "leaf.pem")),
    ("certificate_malformed", (*PATH, "--intermediate", "empty", "leaf.pem")),
    *(("certificate_malformed", (*PATH, "--intermediate", name, "leaf.pem")) for name in UNTAKEN),
    ("certificate_malformed", ("--anchor", "issuer.p7c", *PATH[2:], "leaf.pem")),
    ("crl_malformed", (*PATH, "--crl", "leaf.pem", "leaf.pem")),
    ("crl_malformed", (*PATH, "--crl", "empty", "leaf.pem")),
    ("anchor_missing", ("--at", AT, "leaf.pem")),
    ("private_key", ("--anchor", "key.pem", "leaf.pem")),
    ("private_key", (*PATH, "key.pem")),
    ("file_too_large", (*PATH, "huge")),
    ("file_too_large", (*PATH, "--intermediate", "huge", "leaf.pem")),
    ("at_malformed", (*PATH[:-1], "2026-03-01", "leaf.pem")),
    ("at_malformed", (*PATH[:-1], "2026-03-01T12:00:00", "leaf.pem")),
    ("at_malformed", (*PATH[:-1], "2026-02-30T12:00:00Z", "leaf.pem")),
    ("at_malformed", (*PATH[:-1], "0001-01-01T00:00:00+23:59", "leaf.pem")),
    ("at_malformed", (*PATH[:-1], "yesterday", "leaf.pem")),
    ("policy_malformed", (*PATH, "--policy", "2.999.", "leaf.pem")),
    ("policy_malformed", (*PATH, "--policy", "3.1", "leaf.pem")),
    ("policy_malformed", (*PATH, "--policy", "1.40.1", "leaf.pem")),
    ("policy_malformed", (*PATH, "--policy", "anyPolicy", "leaf.pem")),
    ("leniency_unknown", (*PATH, "--leniency", "everything", "leaf.pem")),
]


@pytest.mark.parametrize(("expected", "arguments"), UNUSABLE)
def test_what_cannot_be_used_is_told_with_status_2(ask: Ask, expected: str, arguments: tuple[str, ...]) -> None:
    status, answers = ask(*arguments)
    assert (status, code(answers)) == (2, expected)


@pytest.mark.parametrize(
    "arguments", [(), ("leaf.pem", "--batch", "cases"), ("--revocation", "maybe", "leaf.pem"), ("--batch", "nowhere")]
)
def test_a_command_that_asks_nothing_ends_with_status_2(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder)
    told = typed(capsys, "verify", "certificate", *arguments)
    assert (told.status, told.out) == (2, "")
    assert told.err


def test_a_leaf_may_come_on_stdin(ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = SimpleNamespace(buffer=io.BytesIO((folder / "leaf.pem").read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    assert ask(*PATH, *LISTS, "-") == (0, [VALID])


def test_an_odd_anchor_counts_under_its_leniencys_name_only(ask: Ask) -> None:
    arguments = ("--anchor", "odd.pem", *PATH[2:], *LISTS)
    status, answers = ask(*arguments, "leaf.pem")
    assert (status, code(answers)) == (2, "certificate_malformed")
    assert ask(*arguments, "--leniency", "ecdsa-null-parameters", "leaf.pem") == (0, [VALID])
    status, answers = ask(*PATH, *LISTS, "--leniency", "ecdsa-null-parameters", "odd.pem")
    assert (status, code(answers)) == (2, "certificate_malformed")  # a leniency for anchors


GOOD = {
    "leaf": "leaf.pem",
    "anchor": ["root.pem"],
    "intermediate": ["issuer.pem"],
    "crl": ["root.crl", "issuer.crl"],
    "policy": [CARD_POLICY],
    "explicit_policy": True,
    "inhibit_policy_mapping": False,
    "inhibit_any_policy": True,
    "revocation": "required",
    "at": AT,
    "leniency": [],
}


def batch(folder: Path, *lines: object) -> str:
    """Write a batch: values as JSON, texts as they are."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "cases.jsonl").write_text("\n".join(texts) + "\n", "utf-8")
    return "cases.jsonl"


def test_a_batch_answers_in_order_and_repeats_the_id(ask: Ask, folder: Path) -> None:
    revoked = {**GOOD, "id": {"any": ["value"]}, "leaf": "revoked.pem"}
    status, answers = ask("--batch", batch(folder, {**GOOD, "id": "ä"}, "", revoked, GOOD))
    assert status == 1
    assert [answer["id"] for answer in answers] == ["ä", {"any": ["value"]}, None]
    assert [answer["valid"] for answer in answers] == [True, False, True]
    assert answers[1]["errors"][0]["code"] == "revoked_by_crl"
    assert ask("--batch", batch(folder, GOOD)) == (0, [{"id": None, **VALID}])


def test_options_beside_a_batch_fill_what_its_lines_lack(ask: Ask, folder: Path) -> None:
    lines = [
        {"leaf": "leaf.pem"},
        {"leaf": "leaf.pem", "anchor": "issuer.pem", "revocation": "off", "intermediate": []},
    ]
    status, answers = ask(*PATH, *LISTS, "--batch", batch(folder, *lines))
    assert (status, [answer["valid"] for answer in answers]) == (0, [True, True])
    status, answers = ask(*PATH, "--batch", batch(folder, *lines))
    assert (status, [answer["valid"] for answer in answers]) == (1, [False, True])


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("line_malformed", "{"),
        ("line_malformed", "[]"),
        ("line_malformed", '"leaf.pem"'),
        ("line_malformed", "[" * 5000),
        ("line_malformed", " " + "x" * questions.LONGEST_LINE),
        ("leaf_missing", {name: value for name, value in GOOD.items() if name != "leaf"}),
        ("anchor_missing", {**GOOD, "anchor": []}),
        ("option_unknown", {**GOOD, "explicit-policy": True}),
        ("option_unknown", {**GOOD, "batch": "cases.jsonl"}),
        ("option_malformed", {**GOOD, "leaf": 7}),
        ("option_malformed", {**GOOD, "crl": [7]}),
        ("option_malformed", {**GOOD, "crl": {"root.crl": 1}}),
        ("option_malformed", {**GOOD, "explicit_policy": "yes"}),
        ("option_malformed", {**GOOD, "revocation": "maybe"}),
        ("option_malformed", {**GOOD, "at": 7}),
        ("at_malformed", {**GOOD, "at": "now"}),
        ("file_unreadable", {**GOOD, "leaf": "nowhere.pem"}),
        ("file_unreadable", {**GOOD, "leaf": "a\0b"}),
        ("too_many_files", {**GOOD, "crl": ["root.crl"] * 1001}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "line",
)
def test_a_bad_line_spoils_no_other(ask: Ask, folder: Path, expected: str, line: object) -> None:
    status, answers = ask("--batch", batch(folder, GOOD, line, GOOD))
    assert (status, [answer["valid"] for answer in answers]) == (2, [True, False, True])
    error = answers[1]["errors"][0]
    assert error["code"] == expected
    assert error["detail"].startswith("Line 2: ")


def test_the_files_of_an_option_are_bounded_together(ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound, option, file in (
        ("MOST_CERTIFICATE_BYTES", "intermediate", "issuer.pem"),
        ("MOST_LIST_BYTES", "crl", "root.crl"),
    ):
        size = (folder / file).stat().st_size
        monkeypatch.setattr(certificate_questions, bound, 3 * size - 1)
        assert ask(*PATH[:2], "--at", AT, *(f"--{option}", file) * 2, "leaf.pem")[0] == 1
        assert code(ask(*PATH[:2], "--at", AT, *(f"--{option}", file) * 3, "leaf.pem")[1]) == "files_too_large"


def test_a_line_that_is_no_text_is_one_bad_line(ask: Ask, folder: Path) -> None:
    good = json.dumps(GOOD).encode()
    (folder / "bytes.jsonl").write_bytes(good + b"\n\xff\xfe{}\n" + good)
    status, answers = ask("--batch", "bytes.jsonl")
    assert (status, [answer["valid"] for answer in answers]) == (2, [True, False, True])


def test_a_file_is_read_once_for_a_whole_batch(ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the lines name is gone after the first: it was kept."""
    first = folder / "once.crl"
    first.write_bytes((folder / "issuer.crl").read_bytes())
    line = json.dumps({**GOOD, "crl": ["root.crl", "once.crl"]}).encode() + b"\n"
    left = [line, line, b""]

    def next_line(_limit: int) -> bytes:
        if len(left) == 2:
            first.unlink()
        return left.pop(0)

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(readline=next_line)))
    status, answers = ask("--batch", "-")
    assert (status, [answer["valid"] for answer in answers]) == (0, [True, True])
