# SPDX-License-Identifier: Apache-2.0
"""Object identifiers of extended key usages, and of the extensions that profiles name (profiles v2.2 §2, RFC 5280)."""

from typing import Final

from cryptography.x509 import ObjectIdentifier

CLIENT_AUTHENTICATION: Final = "1.3.6.1.5.5.7.3.2"
SERVER_AUTHENTICATION: Final = "1.3.6.1.5.5.7.3.1"
CODE_SIGNING: Final = "1.3.6.1.5.5.7.3.3"
EMAIL_PROTECTION: Final = "1.3.6.1.5.5.7.3.4"
OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
SECURE_SHELL_CLIENT: Final = "1.3.6.1.5.5.7.3.21"
KEY_GENERATION_AUTHORITY: Final = "1.3.6.1.5.5.7.3.32"
"""id-kp-cmKGA (RFC 9480 §2.2): signs private keys that were made for somebody else."""
CERTIFICATE_REQUEST_AGENT: Final = "1.3.6.1.4.1.311.20.2.1"
"""What Windows looks for in the certificate of a SCEP registration authority."""
PKINIT_CLIENT: Final = "1.3.6.1.5.2.3.4"
SMART_CARD_LOGON: Final = "1.3.6.1.4.1.311.20.2.2"
DOCUMENT_SIGNING: Final = "1.3.6.1.4.1.311.10.3.12"
PIV_CARD_AUTHENTICATION: Final = "2.16.840.1.101.3.6.8"
PIV_CONTENT_SIGNING: Final = "2.16.840.1.101.3.6.7"
PIV_I_CONTENT_SIGNING: Final = "2.16.840.1.101.3.8.7"
ANY_EXTENDED_KEY_USAGE: Final = "2.5.29.37.0"

PIV_INTERIM: Final = ObjectIdentifier("2.16.840.1.101.3.6.9.1")
"""The interim indicator: a BOOLEAN that tells whether an investigation is pending (FIPS 201; deprecated)."""
SUBJECT_DIRECTORY_ATTRIBUTES: Final = ObjectIdentifier("2.5.29.9")
COUNTRY_OF_CITIZENSHIP: Final = "1.3.6.1.5.5.7.9.4"
