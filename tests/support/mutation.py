# SPDX-License-Identifier: Apache-2.0
"""Takes the checks of the conformance table away, one at a time, and looks whether the named test notices.

Each removal is made in a copy of the program, which is put first on the path; the named test then runs against the
copy. It must fail, and by failing: a test that cannot be collected, set up or run, or that another source answered,
shows nothing. Standard library only: `tools/mutate` runs it.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.conformance_table import Removal, removals
from support.named_code import REPOSITORY, TESTS

USUAL_SAMPLE: Final = 30
TEST_LIMIT_SECONDS: Final = 300
QUICK: Final = ("unit/", "contract/")
"""Where tests are that start no site and no outside program."""

KILLED: Final = "killed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a removal: `killed`, `SURVIVED`, or why it shows nothing."""

    removal: Removal
    outcome: str
    detail: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 when every removal was noticed."""
    asked = _parsed(arguments)
    if (missing := _missing("pytest")) is not None:
        print(missing)
        return 2
    known = [removal for removal in removals() if not removal.why]
    chosen = _chosen(asked, known)
    if not chosen:
        print("There is no removal of that requirement; see tests/conformance/mutations.")
        return 2
    print(f"{len(chosen)} of {len(known)} removals" + (f", seed {asked.seed}" if not asked.id else ""), flush=True)
    with _copy() as intact:
        sound = _baseline(intact, chosen)
        if sound is not None:
            print(f"The tests do not pass on the program as it is:\n{sound}")
            return 2
        verdicts = list(_run_all(intact, chosen, asked.jobs))
    bad = [verdict for verdict in verdicts if verdict.outcome != KILLED]
    print(f"{len(verdicts) - len(bad)} of {len(verdicts)} killed")
    for verdict in bad:
        print(f"{' '.join(verdict.removal.ids)}: {verdict.outcome}: {verdict.removal.test} {verdict.detail}")
    return 1 if bad else 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Take checks away and see whether the tests notice.")
    parser.add_argument("--id", action="append", default=[], help="a requirement, such as D-1; may be given again")
    parser.add_argument("--all", action="store_true", help="every removal")
    parser.add_argument("--sample", type=int, default=USUAL_SAMPLE, help="how many, at random (default %(default)s)")
    parser.add_argument("--seed", default=f"{time.time_ns():x}", help="what the choice depends on")
    parser.add_argument("--quick", action="store_true", help="only those whose test starts no site and no program")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    return parser.parse_args(arguments)


def _missing(module: str) -> str | None:
    """Return what to do where the tests cannot run for want of a module; None where it is there."""
    if importlib.util.find_spec(module) is not None:
        return None
    return f"There is no {module} in {sys.prefix}. Run `make .installed-dev` first, and this by .venv/bin/python."


def _chosen(asked: argparse.Namespace, known: list[Removal]) -> list[Removal]:
    if asked.id:
        return [removal for removal in known if set(removal.ids) & set(asked.id)]
    if asked.quick:
        known = [removal for removal in known if removal.test.startswith(QUICK)]
    if asked.all:
        return known
    return random.Random(asked.seed).sample(known, min(asked.sample, len(known)))


def _run_all(intact: Path, chosen: list[Removal], jobs: int) -> Iterable[Verdict]:
    with ThreadPoolExecutor(jobs) as workers:
        running = [workers.submit(judge, intact, removal) for removal in chosen]
        for number, done in enumerate(as_completed(running), 1):
            verdict = done.result()
            ids = " ".join(verdict.removal.ids)
            told = f"[{number}/{len(chosen)}] {verdict.outcome:9} {ids:12} {verdict.removal.test}"
            print(f"{told} ({verdict.seconds:.1f} s)", flush=True)
            yield verdict


def judge(intact: Path, removal: Removal) -> Verdict:
    """Make the removal in a copy of `intact`, run its test there, and say what became of it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="etymon-mutant-") as directory:
        source = Path(directory) / "src"
        shutil.copytree(intact, source)
        changed = source.resolve() / "etymon" / removal.file
        changed.write_text(removal.removed(), "utf-8")
        outcome, detail = outcome_of(run(source, [removal.test], changed=changed))
    return Verdict(removal, outcome, detail, time.monotonic() - started)


def run(source: Path, tests: Iterable[str], *, changed: Path | None = None) -> dict[str, list[str] | bool]:
    """Run tests against the program in `source`; return how they ended, as `mutant_report` tells it."""
    with tempfile.TemporaryDirectory(prefix="etymon-mutant-report-") as directory:
        report = Path(directory) / "report.json"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(source.resolve()), str(TESTS))),
            "ETYMON_MUTANT_SOURCE": str(source.resolve()),
            "ETYMON_MUTANT_FILE": str(changed or ""),
            "ETYMON_MUTANT_REPORT": str(report),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "support.mutant_report", "-p", "no:cacheprovider"]
        command += ["-p", "no:randomly", "-k", "not postgresql", *(f"tests/{test}" for test in tests)]
        try:
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=TEST_LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"broken": [f"no end within {TEST_LIMIT_SECONDS} seconds"], "loaded": True}
        if not report.is_file():
            return {"broken": [(done.stdout + done.stderr)[-2000:]], "loaded": True}
        found: dict[str, list[str] | bool] = json.loads(report.read_text())
        return found


def outcome_of(report: Mapping[str, list[str] | bool]) -> tuple[str, str]:
    """Return what a report shows of a removal, and the words for it."""
    ended = {name: found for name, found in report.items() if isinstance(found, list)}
    if ended.get("broken"):
        return "BROKEN", ended["broken"][0]
    if not report["loaded"]:
        return "NOT RUN", "the changed file was not executed"
    if ended.get("failed"):
        return KILLED, ended["failed"][0]
    if not ended.get("passed"):
        return "NOT RUN", "; ".join(ended.get("skipped", []))
    return "SURVIVED", ""


def _baseline(intact: Path, chosen: list[Removal]) -> str | None:
    """Return what is wrong with the tests before anything is taken away; None where they all pass."""
    report = run(intact, sorted({removal.test for removal in chosen}))
    outcome, detail = outcome_of(report)
    return None if outcome == "SURVIVED" else f"{outcome}: {detail}"


@contextmanager
def _copy() -> Iterator[Path]:
    """Lend a copy of the program with what Python compiled of it, so that a mutant compiles one file only."""
    with tempfile.TemporaryDirectory(prefix="etymon-intact-") as directory:
        source = Path(directory) / "src"
        shutil.copytree(REPOSITORY / "src", source)
        yield source
