# SPDX-License-Identifier: Apache-2.0
"""What the authorities' use cases are given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from etymon.ca.common_names import CommonNameForm
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.pki.bad_keys import BadKeys, NoLists
from etymon.pki.signer import Signer
from etymon.storage.database import Database

MAXIMUM_HOLD: Final = timedelta(days=30)
"""The policy asks for a maximum and leaves it to the organisation (CP 4.9.16); setting `maximum_hold_days`."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the authorities need. `signers` finds an authority's key by the authority's name.

    `policy_oids` maps the profiles' policy names to OIDs. `status_url` is where certificates say that CRLs, OCSP and
    CA certificates are: http, no trailing slash. `lint_exceptions` are codes of lints that this deployment excepts,
    by name. `public_directory` is where CRLs and certificates are written for web servers, if anywhere. `ocsp_nonces`
    says whether OCSP answers carry the nonce they were asked with. A certificate is held no longer than
    `maximum_hold`. People are called in one of `common_name_forms`, in any where none is named. `bad_keys` knows keys
    that nobody certifies.
    """

    database: Database
    clock: Clock
    entropy: Entropy
    signers: Mapping[str, Signer]
    policy_oids: Mapping[str, str]
    status_url: str
    lint_exceptions: frozenset[str] = field(default_factory=frozenset)
    public_directory: Path | None = None
    ocsp_nonces: bool = True
    maximum_hold: timedelta = MAXIMUM_HOLD
    common_name_forms: frozenset[CommonNameForm] = frozenset()
    bad_keys: BadKeys = field(default_factory=NoLists)

    def signer(self, name: str) -> Signer:
        """Return the signer of a key; `Unavailable` where it is not here (a root's, after the ceremony)."""
        try:
            return self.signers[name]
        except KeyError:
            raise Unavailable(
                "ca_key_unavailable", f"The signing key {name} is not here. Bring it and try again."
            ) from None
