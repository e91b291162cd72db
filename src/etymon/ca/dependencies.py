# SPDX-License-Identifier: Apache-2.0
"""What the authorities' use cases are given."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.pki.bad_keys import BadKeys, NoLists
from etymon.pki.signer import Signer
from etymon.storage.database import Database


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the authorities need. `signers` finds an authority's key by the authority's name.

    `policy_oids` maps the profiles' policy names to OIDs. `status_url` is where certificates say that CRLs, OCSP
    and CA certificates are: http, no trailing slash. `lint_exceptions` are codes of lints that this deployment
    excepts, by name. `bad_keys` knows keys that nobody certifies.
    """

    database: Database
    clock: Clock
    entropy: Entropy
    signers: Mapping[str, Signer]
    policy_oids: Mapping[str, str]
    status_url: str
    lint_exceptions: frozenset[str] = field(default_factory=frozenset)
    bad_keys: BadKeys = field(default_factory=NoLists)

    def signer(self, name: str) -> Signer:
        """Return the signer of a key; `Unavailable` where it is not here (a root's, after the ceremony)."""
        try:
            return self.signers[name]
        except KeyError:
            raise Unavailable(
                "ca_key_unavailable", f"The signing key {name} is not here. Bring it and try again."
            ) from None
