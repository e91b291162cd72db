"""X.509 without an issuer: readers, keys, signers, trust entries, path validation and certificate status."""
