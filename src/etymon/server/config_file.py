# SPDX-License-Identifier: Apache-2.0
"""`config.toml` of a data directory: written at `init`, read whenever something begins."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from etymon.kernel.errors import Malformed
from etymon.server import settings
from etymon.server.settings import Settings


def load(data: Path) -> Settings:
    """Read the settings of the data directory `data`; raise Malformed with what to change."""
    try:
        values = tomllib.loads((data / "config.toml").read_text("utf-8"))
    except FileNotFoundError as exc:
        raise Malformed(
            "no_configuration",
            f"{data / 'config.toml'} does not exist. Is {data} the organisation's data directory? "
            f"`etymon init --data {data}` makes a new organisation.",
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Malformed("configuration_unreadable", f"{data / 'config.toml'}: {exc}") from exc
    return settings.checked(values)


def as_toml(read: Settings, configuration: Mapping[str, object]) -> bytes:
    """Write settings as TOML; strings, numbers, booleans and lists look the same there as in JSON."""
    known = [name for name in Settings.model_fields if name in configuration]
    values = {name: getattr(read, name) for name in known}
    return "".join(f"{name} = {_toml_value(value)}\n" for name, value in values.items()).encode()


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {json.dumps(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)
