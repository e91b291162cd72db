# SPDX-License-Identifier: Apache-2.0
"""Microsoft in trouble: it costs few threads and a bounded time, and nothing is let through meanwhile."""

import ssl
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from etymon.issuer.intune.connection import Connection, Tenant
from etymon.issuer.intune.outbound import MOST_AT_ONCE, Outbound, Patience
from etymon.issuer.intune.validation import IntuneValidation
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from support.clock import TurnedClock
from support.silent_host import SilentHost, silent_host

FOREVER = 1000.0
PEOPLE = 40
DRIPPING = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


def outbound(
    *, request: float = FOREVER, call: float = FOREVER, monotonic: Callable[[], float] = time.monotonic
) -> Outbound:
    return Outbound(ssl.create_default_context(), Patience(request, call), monotonic=monotonic)


def validation(host: SilentHost, way: Outbound) -> IntuneValidation:
    """Return an Intune whose tokens come from `host`; no byte of it is believed, so that it needs no TLS."""
    url = f"http://{host.address}"
    tenant = Tenant("agency.example", "client", Secret("secret"), url, url, "scope", ("localhost",))
    return IntuneValidation(Connection(tenant, way, TurnedClock(), SystemEntropy()))


def said(intune: IntuneValidation) -> str:
    try:
        intune.validate("T1", b"request")
    except Unavailable as error:
        return error.code
    return "let through"


def test_so_many_wait_and_all_others_are_told_at_once_to_come_back() -> None:
    with silent_host() as host, ThreadPoolExecutor(PEOPLE) as threads:
        intune = validation(host, outbound())
        waiting = [threads.submit(said, intune) for _ in range(MOST_AT_ONCE)]
        host.wait_for(MOST_AT_ONCE)
        others = [threads.submit(said, intune) for _ in range(PEOPLE - MOST_AT_ONCE)]
        assert Counter(each.result() for each in others) == {"intune_busy": PEOPLE - MOST_AT_ONCE}
        assert host.accepted == MOST_AT_ONCE
        assert not any(each.done() for each in waiting)
        host.close()
        assert {each.result() for each in waiting} == {"intune_unavailable"}
        assert said(intune) == "intune_unavailable", "their places are free again"


@pytest.mark.parametrize("endless", [b"", DRIPPING], ids=["says nothing", "comes to no end"])
def test_an_answer_has_so_long_however_it_comes(endless: bytes) -> None:
    with silent_host(endless=endless) as host:
        assert said(validation(host, outbound(request=0.2))) == "intune_unavailable"
        assert host.accepted == 1


def test_all_that_a_call_needs_has_so_long_together() -> None:
    """The second question of a call is not asked when the first has used its time up."""
    times = iter([0.0, 5.0, 20.0])
    with silent_host() as host:
        way = outbound(request=0.2, call=15, monotonic=lambda: next(times))
        with way.call() as until:
            for accepted in (1, 1):
                with pytest.raises(Unavailable):
                    way.send("GET", f"http://{host.address}/", until=until)
                assert host.accepted == accepted


def test_a_place_comes_back_whatever_happened() -> None:
    way = outbound()
    for _ in range(MOST_AT_ONCE + 1):
        with pytest.raises(ZeroDivisionError), way.call():
            raise ZeroDivisionError
    with ExitStack() as places:
        for _ in range(MOST_AT_ONCE):
            places.enter_context(way.call())
        with pytest.raises(Unavailable, match="intune_busy"), way.call():
            pass
