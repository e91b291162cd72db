# SPDX-License-Identifier: Apache-2.0
"""YAML whose faults can be told by line. A key that stands twice in a mapping is a fault here, as it is in YAML 1.2."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from etymon.kernel.errors import Malformed, TooLarge

LARGEST_FILE_BYTES: Final = 16 * 1024 * 1024
DEEPEST: Final = 20
"""Nesting beyond this is no description of an organisation."""

Location: TypeAlias = "Sequence[str | int]"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read: its values, and where in it they stand."""

    file: Path
    value: object
    _root: Node | None

    def place(self, location: Location) -> str:
        """Return file, line and path of a value for a person, such as `site.yaml line 12, users[3].mail`."""
        path = written(location)
        return f"{self.file} line {self._line(location)}" + (f", {path}" if path else "")

    def _line(self, location: Location) -> int:
        node, line = self._root, 1
        for step in location:
            if node is None:
                break
            line = node.start_mark.line + 1
            node = _child(node, step)
        return node.start_mark.line + 1 if node is not None else line


def read(file: Path) -> Source:
    """Read a YAML file; raises Malformed that says where and what is wrong with it."""
    try:
        octets = file.read_bytes()
        if len(octets) > LARGEST_FILE_BYTES:
            raise TooLarge("organization_file", f"{file} is larger than {LARGEST_FILE_BYTES} bytes.")
        text = octets.decode("utf-8")
    except OSError as exc:
        raise Malformed("organization_file", f"{file} cannot be read: {exc.strerror or exc}.") from exc
    except UnicodeDecodeError as exc:
        raise Malformed("organization_file", f"{file} is not text in UTF-8.") from exc
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        _require_sound(file, root, 0, set())
        value = loader.construct_document(root) if root is not None else None
    except (yaml.YAMLError, RecursionError) as exc:
        raise Malformed("organization_file", _told(file, exc)) from exc
    finally:
        loader.dispose()
    return Source(file, value, root)


def written(location: Location) -> str:
    """Return a path in the file as people write it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")


def _require_sound(file: Path, node: Node | None, depth: int, visited: set[int]) -> None:
    if depth > DEEPEST:
        raise Malformed("organization_file", f"{file} nests deeper than {DEEPEST} levels.")
    if id(node) in visited:  # an alias: what it stands for was looked at where it is anchored
        return
    visited.add(id(node))
    if isinstance(node, SequenceNode):
        for item in node.value:
            _require_sound(file, item, depth + 1, visited)
    elif isinstance(node, MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else ""
            if name in seen:
                line = key.start_mark.line + 1
                raise Malformed("organization_file", f"{file} line {line}: {name} stands here twice. Keep one of them.")
            seen.add(name)
            _require_sound(file, value, depth + 1, visited)


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        found: Node = node.value[step]
        return found
    return None


def _told(file: Path, fault: Exception) -> str:
    mark = getattr(fault, "problem_mark", None)
    if mark is None:
        return f"{file} is not YAML."
    return f"{file} line {mark.line + 1}, column {mark.column + 1} is not YAML: {getattr(fault, 'problem', '')}."
