# SPDX-License-Identifier: Apache-2.0
"""Files that others read while they are written anew."""

import os
import tempfile
from datetime import datetime
from pathlib import Path


def exchange(file: Path, content: bytes, *, modified: datetime | None = None) -> bool:
    """Put `content` into a file that everybody may read; say whether it held something else before.

    Whoever opens the file sees it whole, as it was or as it is. A file that is right is left alone. `modified` is the
    time that it shows.
    """
    if file.exists() and file.read_bytes() == content:
        return False
    # a name nobody can foresee: the directory may be somebody else's, who must not choose where this is written
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as new:
        try:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
            os.fchmod(new.fileno(), 0o644)
            if modified is not None:
                os.utime(new.fileno(), (modified.timestamp(), modified.timestamp()))
            Path(new.name).replace(file)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise
    return True
