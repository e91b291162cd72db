# SPDX-License-Identifier: Apache-2.0
"""Builds the PKCS#11 module that enters a PIN outside the browser (`pkcs11_pin_shim.c`). For tests alone."""

import subprocess
from pathlib import Path
from typing import Final

from support import programs
from support.card_reader import library, pkcs11_module

PROGRAMS: Final = ("gcc", "pkg-config")
"""What a test that uses the shim `needs`; the headers of p11-kit (libp11-kit-dev) are looked for as well."""

PIN_FILE_VARIABLE: Final = "ETYMON_TEST_PIN_FILE"
"""Environment variable that names the file with the PIN."""


def build_pin_shim(directory: Path) -> Path:
    """Compile the shim into `directory`; returns the module's path."""
    module = directory / "etymon-pin-shim.so"
    library("p11-kit-1/p11-kit/pkcs11.h", "libp11-kit-dev")
    flags = _output(programs.required("pkg-config"), "--cflags", "p11-kit-1").split()
    source = Path(__file__).with_name("pkcs11_pin_shim.c")
    opensc = f'-DOPENSC_MODULE="{pkcs11_module()}"'
    warnings = ("-Wall", "-Wextra", "-Werror")
    _output(programs.required("gcc"), "-shared", "-fPIC", *warnings, opensc, *flags, "-o", module, source, "-ldl")
    return module


def _output(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout
