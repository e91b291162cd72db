# SPDX-License-Identifier: Apache-2.0
"""PKCS#11 modules in this process: each is initialised once, for several threads, and tokens are found in it.

A module has one state for the whole process (PKCS#11 v2.40 §2.6), so it is never finalised here: whoever else uses it
would lose their sessions. python-pkcs11 alone would initialise it without locking, which is for one thread only.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pkcs11 import PKCS11Error
from pkcs11._pkcs11 import lib as cython_library
from pkcs11.types import Session, Token

from etymon.kernel.errors import Malformed, Unavailable

OK: Final = 0x0
ALREADY_INITIALIZED: Final = 0x191
OS_LOCKING_OK: Final = 0x2
USER_FUNCTIONS: Final = frozenset({1, 3})
"""PKCS#11 v2.40: CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKF_OS_LOCKING_OK, CKS_RO_ and CKS_RW_USER_FUNCTIONS."""


class _InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS: no mutexes of ours, the operating system's instead."""

    _fields_ = (
        ("mutex_functions", ctypes.c_void_p * 4),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _SessionInfo(ctypes.Structure):
    """CK_SESSION_INFO."""

    _fields_ = tuple((name, ctypes.c_ulong) for name in ("slot", "state", "flags", "device_error"))


class _FunctionList(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST: the version, and the functions in the standard's order."""

    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 16))


_INITIALIZE: Final = (0, ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.POINTER(_InitializeArguments)))
_GET_SESSION_INFO: Final = (15, ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.POINTER(_SessionInfo)))
"""C_Initialize and C_GetSessionInfo: their places in the list and their types."""


class Library(cython_library):
    """A module that was initialised for several threads."""

    def __init__(self, so: str) -> None:
        """Load the module and initialise it; the base class would do so for one thread."""
        initialize(so)


def initialize(module: str) -> None:
    """Initialise a module in this process with locking, unless it is; needed again in a process that was forked."""
    result = _function(module, _INITIALIZE)(_InitializeArguments(flags=OS_LOCKING_OK))
    if result not in {OK, ALREADY_INITIALIZED}:
        raise Unavailable("token_module_unusable", f"The PKCS#11 module {module} does not start (CKR {result:#x}).")


def is_logged_in(module: Path, session: Session) -> bool:
    """Whether a session is still open and the user logged in; python-pkcs11 does not tell."""
    info = _SessionInfo()
    handle = cast("Any", session).handle  # the stubs leave it out
    result = _function(os.path.realpath(module), _GET_SESSION_INFO)(handle, info)
    return result == OK and info.state in USER_FUNCTIONS


def _function(module: str, wanted: tuple[int, Any]) -> Callable[..., int]:
    place, prototype = wanted
    functions = ctypes.POINTER(_FunctionList)()
    ctypes.CDLL(module).C_GetFunctionList(ctypes.byref(functions))
    return cast("Callable[..., int]", prototype(functions.contents.functions[place]))


_loaded: dict[str, Library] = {}
_loading = threading.Lock()


def library(module: Path) -> Library:
    """Return a module of this process, loading it at the first use; `Unavailable` `token_module_unusable`."""
    path = os.path.realpath(module)
    with _loading:
        if path not in _loaded:
            try:
                _loaded[path] = Library(path)
            except (OSError, AttributeError, PKCS11Error) as exc:
                raise Unavailable(
                    "token_module_unusable", f"{module} cannot be loaded as a PKCS#11 module. Is the path right?"
                ) from exc
        return _loaded[path]


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """Which token of a module: by label, serial number or slot; by several of them, all have to fit."""

    label: str = ""
    serial: str = ""
    slot: int | None = None

    def __post_init__(self) -> None:
        if not self.label and not self.serial and self.slot is None:
            raise Malformed("token_not_named", "Name the token by its label, its serial number or its slot.")

    def __str__(self) -> str:
        slot = "" if self.slot is None else f"in slot {self.slot}"
        return " ".join(filter(None, (self.label and f"{self.label!r}", self.serial and f"no. {self.serial}", slot)))

    def _fits(self, token: Token) -> bool:
        serial = token.serial.decode("ascii", "replace")
        return (not self.label or token.label == self.label) and (not self.serial or serial == self.serial)

    def find(self, module: Library) -> Token:
        """Return the one token that fits; `Unavailable` `token_not_present` or `token_ambiguous`."""
        found = []
        try:
            slots = module.get_slots(token_present=True)
        except PKCS11Error:
            slots = []
        for slot in slots:
            try:
                token = slot.get_token()
            except PKCS11Error:  # another slot's trouble is not ours
                continue
            if self._fits(token) and self.slot in {None, slot.slot_id}:
                found.append(token)
        if not found:
            raise Unavailable("token_not_present", f"The token {self} is not there. Connect it and try again.")
        if len(found) > 1:
            raise Unavailable(
                "token_ambiguous", f"{len(found)} tokens are called {self}. Name yours by its serial number too."
            )
        return found[0]
