# SPDX-License-Identifier: Apache-2.0
"""`etymon verify card`: a card's signed objects, judged by files alone."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card import storage
from etymon.card.object_trust import CONTENT_SIGNING_POLICY
from etymon.kernel.secret import Secret
from support.content_issuer import NOW, ContentIssuer
from support.typed_command import typed

PASSPHRASE = "a passphrase of some length"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a card, its issuers, and lists with and without the signer."""
    made, issuer = tmp_path_factory.mktemp("card"), ContentIssuer()
    card = issuer.card(issuer.signer)
    storage.create(made / "a.card", Secret(PASSPHRASE), card.applet.state).close()
    (made / "secret").write_text(PASSPHRASE)
    for name, found in {"root.pem": issuer.root, "issuing.pem": issuer.issuing}.items():
        (made / name).write_bytes(found.certificate.public_bytes(Encoding.PEM))
    (made / "good.crl").write_bytes(issuer.root.crl(NOW) + issuer.issuing.crl(NOW))
    (made / "bad.crl").write_bytes(issuer.root.crl(NOW) + issuer.issuing.crl(NOW, issuer.signer.certificate))
    return made


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (("--anchor", "root.pem", "--crl", "good.crl"), 0, None),
        (("--anchor", "root.pem", "--revocation", "off"), 0, None),
        (("--anchor", "root.pem"), 1, "status_unavailable"),
        (("--anchor", "root.pem", "--crl", "bad.crl"), 1, "revoked_by_crl"),
        (("--anchor", "root.pem", "--crl", "good.crl", "--policy", "2.999.1"), 1, "wrong_policy"),
        (("--crl", "good.crl"), 2, "anchor_missing"),
    ],
)
def test_a_card_is_judged_by_files(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    status: int,
    code: str | None,
) -> None:
    monkeypatch.chdir(folder)
    named = ("--intermediate", "issuing.pem", "--at", f"{NOW.isoformat()}", "--passphrase-file", "secret")
    told = typed(capsys, "verify", "card", "a.card", *named, *options)
    answer = json.loads(told.out)
    assert (told.status, [error["code"] for error in answer["errors"]]) == (status, [code] if code else [])
    assert answer["valid"] == (status == 0)
    if status == 0:
        assert answer["policies"] == [CONTENT_SIGNING_POLICY]
        assert answer["signer"] == "CN=Content Signer"
        assert "5FC102" in answer["objects"]
