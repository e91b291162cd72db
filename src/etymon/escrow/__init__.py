"""Escrow of encryption keys: made here, kept wrapped, delivered only into a key store, recovered by two officers."""
