# SPDX-License-Identifier: Apache-2.0
"""Files and directories that a command cannot use end it with one line, not with a traceback."""

from pathlib import Path

import pytest

from etymon.kernel.errors import Malformed
from etymon.server import settings, trust_documents
from etymon.server.command_line import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["phone", "new", "{folder}/phone", "--trust", "{folder}/none.pem"], "none.pem cannot be used: No such file"),
        (["phone", "new", "{folder}/phone", "--trust", "{folder}"], "cannot be used: Is a directory"),
        (["card-issuer", "serve", "{folder}/none", "--passphrase-file", "{folder}/secret"], "etymon card-issuer init"),
        (
            [
                *("card-issuer", "init", "{folder}", "--organization", "Agency"),
                *("--status-url", "http://localhost:9080", "--passphrase-file", "{folder}/secret"),
            ],
            "is there already. Choose a new directory.",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (tmp_path / "secret").write_text("a passphrase of some length\n")
    with pytest.raises(SystemExit) as ended:
        main([argument.format(folder=tmp_path) for argument in arguments])
    assert ended.value.code == 2
    written = capsys.readouterr().err
    assert told in written
    assert written.count("\n") == 1


def test_trust_entries_are_a_list(tmp_path: Path) -> None:
    (tmp_path / "trust.yaml").write_text("trustEntries: []\n")
    with pytest.raises(Malformed, match="the file: Input should be a valid list"):
        trust_documents.read(tmp_path / "trust.yaml")


def test_an_unknown_setting_is_told_where_the_known_ones_are() -> None:
    with pytest.raises(Malformed, match="colour: there is no such setting; see `etymon settings`"):
        settings.checked({"organization": "Agency", "status_url": "http://status.agency.example", "colour": "blue"})
