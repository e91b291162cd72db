# SPDX-License-Identifier: Apache-2.0
"""The command: all stages, or those that print a name with one of the beginnings given."""

import argparse
import sys
from collections.abc import Sequence

from bench.measure import Bench
from bench.run import run
from bench.sizes import FULL, SMALL
from bench.stages import chosen, every_stage
from etymon.server import logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 1 where a stage failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks, one JSON object a line.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="measure only what has a name that begins so")
    parser.add_argument(
        "--small", action="store_true", help="so little that the figures mean nothing: shows that every stage works"
    )
    asked = parser.parse_args(arguments)
    sizes = SMALL if asked.small else FULL
    stages = every_stage(sizes)
    for name in asked.names:
        if not any(stage.prints(name) for stage in stages):
            parser.error(f"no name begins with {name}")
    logs.configure("error")
    return 0 if run(Bench(sizes), chosen(stages, asked.names)) else 1


if __name__ == "__main__":
    sys.exit(main())
