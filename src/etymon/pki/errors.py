# SPDX-License-Identifier: Apache-2.0
"""Why a certificate is not trusted, as a code that stays and a sentence that says what to do next."""

from etymon.kernel.errors import NotPermitted


class NotTrusted(NotPermitted):
    """A certificate, its path or its status was judged, and the answer is no.

    Codes: `untrusted_root`, `expired`, `not_yet_valid`, `revoked_by_crl`, `revoked_by_ocsp`,
    `revoked_by_database` and `held_by_database` (our own records), `status_unavailable`, `wrong_policy`,
    `wrong_certificate_kind`, `weak_key`, `identifier_missing`, `path_invalid`; and of what would take too much:
    `path_too_long`, `path_too_complex`, `policies_too_complex`, `names_too_complex`, `certificate_too_large`,
    `der_too_deep`, `certificate_malformed`, `took_too_long`.
    """

    default_code = "path_invalid"
