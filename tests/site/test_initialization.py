# SPDX-License-Identifier: Apache-2.0
"""What `init` leaves on the disk."""

import stat
from pathlib import Path

import pytest

from etymon.directory.model import Role
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, Unavailable
from etymon.server import initialization
from etymon.server.initialization import Founder, RootKeys
from support.card_office import PASSPHRASE
from support.running_clock import RunningClock


def initialize(data: Path, roots: Path, *founders: Founder, **further: object) -> None:
    initialization.initialize(
        data,
        {"organization": "Example Agency", "loopback_demo": True, "status_url": "http://127.0.0.1:1", **further},
        passphrase=PASSPHRASE,
        root_keys=RootKeys(roots, PASSPHRASE),
        founders=founders,
        trust_entries=[],
        clock=RunningClock(),
        entropy=SystemEntropy(),
        progress=lambda _: None,
    )


def test_nobody_else_reads_a_directory_that_was_made_beforehand(tmp_path: Path) -> None:
    """An operator makes it first, as one does under /var/lib; the database in it is of the process's own mode."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)

    initialize(data, tmp_path / "roots")

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    keys = [file for folder in (data / "keys", tmp_path / "roots") for file in folder.rglob("*") if file.is_file()]
    assert keys
    assert {stat.S_IMODE(file.stat().st_mode) for file in keys} == {0o600}


@pytest.mark.parametrize(
    ("roots", "error"),
    [("data", Malformed), ("data/roots", Malformed), ("../{folder}/data", Malformed), ("full", Conflict)],
)
def test_root_keys_go_to_an_empty_place_outside_the_data(tmp_path: Path, roots: str, error: type[EtymonError]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "derived-root.pem").write_text("another organisation's")
    with pytest.raises(error):
        initialize(tmp_path / "data", tmp_path / roots.format(folder=tmp_path.name))
    assert not (tmp_path / "data").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("name", "mail", "code"),
    [
        ("ADA@agency.example", "otto@agency.example", "founders_not_different"),
        ("otto@agency.example", "Ada@agency.example", "founders_not_different"),
        ("otto", "otto@agency.example", "user_principal_name"),
        ("otto@agency.example", "otto", "mail_addresses"),
        ("otto@agency.example", "otto@agency..example", "mail_addresses"),
    ],
)
def test_people_who_cannot_be_are_refused_before_anything_is_made(
    tmp_path: Path, name: str, mail: str, code: str
) -> None:
    ada = Founder(Role.ADMINISTRATOR, "ada@agency.example", "Ada Adler", "ada@agency.example")
    with pytest.raises(EtymonError, match=code):
        initialize(tmp_path / "data", tmp_path / "roots", ada, Founder(Role.OFFICER, name, "Otto Olsen", mail))
    assert not (tmp_path / "data").exists(), "nothing was begun"


def test_a_database_that_does_not_answer_is_told_before_keys_are_made(tmp_path: Path) -> None:
    url = "postgresql+psycopg://127.0.0.1:1/etymon"
    with pytest.raises(Unavailable, match="database_unavailable: database_url: "):
        initialize(tmp_path / "data", tmp_path / "roots", database_url=url)
    initialize(tmp_path / "data", tmp_path / "roots")


def test_what_an_init_left_that_was_broken_off_is_named(tmp_path: Path) -> None:
    initialize(tmp_path / "data", tmp_path / "roots")
    with pytest.raises(Conflict, match="directory_not_empty"):
        initialize(tmp_path / "data", tmp_path / "more-roots")
    (tmp_path / "data" / "config.toml").unlink()  # it is written last
    with pytest.raises(Conflict, match=r"did not finish. Remove it, and \S+/roots if that is there too"):
        initialize(tmp_path / "data", tmp_path / "roots")
