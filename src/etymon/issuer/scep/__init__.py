"""SCEP (RFC 8894): certificates for the endpoints of other endpoint managers, each through a connector of its own."""
