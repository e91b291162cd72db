# SPDX-License-Identifier: Apache-2.0
"""The parts of tlslite-ng in use; every other module takes them from here.

Importing the library imports asyncore for a mixin that is not used here, and Python 3.11 warns about that.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from tlslite.errors import BaseTLSException
    from tlslite.handshakesettings import HandshakeSettings
    from tlslite.recordlayer import RecordLayer
    from tlslite.tlsconnection import TLSConnection
    from tlslite.x509 import X509
    from tlslite.x509certchain import X509CertChain

__all__ = [
    "X509",
    "BaseTLSException",
    "HandshakeSettings",
    "RecordLayer",
    "TLSConnection",
    "X509CertChain",
]
