# SPDX-License-Identifier: Apache-2.0
"""The journal of a key ceremony: each step is on disk before the next, so that an interrupted one goes on."""

import json
import os
from pathlib import Path
from typing import Any, Final

from etymon.kernel.clock import Clock
from etymon.kernel.errors import Conflict, Malformed
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import spki_sha256
from etymon.pki.signer import Signer
from etymon.server.key_ceremony.script import Script
from etymon.server.key_places import PlacedKeys

FOLDER: Final = "ceremonies"


class Journal:
    """The steps of one ceremony in a data directory."""

    def __init__(self, data: Path, script: Script, clock: Clock) -> None:
        """Find the journal; `Conflict` `ceremony_of_another_script` where it is of a script that was changed."""
        self._file = data / FOLDER / f"{script.id}.journal"
        self._script, self._clock = script, clock
        self.resumed = self._file.exists()
        if self.resumed and self.steps()[0].get("script_sha256") != script.sha256:
            raise Conflict("ceremony_of_another_script", "This ceremony was begun with another script. Use that one.")

    def begin(self) -> None:
        """Write the first step, or that the ceremony goes on."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.resumed:
            self.step("went on after an interruption")
        else:
            self.step("began", script_sha256=self._script.sha256)

    def step(self, what: str, **facts: str) -> None:
        """Write a step, durably."""
        line = json.dumps({"at": self._clock.now().isoformat(), "step": what, **facts}, ensure_ascii=False)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def has(self, what: str) -> bool:
        """Whether a step was made."""
        return any(found["step"] == what for found in self.steps())

    def steps(self) -> list[dict[str, Any]]:
        """Return all steps; a last line that was cut off by an interruption is none."""
        lines = self._file.read_text("utf-8").splitlines()
        found = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except ValueError as exc:
                if number < len(lines):
                    raise Malformed("ceremony_journal", f"{self._file} is damaged in line {number}.") from exc
        if not found:
            raise Malformed("ceremony_journal", f"{self._file} is empty. Remove it if nothing else was made.")
        return found


class JournaledKeys:
    """Keys of a deployment, where the making of each is a step."""

    def __init__(self, keys: PlacedKeys, journal: Journal) -> None:
        self._keys, self._journal = keys, journal

    def generate(self, name: str, kind: KeyType) -> Signer:
        """Make a key."""
        made = self._keys.generate(name, kind)
        place, key = self._keys.place_of(name), spki_sha256(made.public_key).hex()
        self._journal.step(f"made the key {name}", place=place, key_type=kind.value, key_id=key)
        return made

    def find(self, name: str) -> Signer | None:
        """Return a key's signer."""
        return self._keys.find(name)
