# SPDX-License-Identifier: Apache-2.0
import re

from support.named_code import REPOSITORY, SOURCES, all_tests


def test_the_architecture_page_names_every_package_and_no_other() -> None:
    table = (REPOSITORY / "ARCHITECTURE.md").read_text("utf-8").partition("<!-- tree:")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    present = {folder.name for folder in SOURCES.iterdir() if (folder / "__init__.py").exists()}
    assert named == present


def test_every_file_a_page_names_in_the_way_of_a_derivation_exists() -> None:
    way = (REPOSITORY / "ARCHITECTURE.md").read_text("utf-8").partition("## One derivation")[2].partition("\n## ")[0]
    for name in re.findall(r"`((?:issuer|ca)/[\w/]+)`", way):
        assert (SOURCES / name).is_dir() or (SOURCES / f"{name}.py").is_file(), name


def test_every_source_file_names_its_licence_and_stays_readable() -> None:
    for file in [*SOURCES.rglob("*.py"), *(REPOSITORY / "tests").rglob("*.py")]:
        lines = file.read_text("utf-8").splitlines()
        if not lines or (len(lines) <= 2 and file.name == "__init__.py"):
            continue
        assert lines[0] == "# SPDX-License-Identifier: Apache-2.0" or file.name == "__init__.py", file
        assert len(lines) <= 400, f"{file} has {len(lines)} lines; split it"


def test_no_package_is_called_after_nothing() -> None:
    nameless = {"utils", "helpers", "common", "misc", "manager"}
    assert not {file for file in SOURCES.rglob("*.py") if file.stem in nameless}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs" / "threat-model.md").read_text("utf-8")))
    present = all_tests()
    assert named
    assert named <= present, named - present
