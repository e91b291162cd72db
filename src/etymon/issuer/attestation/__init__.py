"""Key attestation at the issuer: who is believed, what was judged, and what is kept as evidence."""
