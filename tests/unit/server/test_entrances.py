# SPDX-License-Identifier: Apache-2.0
"""What an address or a port that cannot be had is called."""

import subprocess
import sys
from pathlib import Path

import pytest

from etymon.kernel.errors import EtymonError, Malformed
from etymon.server import entrances, settings
from etymon.server.settings import Settings

UNPRIVILEGED_FROM = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
AS_NOBODY = """
import os, sys
from etymon.kernel.errors import EtymonError
from etymon.server import entrances, settings
"localhost".encode("idna")  # loaded now: nobody may be unable to read where Python is
if os.getuid() == 0:
    os.setuid(65534)
read = settings.checked({"organization": "Agency", "status_url": "http://status.agency.example", "device_port": 1})
try:
    with entrances.opened(read.model_copy(update={"site_port": 0, "certauth_port": 0, "status_port": 0})):
        print("opened")
except EtymonError as error:
    print(error.code, error.detail)
"""


def read(**values: object) -> Settings:
    ports = {f"{name}_port": 0 for name in ("site", "certauth", "device", "status")}
    urls = {f"{name}_url": f"https://localhost:{port}" for port, name in enumerate(("site", "certauth", "device"), 1)}
    usual = {"organization": "Agency", "status_url": "http://status.agency.example"}
    return settings.checked({**usual, **urls, **ports, **values})


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machines_is_named_with_its_setting(address: str) -> None:
    with pytest.raises(Malformed) as caught, entrances.opened(read(bind=address)):
        pass
    assert (caught.value.code, caught.value.detail) == (
        "address_not_here",
        f"bind: {address} is no address of this machine.",
    )


def test_a_port_that_takes_a_privilege_is_named_with_its_setting() -> None:
    if int(UNPRIVILEGED_FROM.read_text()) <= 1:
        pytest.skip("on this machine every port may be used by everybody")
    told = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=True).stdout
    assert told.startswith("port_not_permitted device_port: this user may not listen on port 1.")


def test_all_doors_close_with_the_block_and_when_one_cannot_be_opened() -> None:
    with entrances.opened(read()) as doors:
        ports = {name: entrance.doors[0].getsockname()[1] for name, entrance in doors.items()}
        taken = entrances.opened(read(certauth_port=ports["certauth"]))
        with pytest.raises(EtymonError, match="certauth_port: another program has port"), taken:
            pass
    with entrances.opened(read(**{f"{name}_port": port for name, port in ports.items()})):
        pass
