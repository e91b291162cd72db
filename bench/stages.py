# SPDX-License-Identifier: Apache-2.0
"""What `make bench` consists of, in the order in which it runs: limits first, then what is compared with them."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench import authorities, card_sweep, enrollment, machine, million, rekey, scep, services
from bench.measure import Bench
from bench.place import Place
from bench.sizes import Sizes
from etymon.pki.algorithms import KeyType

KEYS: Final = {"p256": KeyType.P256, "p384": KeyType.P384, "rsa3072": KeyType.RSA3072}
ENGINES: Final = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Stage:
    """Prints a line for each of `names`; other stages printed those of `limits` before."""

    names: tuple[str, ...]
    measure: Callable[[Bench, Place], None]
    limits: tuple[str, ...] = ()
    engine: str = "sqlite"

    def prints(self, prefix: str) -> bool:
        """Tell whether a name begins so."""
        return any(name.startswith(prefix) for name in self.names)


def every_stage(sizes: Sizes) -> list[Stage]:
    """Return all stages; those that need PostgreSQL come last."""
    stages = [Stage(("limit.http",), machine.measure_http)]
    for key, kind in KEYS.items():
        names = (f"limit.sign.{key}", f"limit.build_and_sign.{key}")
        stages.append(Stage(names, functools.partial(machine.measure_signing, key, kind)))
    stages += _limits_of("sqlite")
    for key, kind in KEYS.items():
        stages += _stages_with(key, kind)
    stages += _stages_on("sqlite", sizes)
    stages += _limits_of("postgresql")
    stages += _stages_on("postgresql", sizes)
    limit = ("limit.build_and_sign.p256",)
    stages.append(Stage((rekey.line(sizes),), rekey.measure, limit, "postgresql"))
    return stages


def chosen(stages: Sequence[Stage], prefixes: Sequence[str]) -> list[Stage]:
    """Return the stages that print a name with one of these beginnings, and the limits they need; without any, all."""
    wanted = [stage for stage in stages if not prefixes or any(map(stage.prints, prefixes))]
    limits = {limit for stage in wanted for limit in stage.limits}
    return [stage for stage in stages if stage in wanted or limits.intersection(stage.names)]


def _limits_of(engine: str) -> list[Stage]:
    return [Stage((f"limit.commit.{engine}",), machine.measure_commit, engine=engine)]


def _stages_with(key: str, kind: KeyType) -> list[Stage]:
    """Return the stages of one kind of authority key."""
    sign, build, commit = f"limit.sign.{key}", f"limit.build_and_sign.{key}", "limit.commit.sqlite"
    once = ("ocsp_cached", "path_validation") if kind is KeyType.P256 else ()
    return [
        Stage(
            (f"issuance.{key}", f"ocsp_signed.{key}", *once),
            functools.partial(authorities.measure, key, kind),
            (sign, build, commit, *(("limit.http",) if once else ())),
        ),
        Stage((f"limit.est_cryptography.{key}", f"est_enroll.{key}"), functools.partial(enrollment.measure, key, kind)),
        Stage((f"limit.scep_cryptography.{key}", f"scep_enroll.{key}"), functools.partial(scep.measure, key, kind)),
    ]


def _stages_on(engine: str, sizes: Sizes) -> list[Stage]:
    """Return the stages of one database engine."""
    sign_in = ("card_sign_in",) if engine == "sqlite" else ()
    swept = (f"limit.card_rows.{engine}", f"card_sweep.{engine}")
    return [
        Stage((f"checkin_idle.{engine}", *sign_in), services.measure, ("limit.http",), engine),
        Stage(million.lines(engine, sizes), million.measure, ("limit.sign.p256",), engine),
        Stage(swept, card_sweep.measure, engine=engine),
    ]
