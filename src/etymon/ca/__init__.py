"""Certification authorities: profiles, issuance, lints, revocation, CRL, OCSP and the key ceremony."""
