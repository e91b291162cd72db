# SPDX-License-Identifier: Apache-2.0
"""The whole story as `make demo` plays it: nothing in it is untrue, and with every judge there nothing is left out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_SECONDS = 600


@pytest.mark.needs("nginx", "openssl", "curl", "freeradius", "eapol_test")
def test_the_demo_tells_the_truth_from_beginning_to_end(tmp_path: Path) -> None:
    told = tmp_path / "demo.json"
    played = subprocess.run(
        [sys.executable, "-m", "etymon.server", "demo", "--json", told],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-3000:]
    steps = json.loads(told.read_bytes())["steps"]
    assert {step["outcome"] for step in steps} == {"run"}
    assert len(steps) > 30
