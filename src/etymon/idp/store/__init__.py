"""The only SQL of the identity provider. Stores take a transaction and never commit."""
