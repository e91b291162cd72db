# SPDX-License-Identifier: Apache-2.0
"""`etymon restore`: a deployment from its backup, in a new directory.

What was consumed after the backup would be good again in it: one-time codes, links, sessions, refresh tokens. All of
them are kept as digests under one key, so the restored deployment gets a new one and none of them fits any more. What
lay under that key to be read again is no bearer value, or it is removed: the passwords of setup networks are wrapped
under the new key, the tokens of enrollment profiles are gone.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyrage import x25519

from etymon.audit.model import Fact
from etymon.ca import restoration
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.kernel.secret import DigestKey, Secret
from etymon.mdm import enrollment_profiles
from etymon.pki.cryptoki import TokenChoice
from etymon.server import config_file, key_places, keyring, process_events
from etymon.server.backup import archive, database_copy
from etymon.server.backup.taking import CONFIGURATION, FOLDERS, MANIFEST, VERSION
from etymon.server.deployment import DATABASE_FILE, DIGESTS, database_url, require_database
from etymon.storage import migrations
from etymon.storage.database import Database, Transaction

_MEMBERS: Final = frozenset({MANIFEST, CONFIGURATION, database_copy.SQLITE, database_copy.POSTGRESQL})


@dataclass(frozen=True, slots=True)
class Restored:
    """What a backup was of. `is_older` says that its schema needs `etymon upgrade`; `token` has keys that it lacks."""

    organization: str
    taken_at: str
    is_older: bool
    token: TokenChoice | None


def restore(
    file: Path,
    key: x25519.Identity,
    data: Path,
    passphrase: Secret[str],
    clock: Clock,
    entropy: Entropy,
    progress: Callable[[str], None],
) -> Restored:
    """Make the deployment of a backup in a new directory; if anything is not as it should be, nothing is made."""
    if data.exists() and any(data.iterdir()):
        raise Conflict("directory_not_empty", f"{data} is not empty. Choose a new directory.")
    room = data.with_name(f"{data.name}.restoring")
    if room.exists():
        raise Conflict("restore_unfinished", f"{room} is left of a restore that did not finish. Remove it.")
    room.mkdir(mode=0o700, parents=True)
    try:
        archive.unpack(
            file, key, room, allowed=_is_expected, progress=lambda octets: progress(f"{octets // 1_000_000} MB")
        )
        manifest = _manifest(room)
        former, present = _renew_digests(room, passphrase, entropy)
        read = config_file.load(room)
        progress("database")
        _make_database(room, database_url(data, read))
        is_older = _begin_again(
            room, manifest, clock, entropy, lambda tx: enrollment_profiles.begin_again(tx, former, present, entropy)
        )
        if data.exists():
            data.rmdir()
        room.rename(data)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return Restored(str(manifest["organization"]), str(manifest["taken_at"]), is_older, key_places.token_choice(read))


def _is_expected(name: str) -> bool:
    return name in _MEMBERS or name.split("/", maxsplit=1)[0] in FOLDERS


def _manifest(room: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((room / MANIFEST).read_bytes())
        version = found["version"]
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise Malformed("backup_manifest", "The archive is no backup of Etymon: it has no manifest.") from exc
    if version != VERSION:
        raise Malformed("backup_version", f"The backup has form {version}; this program reads {VERSION}. Update it.")
    (room / MANIFEST).unlink()
    return dict(found)


def _renew_digests(room: Path, passphrase: Secret[str], entropy: Entropy) -> tuple[DigestKey, DigestKey]:
    """Return the key that the backup brought, and the one that is kept instead."""
    ring = keyring.unlock(room / "keys", passphrase, entropy)
    former, present = ring.get(DIGESTS), Secret(entropy.octets(32))
    ring.replace(DIGESTS, present)
    return DigestKey(former), DigestKey(present)


def _make_database(room: Path, url: str) -> None:
    copied = room / database_copy.SQLITE
    if copied.exists():
        database_copy.restore_sqlite(copied, room / DATABASE_FILE)
        return
    database = Database(url)
    try:
        _require_empty(database)
        database_copy.restore_postgresql(room / database_copy.POSTGRESQL, database)
    finally:
        database.close()


def _place(manifest: Mapping[str, Any]) -> int:
    """Return how far the audit trail was signed when the backup was taken."""
    return int(manifest["checkpoint"]["sequence"]) if manifest["checkpoint"] else 0


def _require_empty(database: Database) -> None:
    try:
        migrations.require_current(database)
    except NotFound:
        return
    except Conflict:
        pass
    raise Conflict("database_not_empty", "The database that config.toml names is not empty. Restore into a new one.")


def _begin_again(
    room: Path,
    manifest: Mapping[str, Any],
    clock: Clock,
    entropy: Entropy,
    rewrap: Callable[[Transaction], int],
) -> bool:
    """Have lists follow those published since and leave an event; say whether the database needs an upgrade.

    `rewrap` puts under the new key what is no bearer value and lay under the one before; it returns how many enrollment
    tokens it took away.
    """
    read = config_file.load(room)
    database = Database(database_url(room, read))
    try:
        with database.transaction() as tx:
            restoration.begin_again(tx)
            removed = rewrap(tx)
        facts: dict[str, Fact] = {
            "taken_at": str(manifest["taken_at"]),
            "place": _place(manifest),
            "admissions_closed": removed,
        }
        process_events.by_account(database, clock, entropy, "server:backup:restored", "deployment", **facts)
        require_database(database, read)
    except Conflict:
        return True
    finally:
        database.close()
    return False
