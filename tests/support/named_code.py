# SPDX-License-Identifier: Apache-2.0
"""What pages name: tests, and functions, classes and values of the program; found by parsing, nothing is imported."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = REPOSITORY / "src" / "etymon"
TESTS: Final = REPOSITORY / "tests"


@cache
def every_test_of(file: Path) -> frozenset[str]:
    """Return the names of a file's test functions; none where there is no such file."""
    if not file.is_file():
        return frozenset()
    body = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def is_test(name: str) -> bool:
    """Whether `file::function`, the file below `tests`, is a test."""
    file, _, function = name.partition("::")
    return function in every_test_of(TESTS / file)


def all_tests() -> frozenset[str]:
    """Return the names of all test functions, wherever they are."""
    return frozenset(name for file in TESTS.rglob("test_*.py") for name in every_test_of(file))


def module_file(module: str) -> Path:
    """Return the file of a module, named below `etymon`."""
    path = SOURCES.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_place(place: str) -> bool:
    """Whether `module:name` or `module:Class.member` is a function, class or value of the program."""
    module, _, name = place.partition(":")
    return name in _names(module_file(module))


@cache
def _names(file: Path) -> frozenset[str]:
    if not file.is_file():
        return frozenset()
    return frozenset(_defined(ast.parse(file.read_text("utf-8")).body))


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{member}" for member in _defined(node.body))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
