"""The only SQL of the issuer. Every function takes the caller's transaction and never commits."""
