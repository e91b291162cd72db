# SPDX-License-Identifier: Apache-2.0
"""Which of the things that a lint can say it says of what it judges."""

import ast
import inspect
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import TypeVar

from etymon.kernel.errors import Malformed
from etymon.pki.certificate import UNREADABLE

Judged = TypeVar("Judged")


def branches(check: Callable[[Judged], Iterator[str]]) -> dict[int, str]:
    """Return what a check can yield, by the lines on which it does."""
    code = getattr(check, "__code__")  # noqa: B009 - every check is a function; its type says only that it is called
    return {
        code.co_firstlineno + line - 1: ast.unparse(found)
        for found in ast.walk(ast.parse(inspect.getsource(check)))
        if isinstance(found, ast.Yield)
        for line in range(found.lineno, (found.end_lineno or found.lineno) + 1)
    }


def said(check: Callable[[Judged], Iterator[str]], judged: Judged) -> set[str]:
    """Return which of its branches a check goes through, up to where there is something that it cannot read."""
    running, known, found = check(judged), branches(check), set()
    assert isinstance(running, GeneratorType)
    try:
        for _ in running:
            assert running.gi_frame is not None
            found.add(known[running.gi_frame.f_lineno])
    except (*UNREADABLE, Malformed, IndexError):
        pass
    return found
