# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run to their end and print the names that are promised; what they measure is judged by nobody here."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable

import pytest
from bench.__main__ import main
from bench.measure import Bench
from bench.place import Place
from bench.run import run
from bench.sizes import FULL, SMALL
from bench.stages import Stage, chosen, every_stage

from support.named_code import REPOSITORY

KEYS = ("p256", "p384", "rsa3072")
ENGINES = ("sqlite", "postgresql")
PROMISED = (
    "limit.sign.<key>",
    "limit.build_and_sign.<key>",
    "limit.http",
    "limit.commit.<engine>",
    "limit.est_cryptography.<key>",
    "limit.scep_cryptography.<key>",
    "limit.card_rows.<engine>",
    "issuance.<key>",
    "est_enroll.<key>",
    "scep_enroll.<key>",
    "ocsp_signed.<key>",
    "ocsp_cached",
    "checkin_idle.<engine>",
    "path_validation",
    "card_sign_in",
    "card_sweep.<engine>",
)
BY_COUNT = ("ocsp_signed.p256.<engine>.<count>", "ocsp_kept.<engine>.<count>")
FIELDS = ["name", "per_cpu_second", "per_wall_second", "limit", "ratio", "runs"]


def spelt_out(names: Iterable[str], counts: Iterable[int] = ()) -> set[str]:
    """Return names with every key, engine and count in them."""
    found = {name.replace("<key>", key) for name in names for key in KEYS}
    found = {name.replace("<engine>", engine) for name in found for engine in ENGINES}
    return {name.replace("<count>", str(count)) for name in found for count in counts or (0,)}


def test_all_of_it_is_named_as_promised() -> None:
    counted = spelt_out(BY_COUNT, (10_000, 100_000, 1_000_000))
    whole = {"rekey.10000.postgresql", *spelt_out(["crl_build.million.<engine>"])}
    names = [name for stage in every_stage(FULL) for name in stage.names]
    assert set(names) == spelt_out(PROMISED) | counted | whole
    assert len(names) == len(set(names))
    page = (REPOSITORY / "docs" / "performance.md").read_text("utf-8")
    for name in (*PROMISED, *BY_COUNT, "rekey.10000.postgresql", "crl_build.million.<engine>"):
        assert f"`{name}`" in page, name


@pytest.mark.needs("postgres", "initdb")
def test_every_stage_prints_its_lines() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "--small"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = {line["name"]: line for line in map(json.loads, ended.stdout.splitlines())}
    by_size = {f"rekey.{SMALL.devices}.postgresql", *spelt_out(["crl_build.<count>.<engine>"], SMALL.certificates[-1:])}
    assert set(lines) == spelt_out(PROMISED) | spelt_out(BY_COUNT, SMALL.certificates) | by_size
    assert len(lines) == len(ended.stdout.splitlines())
    for line in lines.values():
        assert list(line)[: len(FIELDS)] == FIELDS
        assert min(line["per_cpu_second"], line["per_wall_second"]) > 0
        if line["limit"] is None:
            assert line["ratio"] == 1.0
        else:
            expected = lines[line["limit"]]["per_cpu_second"] / line["per_cpu_second"]
            assert line["ratio"] == pytest.approx(expected, rel=0.01)
    for key in KEYS:
        issuance = lines[f"issuance.{key}"]
        parts = sum(value for name, value in issuance.items() if name.endswith("_ms") and name != "total_ms")
        assert parts == pytest.approx(issuance["total_ms"], abs=0.01)
        assert 0 < lines[f"est_enroll.{key}"]["cryptography_share"] < 1
        assert 0 < lines[f"scep_enroll.{key}"]["cryptography_share"] < 1
    for engine in ENGINES:
        built = lines[f"crl_build.{SMALL.certificates[-1]}.{engine}"]
        assert (built["bar_seconds"], built["bar_peak_mb"], built["entries"]) == (20, 500, 2)
        assert built["peak_mb"] > 0
        swept = lines[f"card_sweep.{engine}"]
        assert (swept["cards"], swept["listed"]) == (SMALL.cards, SMALL.listed)
        assert swept["peak_mb"] > 0
        assert f"limit.card_rows.{engine}: making cards: {SMALL.cards} of {SMALL.cards}" in ended.stderr
        assert re.search(rf"^card_sweep.{engine}: \d+ of {SMALL.cards + 1}$", ended.stderr, re.MULTILINE)


def test_a_stage_that_fails_says_so_and_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_bench: Bench, place: Place) -> None:
        message = f"the {place.engine} is away"
        raise RuntimeError(message)

    stages = [
        Stage(("limit.away",), fails),
        Stage(("compared",), good, ("limit.away",)),
        Stage(("good",), good),
    ]
    assert not run(Bench(SMALL), stages)
    shown = capsys.readouterr()
    assert [json.loads(line)["name"] for line in shown.out.splitlines()] == ["good"]
    first, second = shown.err.splitlines()
    assert first.startswith("FAILED limit.away: RuntimeError: the sqlite is away (test_bench.py:")
    assert second == "FAILED compared: nothing to compare with, limit.away was not measured"


def good(bench: Bench, place: Place) -> None:
    assert place.directory.is_dir()
    bench.measure("good", lambda: None)


def test_a_name_brings_the_limits_it_is_compared_with() -> None:
    names = [stage.names for stage in chosen(every_stage(FULL), ["ocsp_signed.p384", "rekey"])]
    assert names == [
        ("limit.sign.p256", "limit.build_and_sign.p256"),
        ("limit.sign.p384", "limit.build_and_sign.p384"),
        ("limit.commit.sqlite",),
        ("issuance.p384", "ocsp_signed.p384"),
        ("rekey.10000.postgresql",),
    ]
    every = every_stage(FULL)
    assert chosen(every, []) == every


def test_a_name_that_nothing_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["limit.http", "nothing"])
    assert refused.value.code == 2
    assert "no name begins with nothing" in capsys.readouterr().err


def test_no_run_does_more_than_was_made_for_it() -> None:
    made = list(range(10))
    bench = Bench(FULL)
    bench.measure("few", made.pop, made=len(made))
    assert made == list(range(4))  # one to warm up, and one in each of five runs
