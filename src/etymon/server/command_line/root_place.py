# SPDX-License-Identifier: Apache-2.0
"""Where a command finds or puts the root keys: a directory that is kept elsewhere, or a token of its own."""

from pathlib import Path

from etymon.kernel.errors import Malformed
from etymon.pki.cryptoki import TokenChoice
from etymon.server.command_line.files import secret
from etymon.server.command_line.options import RootChoice
from etymon.server.initialization import RootKeys
from etymon.server.key_places import RootToken


def root_place(choice: RootChoice, usual_module: str) -> RootKeys | RootToken:
    """Return the place that the options name; `Malformed` `root_place` unless they name one."""
    if bool(choice.directory) == bool(choice.token):
        raise Malformed("root_place", "Name the place of the root keys: --root-keys DIRECTORY, or --root-token LABEL.")
    if choice.directory is not None:
        if choice.passphrase_file is None:
            raise Malformed("root_place", "--root-keys needs --root-passphrase-file.")
        return RootKeys(choice.directory, secret(choice.passphrase_file, ""))
    module = choice.module or (Path(usual_module) if usual_module else None)
    if module is None or choice.pin_file is None:
        raise Malformed("root_place", "--root-token needs --root-pin-file, and --root-module or pkcs11_module.")
    return RootToken(module, TokenChoice(label=choice.token), choice.pin_file)
